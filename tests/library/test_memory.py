"""What a long-lived process keeps: one trace for each shape, and nothing of a model that is gone."""

import gc
import weakref

import keras
import numpy as np
import pytest

from latentseq.arrays import Latents
from latentseq.networks.plugin import swish
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.encoders.conv_ae import ConvAE


def encoder():
    model = ConvAE([8, 8, 1], latent_dim=2, widths=[4])
    model.decode(model.encode(np.zeros((2, 8, 8, 1), np.float32)).mean)
    return model


def dynamics():
    model = LSTM([2], layers=1, units=4, readout=[4])
    _, state = model.observe(Latents(np.zeros((1, 3, 2), np.float32)))
    model.imagine(state, 2, seed=0)
    return model


@pytest.fixture
def graphs():
    """Counts the TensorFlow graphs that were made since; what was there before is not looked through."""
    gc.collect()
    gc.freeze()

    def count():
        gc.collect()
        return sum(type(thing).__name__.endswith("FuncGraph") for thing in gc.get_objects())

    yield count
    gc.unfreeze()


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="JAX has no graphs")
@pytest.mark.parametrize("make", [encoder, dynamics])
def test_nothing_is_left_of_a_model_that_is_gone(make, graphs):
    model = make()
    assert graphs() > 0
    gone = [weakref.ref(model), *map(weakref.ref, model.networks.values())]
    del model
    assert graphs() == 0
    assert [ref() for ref in gone] == [None] * len(gone)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="JAX has no traces to count")
def test_a_shape_is_traced_once():
    model = encoder()
    for _ in range(3):
        model.encode(np.zeros((2, 8, 8, 1), np.float32))
    assert model.encoder.predict_function.experimental_get_tracing_count() == 1


def test_swish():
    x = np.float32([-3, 0, 1.5])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(swish(x)), x / (1 + np.exp(-x)), rtol=1e-6)
