"""How good samples are: the best of them, their CRPS, and whether their spread is their error."""

import numpy as np

from latentseq.evaluation.metrics import LOWER_IS_BETTER, frame_scores


def ensemble_scores(futures: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Measures of the futures of one window.

    Args:
        futures: (s, t, h, w, c) in [0, 1], s of 2 or more.
        truth: (t, h, w, c).

    Returns:
        (1, t) float64 each: ``best_mse`` and so on, of the sample that is best over all steps by that metric;
        ``crps``, summed over pixels; ``variance`` of the samples and ``squared_error`` of their mean, pixel means.

    References:
        Denton & Fergus, Stochastic video generation with a learned prior, 2018 (the best of the samples).
        Ferro, Fair scores for ensemble forecasts, 2014.
    """
    each = [frame_scores(one[None], truth[None]) for one in futures]
    made = {}
    for name in each[0]:
        values = np.concatenate([scores[name] for scores in each])
        means = values.mean(axis=1)
        made[f"best_{name}"] = values[means.argmin() if name in LOWER_IS_BETTER else means.argmax()]
    # A step at a time: there may be a hundred samples.
    steps = [_step(futures[:, j].astype(np.float64), truth[j]) for j in range(len(truth))]
    made |= {name: np.array([step[name] for step in steps]) for name in steps[0]}
    return {name: values[None] for name, values in made.items()}


def _step(samples: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """What is said of the samples (s, h, w, c) of one frame (h, w, c)."""
    return {
        "crps": float(crps(samples, truth).sum()),
        "variance": float(samples.var(axis=0, ddof=1).mean()),
        "squared_error": float(np.square(samples.mean(axis=0) - truth).mean()),
    }


def crps(samples: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score, estimated without bias from samples.

    The mean of |x - y| over samples x, less half the mean of |x - x'| over pairs of different samples. Of a forecast
    that is certain it is the absolute error.

    Args:
        samples: (s, ...), s of 2 or more.
        truth: (...).

    Returns:
        (...) float64.

    References:
        Gneiting & Raftery, Strictly proper scoring rules, 2007; Ferro, Fair scores for ensemble forecasts, 2014.
    """
    n = len(samples)
    x = np.sort(samples.astype(np.float64), axis=0)
    # In order, the i-th is the larger one in i pairs and the smaller one in the others.
    weights = 2.0 * np.arange(n) - n + 1
    pairs = np.tensordot(weights, x, axes=1)
    return np.abs(x - truth).mean(axis=0) - pairs / (n * (n - 1))


def spread_and_skill(variance: np.ndarray, squared_error: np.ndarray, samples: int) -> dict[str, np.ndarray]:
    """Whether an ensemble is as wide as it is wrong.

    Args:
        variance: (b, t), of the samples, mean over pixels.
        squared_error: (b, t), of the samples' mean, mean over pixels.
        samples: how many.

    Returns:
        (t + 1,) each, the mean over all steps first: ``spread`` (the root of the mean variance, for the finite number
        of samples), ``skill`` (the root mean squared error of the samples' mean) and ``ratio``, 1 where the truth
        could be one of the samples, below 1 where they are too sure, not a number where both are 0.

    References:
        Fortin et al., Why should ensemble spread match the RMSE of the ensemble mean?, 2014.
    """

    def root(x: np.ndarray) -> np.ndarray:
        return np.sqrt(np.concatenate([[x.mean()], x.mean(axis=0)]))

    spread, skill = root(variance * (samples + 1) / samples), root(squared_error)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {"spread": spread, "skill": skill, "ratio": spread / skill}
