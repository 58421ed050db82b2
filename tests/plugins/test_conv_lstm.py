"""The convolutional LSTM: the promises of dynamics, its cell against Keras's, and what a map can hold."""

import keras
import numpy as np
import pytest
from rows import Rows

from latentseq.arrays import Latents, Source
from latentseq.errors import UsageError
from latentseq.testing import DynamicsPromises
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.conv_lstm import ConvLSTM


@pytest.mark.slow
class TestSquaredError(DynamicsPromises):
    far = 500

    def make(self):
        return ConvLSTM([3, 2, 2], units=6, readout=[5, 5])


@pytest.mark.jax
class TestMixtureWithConditions(DynamicsPromises):
    far = 500

    def make(self):
        return ConvLSTM(
            [2, 3, 2],
            {"sound": 2},
            head="mixture",
            layers=1,
            units=6,
            readout=[4],
            head_options={"components": 2},
            free_steps=3,
        )


@pytest.mark.slow
class TestKL(DynamicsPromises):
    far = 500

    def make(self):
        return ConvLSTM([2, 2, 2], head="kl", layers=1, units=4, readout=[], residual=False, free_steps=0)


def test_its_layer_is_that_of_keras():
    model, rng = ConvLSTM([5, 4, 3], layers=1, units=7, readout=[]), np.random.default_rng(0)
    for weight in model.network.trainable_weights:
        weight.assign(0.3 * rng.normal(size=weight.shape))
    z = rng.normal(size=(2, 6, 5, 4, 3)).astype(np.float32)
    given = np.concatenate([z, np.diff(z, axis=1, prepend=z[:, :1])], axis=-1)
    theirs = keras.layers.ConvLSTM2D(7, 3, padding="same", return_sequences=True)
    theirs.build(given.shape)
    cell = model.network.recurrent[0].cell
    for weight, other in zip(
        theirs.weights, (cell.of_input.kernel, cell.of_state.kernel, cell.of_input.bias), strict=True
    ):
        weight.assign(other)
    start = [np.repeat(np.asarray(w)[None], 2, axis=0) for w in model.first_state]
    made = np.concatenate([np.asarray(theirs(given, initial_state=start)), given], axis=-1)
    last = model.network.output_layer.last
    # It predicts differences.
    wanted = z + made @ np.asarray(last.kernel) + np.asarray(last.bias)
    forecast, _ = model.observe(Latents(z))
    np.testing.assert_allclose(forecast.mean, wanted, rtol=1e-4, atol=1e-5)


def test_its_statistics_are_those_of_the_channels():
    rng = np.random.default_rng(0)
    z = rng.normal([1, -5], [2, 0.5], (40, 8, 4, 3, 2)).astype(np.float32)
    z[:, :, 0] *= 0.1  # A row where little moves.
    model = ConvLSTM([4, 3, 2], units=4, readout=[])
    model.fit(Source(Rows(mean=z), Rows(mean=z[:5])), RunTrainer(steps=1))
    for name, wanted in {"offset": z.mean((0, 1, 2, 3)), "scale": z.std((0, 1, 2, 3))}.items():
        np.testing.assert_allclose(getattr(model.network, name), np.broadcast_to(wanted, (4, 3, 2)), rtol=1e-4)


def test_what_is_learned_in_one_place_holds_in_every_place():
    model = ConvLSTM([9, 9, 2], layers=1, units=8, readout=[4])
    for weight in model.first_state:
        weight.assign(np.zeros(weight.shape))
    z = np.zeros((2, 4, 9, 9, 2), np.float32)
    z[0, :, 3, 3] = z[1, :, 4, 5] = 1.0
    forecast, _ = model.observe(Latents(z[:, :2]))
    near = forecast.mean[0, 0, 2:5, 2:5], forecast.mean[1, 0, 3:6, 4:7]
    np.testing.assert_allclose(*near, rtol=1e-5, atol=1e-6)


def test_vectors_are_refused():
    with pytest.raises(UsageError) as error:
        ConvLSTM([64])
    assert str(error.value) == (
        "conv-lstm: the latents are vectors of shape (64,); expected maps (h, w, d). "
        "Train an encoder with --set latent=map, or choose --dynamics lstm."
    )


@pytest.mark.parametrize("key", ["layers", "units", "kernel"])
def test_an_option_out_of_range_is_refused(key):
    with pytest.raises(UsageError, match=f"^conv-lstm: {key} is 0; expected 1 or more.$"):
        ConvLSTM([2, 2, 1], **{key: 0})
