"""Metrics of sampled predictions: the best sample, the CRPS, and the ratio of spread to error."""

import numpy as np

from latentseq.evaluation.metrics import LOWER_IS_BETTER, frame_scores


def ensemble_scores(futures: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the metrics of the sampled futures of one window.

    Args:
        futures: (s, t, h, w, c) in [0, 1], with s >= 2.
        truth: (t, h, w, c) in [0, 1].

    Returns:
        (1, t) float64 each. ``best_mse`` and so on are the values of the sample whose mean over all steps is best by
        that metric. ``crps`` is summed over pixels. ``variance`` of the samples and ``squared_error`` of their mean
        are means over pixels.

    References:
        Denton & Fergus, Stochastic video generation with a learned prior, 2018 (the best of the samples).
        Ferro, Fair scores for ensemble forecasts, 2014.
    """
    each = [frame_scores(one[None], truth[None]) for one in futures]
    best = {}
    for name in each[0]:
        values = np.concatenate([scores[name] for scores in each])
        means = values.mean(axis=1)
        best[f"best_{name}"] = values[means.argmin() if name in LOWER_IS_BETTER else means.argmax()]
    # One step at a time saves memory: there may be a hundred samples.
    steps = [_step(futures[:, j].astype(np.float64), truth[j]) for j in range(len(truth))]
    scores = best | {name: np.array([step[name] for step in steps]) for name in steps[0]}
    return {name: values[None] for name, values in scores.items()}


def _step(samples: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Metrics of the samples (s, h, w, c) of one frame (h, w, c)."""
    return {
        "crps": float(crps(samples, truth).sum()),
        "variance": float(samples.var(axis=0, ddof=1).mean()),
        "squared_error": float(np.square(samples.mean(axis=0) - truth).mean()),
    }


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score (CRPS), estimated without bias from samples.

    With samples x and truth y, it is the mean of |x - y| minus half the mean of |x - x'| over pairs of different
    samples. For a deterministic forecast it equals the absolute error.

    Args:
        samples: (s, ...), with s >= 2.
        truth: (...).

    Returns:
        (...) float64; lower is better.

    References:
        Gneiting & Raftery, Strictly proper scoring rules, 2007; Ferro, Fair scores for ensemble forecasts, 2014.
    """
    n = len(samples)
    x = np.sort(samples.astype(np.float64), axis=0)
    # Of the sorted samples, the i-th is the larger one in i pairs and the smaller one in all others.
    weights = 2.0 * np.arange(n) - n + 1
    pairs = np.tensordot(weights, x, axes=1)
    return np.abs(x - truth).mean(axis=0) - pairs / (n * (n - 1))


def spread_and_skill(variance: np.ndarray, squared_error: np.ndarray, samples: int) -> dict[str, np.ndarray]:
    """Compare the spread of an ensemble with its error.

    Args:
        variance: (b, t) variance of the samples, averaged over pixels.
        squared_error: (b, t) squared error of the samples' mean, averaged over pixels.
        samples: number of samples.

    Returns:
        (t + 1,) each; the first value is over all steps, the others are by step. ``spread`` is the root of the mean
        variance, corrected for the number of samples. ``skill`` is the root mean squared error of the samples' mean.
        ``ratio`` is spread / skill: 1 if the truth could be one of the samples, below 1 if the samples are
        overconfident, NaN if both are 0.

    References:
        Fortin et al., Why should ensemble spread match the RMSE of the ensemble mean?, 2014.
    """

    def root(x: np.ndarray) -> np.ndarray:
        return np.sqrt(np.concatenate([[x.mean()], x.mean(axis=0)]))

    spread, skill = root(variance * (samples + 1) / samples), root(squared_error)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"spread": spread, "skill": skill, "ratio": spread / skill}
