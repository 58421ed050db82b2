"""Standardisation of features, which networks need at a scale of about 1."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Windows

ITEMS = 1024
"""Number of evenly spread training items for the statistics."""
AT_ONCE = 64
"""Number of items that are read at a time."""
LEAST_GAIN = 0.1
"""Smallest gain of a channel, as a share of the largest one."""
LEAST = 1e-5
"""Smallest standard deviation of a channel, as a share of its mean.

A smaller one is a rounding error: the channel is constant and is not scaled.
"""


class Statistics(NamedTuple):
    """Statistics of training items.

    Attributes:
        offset: (c,) float32 mean of every channel, over items and positions.
        scale: (c,) float32 standard deviation of every channel, above 0.
        bounds: (2,) float32 range of the values: 0 and 1 if all are in it, as in frames; otherwise infinite.
    """

    offset: np.ndarray
    scale: np.ndarray
    bounds: np.ndarray


class Unbounded(keras.initializers.Initializer):
    """Initial bounds: minus infinity and infinity."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """The bounds, (2,)."""
        return ops.convert_to_tensor([-np.inf, np.inf], dtype=dtype)


class Scaling(layers.Layer):
    """Multiplies every channel and adds to it, to standardise features or to restore their units."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Add a factor and a summand for each channel, and bounds for ``clip``; none of them is trained."""
        shape = (input_shape[-1],)
        self.factor = self.add_weight(shape=shape, initializer="ones", trainable=False, name="factor")
        self.summand = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="summand")
        self.bounds = self.add_weight(shape=(2,), initializer=Unbounded(), trainable=False, name="bounds")

    def call(self, x: Any) -> Any:
        """Scale (n, ..., c) to the same shape."""
        return x * self.factor + self.summand

    def standardise(self, statistics: Statistics) -> None:
        """Set the layer to subtract the mean and divide by the standard deviation."""
        self.factor.assign(1 / statistics.scale)
        self.summand.assign(-statistics.offset / statistics.scale)
        self.bounds.assign(statistics.bounds)

    def restore(self, statistics: Statistics) -> None:
        """Set the layer to invert ``standardise``."""
        self.factor.assign(statistics.scale)
        self.summand.assign(statistics.offset)
        self.bounds.assign(statistics.bounds)

    def clip(self, x: np.ndarray) -> np.ndarray:
        """Clip a NumPy array to the bounds."""
        return np.clip(x, *ops.convert_to_numpy(self.bounds))


def statistics(windows: Windows, key: str, gain: np.ndarray | None = None) -> Statistics:
    """Compute mean, standard deviation and bounds of the channels of training items.

    Args:
        windows: training windows.
        key: key of the array (b, ..., c) in a batch.
        gain: (c,) ``channel_gain`` of the encoder that made the items. One number then scales all channels, in units
            of its frames; None scales each channel by itself.
    """
    indices = np.unique(np.linspace(0, len(windows) - 1, min(ITEMS, len(windows))).astype(np.int64))
    total = squares = np.zeros(())
    n, low, high = 0, np.inf, -np.inf
    for start in range(0, len(indices), AT_ONCE):
        x = np.asarray(windows.take(indices[start : start + AT_ONCE])[key], np.float64)
        low, high = min(low, float(x.min())), max(high, float(x.max()))
        x = x.reshape(-1, x.shape[-1])
        total, squares, n = total + x.sum(0), squares + (x**2).sum(0), n + len(x)
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0)
    bounds = (0, 1) if low >= 0 and high <= 1 else (-np.inf, np.inf)
    scale = np.sqrt(variance)
    scale = np.where(scale > LEAST * np.abs(mean), scale, 1.0)
    varied = np.where(np.sqrt(variance) > LEAST * np.abs(mean), variance, 0)
    if gain is not None and gain.max() > 0 and varied.max() > 0:
        weights = np.maximum(gain, LEAST_GAIN * gain.max())
        scale = np.sqrt((varied * np.square(weights)).mean()) / weights
    return Statistics(mean.astype(np.float32), scale.astype(np.float32), np.array(bounds, np.float32))
