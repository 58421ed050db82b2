"""The mixture head, trained on draws of a known mixture, becomes that mixture."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from latentseq.arrays import Latents, Source
from latentseq.testing.generated import Generated
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.lstm import LSTM

WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[-2.0, 0.0], [2.0, 1.0], [0.0, -2.0]])
DEVIATIONS = np.array([[0.3, 0.5], [0.6, 0.3], [0.4, 0.4]])


def draws(seed, *shape):
    """Independent draws (*shape, 2) of the mixture."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(3, size=shape, p=WEIGHTS)
    return (MEANS[chosen] + DEVIATIONS[chosen] * rng.normal(size=(*shape, 2))).astype(np.float32)


def density(z):
    """Its log density in nats, by SciPy."""
    each = norm.logpdf(z[..., None, :], MEANS, DEVIATIONS).sum(-1)
    return logsumexp(each + np.log(WEIGHTS), axis=-1)


def nearest(z):
    """Which component's mean is nearest."""
    return np.square(z[..., None, :] - MEANS).sum(-1).argmin(-1)


@pytest.fixture(scope="module")
def forecast():
    model = LSTM(
        [2],
        layers=1,
        units=4,
        readout=[],
        residual=False,
        head="mixture",
        head_options={"components": 3},
        free_steps=0,
        seed=2,
    )
    train, held = draws(0, 2000, 8), draws(1, 200, 8)
    source = Source(*(Generated(lambda rows, z=z: {"mean": z[rows]}, 0, len(z)) for z in (train, held)))
    model.fit(source, RunTrainer(steps=600, batch_size=64, learning_rate=2e-2))
    return model.observe(Latents(draws(2, 50, 8)))[0]


def test_its_density_is_the_true_one(forecast):
    z = draws(3, 50, 8)
    # The mean difference of log densities over draws of the truth is the KL divergence from it.
    assert 0 <= np.mean(density(z) - forecast.log_prob(z)) + 0.02 < 0.07


def test_its_components_are_the_true_ones(forecast):
    found = forecast.sample(100, seed=0).reshape(-1, 2)
    for i, part in enumerate(found[nearest(found) == k] for k in range(3)):
        wanted = draws(4, 40_000)
        wanted = wanted[nearest(wanted) == i]
        assert abs(len(part) / len(found) - len(wanted) / 40_000) < 0.03
        np.testing.assert_allclose(part.mean(0), wanted.mean(0), atol=0.08)
        np.testing.assert_allclose(part.std(0), wanted.std(0), rtol=0.15)
