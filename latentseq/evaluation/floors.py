"""Floors: predictions and densities without a model, which a model has to beat."""

import math

import numpy as np

FLOORS = ("black", "copy_last", "mean_of_inputs", "train_mean")
"""Names of the predictions without a model."""
LINEAR = "linear"
"""Name of the prediction by linear autoregression (``models/linear_floor.py``)."""
LEAST_STEP = 1e-3
"""Smallest step of a dimension, as a share of the usual step of all: the density of a dead one would be infinite."""


def floors(context: np.ndarray, horizon: int, train_mean: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Predict frames without a model.

    Args:
        context: (b, t, h, w, c) frames before the prediction.
        horizon: number of frames to predict.
        train_mean: (h, w, c) mean training frame; None if there are no training frames.

    Returns:
        (b, horizon, h, w, c) each: ``black``, ``copy_last`` (the last frame of the context), ``mean_of_inputs`` (the
        mean frame of the context) and ``train_mean``.
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
    """Extrapolate linearly: z[t] + k (z[t] - z[t-1]), k = 1 to ``horizon``.

    Args:
        z: (b, t, *latent_shape) latents, with t >= 2.
        horizon: number of latents to predict.

    Returns:
        (b, horizon, *latent_shape).
    """
    k = np.arange(1, horizon + 1, dtype=z.dtype).reshape(1, -1, *[1] * (z.ndim - 2))
    return z[:, -1:] + k * (z[:, -1:] - z[:, -2:-1])


def persistence_log_prob(z: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Log density of each latent under a normal distribution around the latent before it.

    Args:
        z: (b, t + 1, *latent_shape) latents.
        step: (*latent_shape) standard deviations: root mean square of a step in the training data.

    Returns:
        (b, t) float64, in nats.
    """
    usual = float(np.sqrt(np.square(step).mean()))
    step = np.maximum(step, max(LEAST_STEP * usual, 1e-6))
    deviations = np.diff(z.astype(np.float64), axis=1) / step
    density = -0.5 * np.square(deviations) - np.log(step) - 0.5 * math.log(2 * math.pi)
    return density.reshape(*density.shape[:2], -1).sum(axis=-1)


def bits_per_dimension(log_prob: np.ndarray, latent_shape: tuple[int, ...]) -> np.ndarray:
    """Convert log densities of whole latents, (b, t) nats, to bits per dimension, -log2(p) / d, (b, t) float64."""
    return -log_prob.astype(np.float64) / (math.log(2) * math.prod(latent_shape))
