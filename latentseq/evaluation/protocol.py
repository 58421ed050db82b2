"""Squared error by horizon, and the floors that a prediction has to beat."""

from collections.abc import Mapping

import numpy as np


def squared_error(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared error summed over pixels and channels, mean over clips, for each step.

    Args:
        prediction: (b, t, h, w, c) in [0, 1].
        truth: the same shape.

    Returns:
        (t,) float64.
    """
    error = np.square(prediction.astype(np.float64) - truth)
    return error.sum(axis=(2, 3, 4)).mean(axis=0)


def floors(context: np.ndarray, horizon: int) -> Mapping[str, np.ndarray]:
    """What needs no model: ``copy_last`` repeats the last frame, ``black`` shows nothing.

    Args:
        context: (b, t, h, w, c), the frames that are known.
        horizon: frames to predict.

    Returns:
        (b, horizon, h, w, c) each.
    """
    last = np.repeat(context[:, -1:], horizon, axis=1)
    return {"copy_last": last, "black": np.zeros_like(last)}
