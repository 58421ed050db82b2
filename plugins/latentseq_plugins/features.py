"""What plugins that read features share: features come in units of their own, and networks want about one."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Windows

ITEMS = 1024
"""Training items that statistics are taken of, evenly spread."""
AT_ONCE = 64
LEAST = 1e-5
"""Share of its mean below which a channel's deviation is that of rounding: a constant one is not blown up."""


class Statistics(NamedTuple):
    """Of training items.

    Attributes:
        offset: (c,) float32, mean of every channel over items and positions.
        scale: (c,) float32, its standard deviation, above 0.
        bounds: (2,) float32, what they lie between for sure: 0 and 1 where all do, as frames; else infinite.
    """

    offset: np.ndarray
    scale: np.ndarray
    bounds: np.ndarray


class Unbounded(keras.initializers.Initializer):
    """From minus infinity to infinity."""

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        """(2,)."""
        return ops.convert_to_tensor([-np.inf, np.inf], dtype=dtype)


class Scaling(layers.Layer):
    """Multiplies every channel, then adds to it: standardises features, or gives them their units back."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """A factor and a summand for each channel, and bounds that others may keep to; none is trained."""
        shape = (input_shape[-1],)
        self.factor = self.add_weight(shape=shape, initializer="ones", trainable=False, name="factor")
        self.summand = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="summand")
        self.bounds = self.add_weight(shape=(2,), initializer=Unbounded(), trainable=False, name="bounds")

    def call(self, x: Any) -> Any:
        """(n, ..., c) -> the same."""
        return x * self.factor + self.summand

    def standardise(self, statistics: Statistics) -> None:
        """Take the mean off and divide by the deviation."""
        self.factor.assign(1 / statistics.scale)
        self.summand.assign(-statistics.offset / statistics.scale)
        self.bounds.assign(statistics.bounds)

    def restore(self, statistics: Statistics) -> None:
        """Undo ``standardise``."""
        self.factor.assign(statistics.scale)
        self.summand.assign(statistics.offset)
        self.bounds.assign(statistics.bounds)

    def clip(self, x: np.ndarray) -> np.ndarray:
        """Within the bounds, a NumPy array."""
        return np.clip(x, *ops.convert_to_numpy(self.bounds))


def statistics(windows: Windows, key: str) -> Statistics:
    """Mean, deviation and bounds of the training items' channels.

    Args:
        windows: of training.
        key: which array of a batch, (b, ..., c).
    """
    chosen = np.unique(np.linspace(0, len(windows) - 1, min(ITEMS, len(windows))).astype(np.int64))
    total = squares = np.zeros(())
    n, low, high = 0, np.inf, -np.inf
    for start in range(0, len(chosen), AT_ONCE):
        x = np.asarray(windows.take(chosen[start : start + AT_ONCE])[key], np.float64)
        low, high = min(low, float(x.min())), max(high, float(x.max()))
        x = x.reshape(-1, x.shape[-1])
        total, squares, n = total + x.sum(0), squares + (x**2).sum(0), n + len(x)
    mean = total / n
    variance = np.maximum(squares / n - mean**2, 0)
    bounds = (0, 1) if low >= 0 and high <= 1 else (-np.inf, np.inf)
    scale = np.sqrt(variance)
    scale = np.where(scale > LEAST * np.abs(mean), scale, 1.0)
    return Statistics(mean.astype(np.float32), scale.astype(np.float32), np.array(bounds, np.float32))
