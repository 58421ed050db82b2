"""Scores of samples: against a second implementation, a closed form, and by hand."""

import numpy as np
import pytest
from scipy.stats import norm

from latentseq.evaluation.ensemble import crps, ensemble_scores, spread_and_skill
from latentseq.evaluation.metrics import frame_scores


def by_pairs(samples, truth):
    """The definition: the mean distance to the truth, less half of that of two different samples."""
    n = len(samples)
    near = sum(abs(x - truth) for x in samples) / n
    apart = sum(abs(samples[i] - samples[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return near - apart / 2


@pytest.mark.parametrize("n", [2, 3, 10])
def test_crps_is_its_definition(n):
    rng = np.random.default_rng(n)
    samples, truth = rng.normal(size=(n, 4, 5, 1)), rng.normal(size=(4, 5, 1))
    np.testing.assert_allclose(crps(samples, truth), by_pairs(samples, truth), atol=1e-12)


@pytest.mark.parametrize(("mean", "deviation", "truth"), [(0.0, 1.0, 0.0), (0.3, 0.1, 0.5), (-2.0, 3.0, 1.0)])
def test_crps_of_a_gaussian(mean, deviation, truth):
    samples = np.random.default_rng(0).normal(mean, deviation, (200_000, 1))
    z = (truth - mean) / deviation
    wanted = deviation * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    assert crps(samples, np.array([truth]))[0] == pytest.approx(wanted, abs=0.01 * deviation)


def test_crps_does_not_favour_few_samples():
    """It is fair: of 3 samples, in the mean over many truths, as of very many."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=100_000)
    found = crps(rng.normal(size=(3, 100_000)), truth).mean()
    assert found == pytest.approx(1 / np.sqrt(np.pi), abs=0.01)


def test_crps_of_a_certain_forecast_is_the_absolute_error():
    assert crps(np.full((4, 1), 0.3), np.array([0.8]))[0] == pytest.approx(0.5)


def test_the_best_sample_is_best_over_all_steps_by_each_metric():
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=(2, 8, 8, 1)).astype(np.float32)
    futures = np.stack([truth] * 3)
    futures[0, 0] += 0.30  # Exact at the end, but worse in all.
    futures[1] += 0.20
    futures[2] += 0.25
    found = ensemble_scores(futures, truth)
    np.testing.assert_allclose(found["best_mse"], [[64 * 0.2**2] * 2], rtol=1e-5)
    np.testing.assert_allclose(found["best_mae"], [[64 * 0.30, 0.0]], rtol=1e-5)
    # One frame that is exact counts 100 dB.
    np.testing.assert_allclose(found["best_psnr"], [[-20 * np.log10(0.3), 100]], rtol=1e-5)
    each = [frame_scores(one[None], truth[None])["ssim"] for one in futures]
    np.testing.assert_allclose(found["best_ssim"], max(each, key=np.mean))


def test_what_is_said_of_the_samples_of_a_frame():
    futures = np.stack([np.full((1, 4, 4, 1), value, np.float32) for value in (0.2, 0.4, 0.9)])
    found = ensemble_scores(futures, np.full((1, 4, 4, 1), 0.4, np.float32))
    assert found["crps"][0, 0] == pytest.approx(16 * by_pairs([0.2, 0.4, 0.9], 0.4), rel=1e-5)
    assert found["variance"][0, 0] == pytest.approx(np.var([0.2, 0.4, 0.9], ddof=1), rel=1e-5)
    assert found["squared_error"][0, 0] == pytest.approx(0.1**2, rel=1e-5)
    assert all(values.shape == (1, 1) for values in found.values())


def test_spread_and_skill_by_hand():
    found = spread_and_skill(np.array([[1.0, 9.0], [3.0, 7.0]]), np.array([[4.0, 0.0], [0.0, 32.0]]), 4)
    np.testing.assert_allclose(found["spread"], np.sqrt(np.array([5.0, 2.0, 8.0]) * 5 / 4))
    np.testing.assert_allclose(found["skill"], np.sqrt([9.0, 2.0, 16.0]))
    np.testing.assert_allclose(found["ratio"], found["spread"] / found["skill"])


@pytest.mark.parametrize(("deviation", "ratio"), [(0.1, 1.0), (0.05, 0.5)])
def test_a_truth_that_could_be_a_sample_has_a_ratio_of_one(deviation, ratio):
    """With any number of samples, here three."""
    rng = np.random.default_rng(0)
    truth = 0.5 + 0.1 * rng.normal(size=(1, 90, 90, 1))
    futures = 0.5 + deviation * rng.normal(size=(3, 1, 90, 90, 1))
    scores = ensemble_scores(futures, truth)
    found = spread_and_skill(scores["variance"], scores["squared_error"], 3)["ratio"]
    wanted = {1.0: 1.0, 0.5: np.sqrt(4 / 3 * 0.05**2 / (0.1**2 + 0.05**2 / 3))}[ratio]
    np.testing.assert_allclose(found, wanted, rtol=0.03)


def test_no_spread_and_no_error():
    assert np.isnan(spread_and_skill(np.zeros((1, 2)), np.zeros((1, 2)), 3)["ratio"]).all()
