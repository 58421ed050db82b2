"""The forecast: densities in standardised latents, answered in the encoder's own units."""

import numpy as np
import pytest
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import norm

from latentseq.networks.forecast import HeadForecast
from latentseq.networks.heads.head import MIN_SCALE
from latentseq.networks.heads.kl import KL
from latentseq.networks.heads.mixture import Mixture
from latentseq.networks.heads.mse import MSE

B, T, D, K = 2, 3, 4, 3
OFFSET = np.array([5.0, -2, 0, 100], np.float32)
SCALE = np.array([0.1, 3, 1, 20], np.float32)


def parts(head, latent_shape=(D,)):
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(B, T, *latent_shape[:-1], head.width)).astype(np.float32)
    base, z = rng.normal(size=(2, B, T, *latent_shape)).astype(np.float32)
    return outputs, base, (z * SCALE + OFFSET).astype(np.float32)


def forecast(head, latent_shape=(D,)):
    outputs, base, _ = parts(head, latent_shape)
    shape = {"offset": OFFSET, "scale": SCALE, "spread": np.array([0.5, 1, 2, 3], np.float32)}
    return HeadForecast(head, outputs, base, **{k: np.broadcast_to(v, latent_shape) for k, v in shape.items()})


def softplus(x):
    return np.log1p(np.exp(x))


def mixture_in_own_units(outputs, base):
    """Logits, locations and scales (..., k, d) by hand, as the encoder measures."""
    both = outputs[..., K:].reshape(*outputs.shape[:-1], K, 2 * D)
    loc = (base[..., None, :] + both[..., :D]) * SCALE + OFFSET
    return outputs[..., :K], loc, (MIN_SCALE + softplus(both[..., D:])) * SCALE


def mixture_log_prob(outputs, base, z):
    logits, loc, scale = mixture_in_own_units(outputs, base)
    return logsumexp(log_softmax(logits, -1) + norm.logpdf(z[..., None, :], loc, scale).sum(-1), axis=-1)


def test_log_prob_of_the_squared_error_head_is_in_the_encoders_units():
    outputs, base, z = parts(MSE(D))
    wanted = norm.logpdf(z, (base + outputs) * SCALE + OFFSET, np.array([0.5, 1, 2, 3]) * SCALE).sum(-1)
    np.testing.assert_allclose(forecast(MSE(D)).log_prob(z), wanted, rtol=1e-4, atol=1e-4)


def test_log_prob_of_the_kl_head_is_in_the_encoders_units():
    outputs, base, z = parts(KL(D))
    scale = (MIN_SCALE + softplus(outputs[..., D:])) * SCALE
    wanted = norm.logpdf(z, (base + outputs[..., :D]) * SCALE + OFFSET, scale).sum(-1)
    np.testing.assert_allclose(forecast(KL(D)).log_prob(z), wanted, rtol=1e-4, atol=1e-4)


def test_log_prob_of_the_mixture_is_in_the_encoders_units():
    outputs, base, z = parts(Mixture(D, K))
    wanted = mixture_log_prob(outputs, base, z)
    np.testing.assert_allclose(forecast(Mixture(D, K)).log_prob(z), wanted, rtol=1e-4, atol=1e-4)


def test_log_prob_of_a_map_is_the_sum_over_its_positions():
    head, shape = Mixture(D, K), (2, 5, D)
    outputs, base, z = parts(head, shape)
    found = forecast(head, shape).log_prob(z)
    assert found.shape == (B, T)
    np.testing.assert_allclose(found, mixture_log_prob(outputs, base, z).sum((-1, -2)), rtol=1e-4, atol=1e-4)


def test_the_mean_is_the_densitys_in_the_encoders_units():
    outputs, base, _ = parts(Mixture(D, K))
    logits, loc, _ = mixture_in_own_units(outputs, base)
    found = forecast(Mixture(D, K)).mean
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (softmax(logits, -1)[..., None] * loc).sum(-2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(D,), (2, 2, D)], ids=["vector", "map"])
@pytest.mark.parametrize("head", [MSE(D), KL(D), Mixture(D, K)], ids=lambda head: head.name)
def test_samples_are_as_many_as_asked_and_float32(head, shape):
    found = forecast(head, shape).sample(5, seed=0)
    assert found.shape == (B, 5, T, *shape)
    assert found.dtype == np.float32


@pytest.mark.parametrize("head", [KL(D), Mixture(D, K)], ids=lambda head: head.name)
def test_one_seed_draws_one_sample_and_another_seed_another(head):
    first, again, other = (forecast(head).sample(2, seed=seed) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert not np.isclose(first, other).any()
    assert not np.isclose(first[:, 0], first[:, 1]).any()


def test_at_temperature_zero_a_sample_is_the_most_probable_components_mean():
    outputs, base, _ = parts(Mixture(D, K))
    logits, loc, _ = mixture_in_own_units(outputs, base)
    wanted = np.take_along_axis(loc, logits.argmax(-1)[..., None, None], axis=-2)[..., 0, :]
    found = forecast(Mixture(D, K)).sample(2, seed=9, temperature=0.0)
    np.testing.assert_allclose(found, np.repeat(wanted[:, None], 2, 1), rtol=1e-4, atol=1e-4)


def test_samples_have_the_forecasts_mean_and_spread_in_the_encoders_units():
    outputs, _, _ = parts(KL(D))
    made = forecast(KL(D))
    drawn = made.sample(4000, seed=0, temperature=2.0).astype(np.float64)
    wanted = (MIN_SCALE + softplus(outputs[..., D:])) * SCALE * np.sqrt(2)
    assert (np.abs(drawn.mean(1) - made.mean) < 4 * wanted / np.sqrt(4000)).all()
    np.testing.assert_allclose(drawn.std(1), wanted, rtol=0.05)


@pytest.mark.parametrize("bound", [True, False])
def test_a_forecast_says_whether_its_likelihood_is_a_bound(bound):
    head = type("BoundHead", (MSE,), {"bound": bound})(D)
    assert forecast(head).bound is bound
