"""What needs no model, and what a prediction has to beat."""

import math

import numpy as np

FLOORS = ("black", "copy_last", "mean_of_inputs", "train_mean")
LEAST_STEP = 1e-3
"""Share of all dimensions' usual step that each has at least: a dead one would be certain."""


def floors(context: np.ndarray, horizon: int, train_mean: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Predictions without a model.

    Args:
        context: (b, t, h, w, c), the frames that are known.
        horizon: frames to predict.
        train_mean: (h, w, c), the mean training frame, where there is one.

    Returns:
        (b, horizon, h, w, c) each: ``black``, ``copy_last`` (the last known frame), ``mean_of_inputs`` (the mean of
        the known frames) and ``train_mean``.
    """
    b, _, *frame = context.shape
    frames = {
        "black": np.zeros_like(context[:, 0]),
        "copy_last": context[:, -1],
        "mean_of_inputs": context.mean(axis=1),
    }
    if train_mean is not None:
        frames["train_mean"] = np.broadcast_to(train_mean.astype(context.dtype), (b, *frame))
    return {name: np.repeat(each[:, None], horizon, axis=1) for name, each in frames.items()}


def extrapolate(z: np.ndarray, horizon: int) -> np.ndarray:
    """Go straight on: z[t] + k (z[t] - z[t-1]), k = 1 to ``horizon``.

    Args:
        z: (b, t, *latent_shape), t of 2 or more.
        horizon: items to go on.

    Returns:
        (b, horizon, *latent_shape).
    """
    k = np.arange(1, horizon + 1, dtype=z.dtype).reshape(1, -1, *[1] * (z.ndim - 2))
    return z[:, -1:] + k * (z[:, -1:] - z[:, -2:-1])


def persistence_log_prob(z: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Log density of each item under a Normal around the one before.

    Args:
        z: (b, t + 1, *latent_shape).
        step: (*latent_shape), the standard deviation: the root mean square of a step on training data.

    Returns:
        (b, t) nats.
    """
    usual = float(np.sqrt(np.square(step).mean()))
    step = np.maximum(step, max(LEAST_STEP * usual, 1e-6))
    moved = np.diff(z.astype(np.float64), axis=1) / step
    density = -0.5 * np.square(moved) - np.log(step) - 0.5 * math.log(2 * math.pi)
    return density.reshape(*density.shape[:2], -1).sum(axis=-1)


def bits_per_dimension(log_prob: np.ndarray, latent_shape: tuple[int, ...]) -> np.ndarray:
    """Nats of whole latents (b, t) to -log2 p a dimension, (b, t)."""
    return -log_prob.astype(np.float64) / (math.log(2) * math.prod(latent_shape))
