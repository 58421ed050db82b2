"""An encoder and dynamics together: the promises of a predictor, and that each part is asked in its turn."""

from functools import cache

import numpy as np
import pytest

from latentseq.arrays import Latents, Source
from latentseq.errors import DataError, UsageError
from latentseq.models.latent import LatentPredictor, encode_windows
from latentseq.testing import PredictorPromises
from latentseq.testing.generated import TRAIN, blobs, generated
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.encoders.vae import VAE

SHAPE = (16, 16, 1)


def frames(rows, length=8):
    return blobs(np.asarray(rows), length, SHAPE)


@cache
def trained_encoder():
    """A predictor is made around an encoder that has learnt."""
    vae = VAE(list(SHAPE), latent_dim=4, widths=[8, 16])
    source = generated(lambda rows: {"x": frames(rows)[np.arange(len(rows)), rows % 8]})
    vae.fit(source, RunTrainer(steps=150, learning_rate=5e-3))
    return vae


def make(**options):
    return LatentPredictor(trained_encoder(), LSTM([4], layers=1, units=8, **options))


@cache
def trained_predictor():
    model = make(head="kl")
    model.fit(generated(lambda rows: {"frames": frames(rows)}), RunTrainer(steps=20))
    return model


class TestLatentPredictor(PredictorPromises):
    steps = 60
    far = 500

    def make(self):
        return make(head_options={"components": 2})


@pytest.mark.slow
class TestDrivenLatentPredictor(PredictorPromises):
    steps = 150
    far = 500

    def make(self):
        return make(head="mse", conditions={"sound": 2})


def test_its_shape_and_conditions_are_those_of_its_parts():
    model = make(conditions={"sound": 2})
    assert (model.input_shape, model.conditions) == (SHAPE, {"sound": 2})
    assert model.get_config() == {
        "tune": [],
        "encoder": {"plugin": "vae", "config": model.encoder.get_config()},
        "dynamics": {"plugin": "lstm", "config": model.dynamics.get_config()},
    }


def test_windows_are_encoded_frame_by_frame():
    x, vae = frames([0, 1, 2]), trained_encoder()
    found = encode_windows(vae, x)
    assert found.mean.shape == found.log_var.shape == (3, 8, 4)
    np.testing.assert_allclose(found.mean[1, 5], vae.encode(x[1, 5:6]).mean[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.log_var[2, 7], vae.encode(x[2, 7:]).log_var[0], rtol=1e-4, atol=1e-5)


def test_an_encoder_without_a_posterior_stays_without():
    class Means(VAE):
        def encode(self, x):
            return Latents(super().encode(x).mean)

    assert encode_windows(Means(list(SHAPE), latent_dim=4, widths=[4]), frames([0, 1])).log_var is None


def decoded(vae, z):
    return np.stack([vae.decode(row) for row in z])


def test_observe_and_imagine_are_encode_then_dynamics_then_decode():
    model, x = trained_predictor(), frames([TRAIN, TRAIN + 1])
    forecast, state = model.dynamics.observe(encode_windows(model.encoder, x))
    found, same = model.observe(x)
    np.testing.assert_allclose(found, decoded(model.encoder, forecast.mean), atol=1e-5)
    assert same.keys() == state.keys()
    found, _ = model.imagine(state, 4, seed=2)
    z, _ = model.dynamics.imagine(state, 4, seed=2)
    np.testing.assert_allclose(found, decoded(model.encoder, z), atol=1e-5)
    np.testing.assert_allclose(
        model.reconstruct(x), decoded(model.encoder, encode_windows(model.encoder, x).mean), atol=1e-5
    )


def test_training_it_is_training_the_dynamics_on_encoded_windows():
    vae, before = trained_encoder(), [w.copy() for w in trained_encoder().network.get_weights()]
    model = trained_predictor()
    assert all(np.array_equal(a, b) for a, b in zip(before, vae.network.get_weights(), strict=True))

    alone = make(head="kl").dynamics

    def encoded(rows):
        latents = encode_windows(vae, frames(rows))
        return {"mean": latents.mean, "log_var": latents.log_var}

    alone.fit(generated(encoded), RunTrainer(steps=20))
    for found, wanted in zip(model.dynamics.network.get_weights(), alone.network.get_weights(), strict=True):
        assert found.tobytes() == wanted.tobytes()


def test_predict_gives_futures_that_differ_and_repeat_with_the_seed():
    model, x = trained_predictor(), frames([TRAIN, TRAIN + 1])
    first, again, other = (model.predict(x, 3, samples=2, seed=seed) for seed in (0, 0, 1))
    assert first.shape == (2, 2, 3, *SHAPE)
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[:, 0], first[:, 1])


def test_frames_of_another_shape_are_refused():
    with pytest.raises(DataError) as error:
        trained_predictor().observe(np.zeros((1, 3, 16, 20, 1), np.float32))
    assert str(error.value) == "frames has shape (1, 3, 16, 20, 1); expected (b, t, 16, 16, 1)."


def test_a_part_that_is_not_installed_is_refused():
    config = make().get_config()
    config["dynamics"]["plugin"] = "lsmt"
    with pytest.raises(UsageError, match="lstm"):
        LatentPredictor.from_config(config)


def test_the_kl_head_needs_an_encoder_with_a_posterior():
    class Means(VAE):
        def encode(self, x):
            return Latents(super().encode(x).mean)

    model = LatentPredictor(Means(list(SHAPE), latent_dim=4, widths=[4]), LSTM([4], layers=1, units=4, head="kl"))
    windows = generated(lambda rows: {"frames": frames(rows, 3)})
    with pytest.raises(UsageError) as error:
        model.fit(Source(windows.train, windows.validation), RunTrainer(steps=1))
    assert str(error.value) == (
        "The head 'kl' needs the encoder's posterior, and this encoder gives a mean only. "
        "Heads that work with it: mixture and mse."
    )
