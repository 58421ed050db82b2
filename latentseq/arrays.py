"""Axes, the arrays that cross the seam, and the only place that coerces them.

One letter an axis, everywhere: ``b`` sequences, ``t`` time, ``n`` frames, ``h w c`` height, width, channels
(last), ``d`` latent, ``k`` mixture components, ``s`` samples, ``f`` features of a side stream.

Frames are uint8 in storage and float32 in [0, 1] at the seam.
"""

from __future__ import annotations

import math
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from latentseq.errors import DataError, UsageError

Batch: TypeAlias = dict[str, np.ndarray]
"""Arrays by name, every one (b, ...): what a window source gives and what a network is trained on."""

State: TypeAlias = dict[str, np.ndarray]
"""Recurrent state, every array (b, ...). Owned by the model that made it; anyone may repeat, index and save it."""


RANGE_TOLERANCE = 1e-3
"""How far frames may lie outside of [0, 1]: rounding leads there, another scale leads much further."""
MAX_TEMPERATURE = 100.0
"""Noise that is ten times as wide as a model learned; beyond it lie overflows, and no use."""


class Latents(NamedTuple):
    """What an encoder says of its input.

    Attributes:
        mean: (..., *latent_shape) float32.
        log_var: the same shape, natural log of the variance; None without a posterior.
    """

    mean: np.ndarray
    log_var: np.ndarray | None = None


class Clip(NamedTuple):
    """A stretch of one clip, or a batch of equally long ones.

    Attributes:
        frames: (..., t, h, w, c) uint8.
        streams: side streams by name, each (..., t, f) float32; row i belongs to frame i.
    """

    frames: np.ndarray
    streams: dict[str, np.ndarray]


def to_float(frames: np.ndarray) -> np.ndarray:
    """Frames as they cross the seam: uint8 becomes float32 in [0, 1], floats become float32.

    Args:
        frames: any shape, uint8 or floating point in [0, 1].

    Returns:
        The same shape, float32.

    Raises:
        DataError: another dtype.
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
    """Frames as they are stored: floats in [0, 1] are clipped, scaled to 0..255 and rounded.

    Raises:
        DataError: a value is not finite, which no number from 0 to 255 stands for.
    """
    frames = np.asarray(frames)
    if frames.dtype == np.uint8:
        return frames
    check_finite(frames, "The model made")
    return np.rint(np.clip(frames, 0, 1) * 255).astype(np.uint8)


def check_finite(frames: np.ndarray, what: str) -> None:
    """Refuse frames that a model made and that are no pictures.

    Args:
        frames: any shape, floating point.
        what: who made them, as a sentence that goes on with "frames".

    Raises:
        DataError: a value is NaN or infinite.
    """
    if not np.isfinite(frames).all():
        raise DataError(f"{what} frames with values that are not finite. Train it again.")


def as_items(x: Any, item_shape: tuple[int, ...], name: str, *, axes: int = 1, frames: bool = False) -> np.ndarray:
    """Check and coerce a batch at the seam.

    Args:
        x: (..., *item_shape); uint8 is taken for frames and scaled to [0, 1].
        item_shape: shape of one item.
        name: what to call the array in an error.
        axes: how many leading axes there must be: 1 (n) or 2 (b, t).
        frames: whether the values have to lie in [0, 1].

    Returns:
        The array, float32.

    Raises:
        DataError: a dtype or a shape that does not fit, no items at all, a value that is not finite, or frames
            outside of [0, 1].
    """
    x = to_float(x)
    if x.ndim != axes + len(item_shape) or x.shape[axes:] != tuple(item_shape):
        wanted = ", ".join(["n" if axes == 1 else "b, t", *map(str, item_shape)])
        raise DataError(f"{name} has shape {x.shape}; expected ({wanted}).")
    if not x.size:
        raise DataError(f"{name} has shape {x.shape}, which holds no items; expected 1 or more.")
    low, high = float(x.min()), float(x.max())  # Either is NaN where any value is.
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError(
            f"{name} holds values that are not finite (NaN or infinity); expected finite numbers. Replace them, or "
            "leave those items out."
        )
    if frames and not -RANGE_TOLERANCE <= low <= high <= 1 + RANGE_TOLERANCE:
        raise DataError(f"{name} has values from {low:g} to {high:g}; expected 0 to 1. {_rescaling(low, high)}")
    return x


def check_rolling(*, steps: int = 1, samples: int = 1, seed: int = 0, temperature: float = 0.0) -> None:
    """Refuse what no model can roll forward by.

    Args:
        steps: items to imagine.
        samples: futures of each sequence.
        seed: of the noise.
        temperature: of the noise.

    Raises:
        UsageError: one of them is out of its range.
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
    """How to bring frames of a common range to [0, 1]."""
    if low >= 0 and high <= 255:
        return "Divide frames of 0..255 by 255, or give them as uint8."
    if low >= -1 and high <= 1:
        return "Frames of -1..1 become frames of 0..1 by (frames + 1) / 2."
    return "Scale the frames to that range before the call."


class Windows(ABC):
    """Fixed windows of data, read at random."""

    @abstractmethod
    def __len__(self) -> int:
        """How many windows there are."""

    @abstractmethod
    def take(self, indices: np.ndarray) -> Batch:
        """The windows at ``indices`` (b,), every array (b, ...)."""

    @typing.final
    def map(self, function: Callable[[Batch], Batch]) -> Windows:
        """The same windows, with a function of a batch applied when they are taken."""
        return _Mapped(self, function)


class _Mapped(Windows):
    def __init__(self, windows: Windows, function: Callable[[Batch], Batch]):
        self._windows, self._function = windows, function

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, indices: np.ndarray) -> Batch:
        return self._function(self._windows.take(indices))


@dataclass(frozen=True)
class Source:
    """What every fit gets.

    The arrays of a batch depend on who is fitted: an encoder gets ``x`` (b, *input_shape); a decoder ``z``
    (b, *latent_shape) and ``x``; dynamics ``mean`` (b, t, *latent_shape), ``log_var`` where the encoder has a
    posterior, and each condition (b, t, f); a predictor ``frames`` (b, t, h, w, c) and each condition.
    """

    train: Windows
    validation: Windows

    def map(self, function: Callable[[Batch], Batch]) -> Source:
        """The same source, with a function of a batch applied to all windows."""
        return Source(self.train.map(function), self.validation.map(function))
