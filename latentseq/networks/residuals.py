"""Errors of dynamics on validation windows, in standardised units."""

from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops

from latentseq.arrays import Latents, Windows
from latentseq.data.windows import spread_indices, validation_batches
from latentseq.networks.autoregression import VALIDATION_WINDOWS
from latentseq.protocols import Dynamics

MIN_SPREAD = 1e-3
"""Smallest one-step error that is returned."""


def one_step_error(dynamics: Dynamics, windows: Windows, scale: Any) -> np.ndarray:
    """Root mean square of the one-step error, (*latent_shape).

    Args:
        dynamics: the model. ``observe`` gives its forecasts, since in training the last items are reached in a closed
            loop.
        windows: windows of ``mean`` (b, t, *latent_shape) and the conditions.
        scale: (*latent_shape), divides the error.
    """
    squares, n = np.zeros(()), 0
    for batch in validation_batches(windows, 32):
        z, streams = batch["mean"], {name: batch[name][:, :-1] for name in dynamics.conditions}
        forecast, _ = dynamics.observe(Latents(z[:, :-1]), conditions=streams)
        error = (forecast.mean - z[:, 1:]) / ops.convert_to_numpy(scale)
        squares, n = squares + np.square(error).sum((0, 1)), n + error.shape[0] * error.shape[1]
    return np.maximum(np.sqrt(squares / n), MIN_SPREAD)


def free_error(dynamics: Dynamics, windows: Windows, scale: Any, burn_in: Callable[[int], int]) -> float:
    """Squared error of free steps, summed over an item, as ``AutoregressionFit`` has it.

    Args:
        dynamics: the model.
        windows: windows of ``mean`` (b, t, *latent_shape) and the conditions.
        scale: (*latent_shape), divides the error.
        burn_in: function: length of a window -> number of its true items; the items after them are free steps.
    """
    total, n = 0.0, 0
    indices = spread_indices(len(windows), VALIDATION_WINDOWS)
    for start in range(0, len(indices), 32):
        batch = windows.take(indices[start : start + 32])
        z, first = batch["mean"], burn_in(batch["mean"].shape[1])
        past = {name: batch[name][:, :first] for name in dynamics.conditions}
        later = {name: batch[name][:, first:] for name in dynamics.conditions}
        _, state = dynamics.observe(Latents(z[:, :first]), conditions=past)
        free, _ = dynamics.imagine(state, z.shape[1] - first, seed=0, temperature=0.0, conditions=later)
        error = (free - z[:, first:]).astype(np.float64) / ops.convert_to_numpy(scale)
        total, n = total + float(np.square(error).sum()), n + free.shape[0] * free.shape[1]
    return total / n
