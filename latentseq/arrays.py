"""The arrays that plugins exchange: their axes, and the functions that check and convert them.

Each axis has one letter, everywhere: ``b`` sequences, ``t`` time, ``n`` frames, ``h w c`` height, width and channels
(last), ``d`` latent, ``k`` mixture components, ``s`` samples, ``f`` features of a side stream.

Frames are uint8 in storage, and float32 in [0, 1] where plugins receive or return them.
"""

from __future__ import annotations

import math
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from latentseq.errors import DataError, UsageError

Batch: TypeAlias = dict[str, np.ndarray]
"""Arrays by name, each (b, ...): one training batch."""

State: TypeAlias = dict[str, np.ndarray]
"""Recurrent state, each array (b, ...). It belongs to its model; anyone may repeat, index and save it."""

Streams: TypeAlias = Mapping[str, np.ndarray]
"""Side streams by name, each (b, t, f)."""

RANGE_TOLERANCE = 1e-3
"""Maximum distance of frame values from [0, 1]: enough for rounding, too little for another scale."""
MAX_TEMPERATURE = 100.0
"""Maximum temperature. Its noise is ten times as wide as the learned noise; larger values overflow."""


class Latents(NamedTuple):
    """The output of an encoder.

    Attributes:
        mean: (..., *latent_shape) float32.
        log_var: the natural logarithm of the variance, of the same shape; None if the encoder has no posterior.
    """

    mean: np.ndarray
    log_var: np.ndarray | None = None


class Clip(NamedTuple):
    """A part of one clip, or a batch of parts of equal length.

    Attributes:
        frames: (..., t, h, w, c) uint8.
        streams: side streams by name, each (..., t, f) float32; row i belongs to frame i.
    """

    frames: np.ndarray
    streams: dict[str, np.ndarray]


def to_float(frames: np.ndarray) -> np.ndarray:
    """Convert frames for a plugin: uint8 becomes float32 in [0, 1], floats become float32.

    Args:
        frames: any shape, uint8 or floating point in [0, 1].

    Returns:
        The same shape, float32.

    Raises:
        DataError: the frames have another dtype.
    """
    frames = np.asarray(frames)
    if frames.dtype == np.uint8:
        return frames.astype(np.float32) / np.float32(255)
    if not np.issubdtype(frames.dtype, np.floating):
        raise DataError(
            f"Frames have dtype {frames.dtype}; expected uint8 in 0..255 or floating point in [0, 1]. "
            "Convert them with astype before the call."
        )
    return frames.astype(np.float32, copy=False)


def to_uint8(frames: np.ndarray) -> np.ndarray:
    """Convert frames for storage: floats in [0, 1] are clipped, scaled to 0..255 and rounded.

    Raises:
        DataError: a value is not finite.
    """
    frames = np.asarray(frames)
    if frames.dtype == np.uint8:
        return frames
    check_finite(frames, "The model predicts")
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)


def check_finite(frames: np.ndarray, subject: str) -> None:
    """Refuse frames with values that are not finite.

    Args:
        frames: any shape, floating point.
        subject: subject and verb of the message, such as "The model predicts"; "frames" follows.

    Raises:
        DataError: a value is NaN or infinite.
    """
    if not np.isfinite(frames).all():
        raise DataError(f"{subject} frames with values that are not finite. Train it again.")


def as_items(x: Any, item_shape: tuple[int, ...], name: str, *, axes: int = 1, frames: bool = False) -> np.ndarray:
    """Check an array that a plugin receives, and convert it to float32.

    Args:
        x: (..., *item_shape). An array of uint8 holds frames, which are scaled to [0, 1].
        item_shape: shape of one item.
        name: name of the array in error messages.
        axes: number of leading axes: 1 (n) or 2 (b, t).
        frames: whether the values must be in [0, 1].

    Returns:
        The array, float32.

    Raises:
        DataError: the dtype or the shape does not fit, there are no items, a value is not finite, or frames are
            outside [0, 1].
    """
    x = to_float(x)
    if x.ndim != axes + len(item_shape) or x.shape[axes:] != tuple(item_shape):
        expected = ", ".join(["n" if axes == 1 else "b, t", *map(str, item_shape)])
        raise DataError(f"{name} has shape {x.shape}; expected ({expected}).")
    if not x.size:
        raise DataError(f"{name} has shape {x.shape}, which holds no items; expected 1 or more.")
    low, high = float(x.min()), float(x.max())  # Both are NaN if any value is.
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(
            f"{name} has values that are not finite (NaN or infinity); expected finite numbers. Replace them, or "
            "remove those items."
        )
    if frames and not -RANGE_TOLERANCE <= low <= high <= 1 + RANGE_TOLERANCE:
        raise DataError(f"{name} has values from {low:g} to {high:g}; expected 0 to 1. {_rescaling(low, high)}")
    return x


def check_rolling(*, steps: int = 1, samples: int = 1, seed: int = 0, temperature: float = 0.0) -> None:
    """Check the arguments of a rollout.

    Args:
        steps: number of items to imagine.
        samples: number of futures of each sequence.
        seed: random seed of the noise.
        temperature: temperature of the noise.

    Raises:
        UsageError: an argument is out of range.
    """
    for name, value, fits, expected in (
        ("steps", steps, steps >= 1, "1 or more"),
        ("samples", samples, samples >= 1, "1 or more"),
        ("seed", seed, seed >= 0, "a whole number of 0 or more"),
        ("temperature", temperature, 0 <= temperature <= MAX_TEMPERATURE, f"a number from 0 to {MAX_TEMPERATURE:g}"),
    ):
        if not fits:
            raise UsageError(f"{name} is {value}; expected {expected}.")


def _rescaling(low: float, high: float) -> str:
    """Advice on how to bring frames to [0, 1]."""
    if low >= 0 and high <= 255:
        return "Divide frames of 0..255 by 255, or give them as uint8."
    if low >= -1 and high <= 1:
        return "Convert frames of -1..1 to 0..1 with (frames + 1) / 2."
    return "Scale the frames to that range before the call."


class Windows(ABC):
    """Fixed windows of data, with random access."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of windows."""

    @abstractmethod
    def take(self, indices: np.ndarray) -> Batch:
        """Read the windows at ``indices`` (b,); each array is (b, ...)."""

    @typing.final
    def map(self, function: Callable[[Batch], Batch]) -> Windows:
        """The same windows; ``function`` is applied to each batch that is read."""
        return _MappedWindows(self, function)


class _MappedWindows(Windows):
    def __init__(self, windows: Windows, function: Callable[[Batch], Batch]):
        self._windows = windows
        self._function = function

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, indices: np.ndarray) -> Batch:
        return self._function(self._windows.take(indices))


@dataclass(frozen=True)
class Source:
    """Training and validation data.

    The arrays of a batch depend on the plugin: an encoder gets ``x`` (b, *input_shape); a decoder gets ``z``
    (b, *latent_shape) and ``x``; dynamics get ``mean`` (b, t, *latent_shape), ``log_var`` if the encoder has a
    posterior, and each condition (b, t, f); a predictor gets ``frames`` (b, t, h, w, c) and each condition.

    Attributes:
        train: training windows.
        validation: validation windows.
        gain: (d,) the ``channel_gain`` of the encoder that made the latents or features; None if it is unknown.
    """

    train: Windows
    validation: Windows
    gain: np.ndarray | None = None

    def map(self, function: Callable[[Batch], Batch]) -> Source:
        """The same source; ``function`` is applied to each batch that is read."""
        return Source(self.train.map(function), self.validation.map(function), self.gain)
