"""The VAE of features: the promises of an encoder, units of its own, vectors and maps."""

import numpy as np
import pytest
from rows import Rows
from scipy.stats import norm

from latentseq.arrays import Source
from latentseq.errors import UsageError
from latentseq.testing import EncoderPromises
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.encoders.feature_vae import FeatureVAE
from latentseq_plugins.features import statistics


@pytest.mark.jax
class TestFeatureVAE(EncoderPromises):
    def make(self):
        return FeatureVAE([24], latent_dim=4, widths=[32])


@pytest.mark.slow
class TestFeatureVAEOfMaps(EncoderPromises):
    def make(self):
        return FeatureVAE([3, 4, 5], latent_dim=4, widths=[32, 16], free_bits=0.05)


@pytest.mark.slow
class TestFeatureVAEOfFrames(EncoderPromises):
    def make(self):
        return FeatureVAE([12, 10, 1], latent_dim=4, widths=[64])


def features(n, seed):
    """(n, 10) from three hidden numbers, in units that are a million apart; one of them never changes."""
    rng = np.random.default_rng(seed)
    x = np.tanh(rng.normal(size=(n, 3)) @ np.random.default_rng(5).normal(size=(3, 10)))
    x = x * 10.0 ** np.linspace(-3, 3, 10) + np.arange(10)
    x[:, 4] = 7
    return x.astype(np.float32)


@pytest.mark.slow
def test_features_of_any_unit_come_back():
    x, held = features(2000, 0), features(200, 1)
    model = FeatureVAE([10], latent_dim=6, widths=[64])
    model.fit(Source(Rows(x=x), Rows(x=held)), RunTrainer(steps=600, learning_rate=3e-3))
    made = model.decode(model.encode(held).mean)
    unexplained = np.square(made - held).mean(0)[[0, 1, 2, 3, 5, 6, 7, 8, 9]] / np.delete(held, 4, 1).var(0)
    assert (unexplained < 0.2).all(), unexplained
    assert np.abs(made[:, 4] - 7).max() < 0.05


@pytest.mark.parametrize("shape", [(10,), (2, 3, 5)], ids=["vector", "map"])
def test_statistics_are_those_of_the_channels(shape):
    x = (3 + 2 * np.random.default_rng(0).normal(size=(300, *shape)) * np.arange(1, shape[-1] + 1)).astype(np.float32)
    found, rows = statistics(Rows(x=x), "x"), x.reshape(-1, shape[-1])
    np.testing.assert_allclose(found.offset, rows.mean(0), rtol=1e-4)
    np.testing.assert_allclose(found.scale, rows.std(0), rtol=1e-4)
    assert found.bounds.tolist() == [-np.inf, np.inf]


def test_a_channel_that_never_changes_is_not_divided_by_nothing():
    found = statistics(Rows(x=np.tile(np.array([[1, 0.5]], np.float32), (9, 1))), "x")
    assert (found.scale.tolist(), found.bounds.tolist()) == ([1, 1], [0, 1])


def test_the_loss_is_that_of_standardised_features():
    x = features(300, 0)
    model = FeatureVAE([10], latent_dim=4, widths=[16], beta=0.5)
    model.fit(Source(Rows(x=x), Rows(x=x)), RunTrainer(steps=1))
    made = {key: np.asarray(a, np.float64) for key, a in model.network({"x": x}).items()}
    loss = float(model.network.compute_loss(x={"x": x}, y_pred={k: v.astype(np.float32) for k, v in made.items()}))
    found = statistics(Rows(x=x), "x")
    error = (x.astype(np.float64) - made["x"]) / found.scale
    nll = -norm.logpdf(error, 0, np.sqrt(np.mean(error**2))).sum(1).mean()
    kl = 0.5 * (np.exp(made["log_var"]) + made["mean"] ** 2 - 1 - made["log_var"]).sum(1).mean()
    assert loss == pytest.approx(nll + 0.5 * kl, rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "options", "wanted"),
    [
        (
            [4, 4],
            {},
            "input_shape is [4, 4]; expected (f,) for features or (height, width, channels) for a map.",
        ),
        (
            [4],
            {"free_bits": -1.0},
            "latent_dim is 256, beta 1.0, free_bits -1.0, widths [512, 512]; expected latent_dim of 1 or more, beta "
            "and free_bits of 0 or more, and at least one width, each 1 or more.",
        ),
    ],
)
def test_what_makes_no_network_is_refused(shape, options, wanted):
    with pytest.raises(UsageError) as error:
        FeatureVAE(shape, **options)
    assert str(error.value) == f"feature-vae: {wanted}"
