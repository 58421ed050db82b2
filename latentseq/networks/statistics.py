"""Statistics of latents, measured before a dynamics model is trained."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from latentseq.arrays import Batch, Windows
from latentseq.data.windows import spread_indices

WINDOWS = 2000
"""Largest number of windows that statistics are measured on; they are evenly spread."""
MIN_SHARE = 0.1
"""Smallest scale of a dimension, as a share of the mean scale: noise in a still dimension is not blown up."""
MARGIN = 1.0
"""Distance that an imagined item may lie outside of the training latents, in standard deviations."""


class Statistics(NamedTuple):
    """Statistics of latents, each of shape latent_shape; those of a map are of a channel over all positions.

    Attributes:
        offset: float32, mean.
        scale: float32, standard deviation, above 0.
        step: float64, root mean square of the difference of successive items, divided by scale.
    """

    offset: np.ndarray
    scale: np.ndarray
    step: np.ndarray


class Range(NamedTuple):
    """Where standardised latents lie, with a margin.

    Attributes:
        low: (*latent_shape), least value of each dimension, or of each channel of a map.
        high: the same of the greatest value.
        radius: greatest norm of a vector, or of a position of a map.
    """

    low: np.ndarray
    high: np.ndarray
    radius: float


def measure_statistics(windows: Windows, *, posterior: bool = False, gain: np.ndarray | None = None) -> Statistics:
    """Mean, standard deviation and usual step of ``mean`` (b, t, *latent_shape).

    What moves across a map has the same numbers at every position, so that one kernel fits all of them.

    Args:
        windows: windows of latents.
        posterior: scale a dimension by the standard deviation of its posterior where that is larger. In a film
            without motion the means hardly differ, and in their units a posterior would be a million wide.
        gain: (d,) change of a decoded item for a change of one in each channel (``Encoder.channel_gain``). One
            number then scales all channels, in units of the decoded item, so that errors of latents are as large as
            those of frames. None scales each channel by itself.
    """
    n, total, squares, steps, variance = 0, np.zeros(()), np.zeros(()), np.zeros(()), np.zeros(())
    for batch in _batches(windows, WINDOWS):
        z = batch["mean"].astype(np.float64)
        shape, over = z.shape[2:], tuple(range(z.ndim - 1))
        n += z[..., 0].size
        total = total + z.sum(over)
        squares = squares + np.square(z).sum(over)
        steps = steps + np.square(np.diff(z, axis=1)).mean(over) * z[..., 0].size
        if posterior:
            variance = variance + np.exp(batch["log_var"].astype(np.float64)).sum(over)
    offset = total / n
    deviation = np.sqrt(np.maximum(squares / n - np.square(offset), 0))
    floor = max(MIN_SHARE * float(np.sqrt(np.square(deviation).mean())), 1e-6)
    scale = np.maximum(np.maximum(deviation, floor), np.sqrt(variance / n))
    if gain is not None and gain.max() > 0:
        weights = np.maximum(gain, MIN_SHARE * gain.max())
        scale = max(float(np.sqrt(np.square(deviation * weights).mean())), 1e-6) / weights
    step = np.sqrt((steps + variance) / n) / scale
    offset, scale, step = (np.broadcast_to(x, shape) for x in (offset, scale, step))
    return Statistics(offset.astype(np.float32), scale.astype(np.float32), step)


def measure_range(windows: Windows, offset: np.ndarray, scale: np.ndarray, at_most: int = WINDOWS) -> Range:
    """Measure the range of standardised latents.

    Args:
        windows: windows of latents.
        offset: (*latent_shape), mean of the latents.
        scale: (*latent_shape), standard deviation of the latents.
        at_most: largest number of windows that are read; they are evenly spread.
    """
    low, high, radius = np.full(offset.shape, np.inf), np.full(offset.shape, -np.inf), 0.0
    for batch in _batches(windows, at_most):
        z = (batch["mean"].astype(np.float64) - offset) / scale
        over = tuple(range(z.ndim - 1))
        low, high = np.minimum(low, z.min(over)), np.maximum(high, z.max(over))
        radius = max(radius, float(np.linalg.norm(z, axis=-1).max()))
    return Range(low - MARGIN, high + MARGIN, radius + MARGIN)


def confine(z: Any, last: Any, reach: Range, xp: Any = np) -> Any:
    """Keep an imagined item where the training latents are. An item inside is returned unchanged, to the bit.

    Each dimension is clipped to ``low`` and ``high``. An item with many dimensions at their bounds is still far from
    all data, so its norm (of a map: the norm at each position) is limited to ``radius`` as well. Where the last item
    lies farther out, as in a video unlike the training data, the next one may lie as far out, and no farther.

    Args:
        z: (b, *latent_shape), standardised.
        last: the item before it.
        reach: the range of the training latents.
        xp: module of the arrays: NumPy, or ``keras.ops`` for tensors.
    """
    z = xp.maximum(z, xp.minimum(last, reach.low))
    z = xp.minimum(z, xp.maximum(last, reach.high))
    square, before = (xp.sum(xp.square(x), axis=-1, keepdims=True) for x in (z, last))
    most = xp.maximum(before, xp.square(reach.radius))
    return xp.where(square > most, z * xp.sqrt(most / xp.maximum(square, most)), z)


def _batches(windows: Windows, at_most: int) -> Iterator[Batch]:
    """Read at most ``at_most`` windows, evenly spread, 100 at a time."""
    indices = spread_indices(len(windows), at_most)
    for start in range(0, len(indices), 100):
        yield windows.take(indices[start : start + 100])
