"""Axes, the arrays that cross the seam, and the only place that coerces them.

One letter an axis, everywhere: ``b`` sequences, ``t`` time, ``n`` frames, ``h w c`` height, width, channels
(last), ``d`` latent, ``k`` mixture components, ``s`` samples, ``f`` features of a side stream.

Frames are uint8 in storage and float32 in [0, 1] at the seam.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np

from latentseq.errors import DataError

Batch: TypeAlias = dict[str, np.ndarray]
"""Arrays by name, every one (b, ...): what a window source gives and what a network is trained on."""

State: TypeAlias = dict[str, np.ndarray]
"""Recurrent state, every array (b, ...). Owned by the model that made it; anyone may repeat, index and save it."""


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


def as_items(x: Any, item_shape: tuple[int, ...], name: str, *, axes: int = 1) -> np.ndarray:
    """Check and coerce a batch at the seam.

    Args:
        x: (..., *item_shape); uint8 is taken for frames and scaled to [0, 1].
        item_shape: shape of one item.
        name: what to call the array in an error.
        axes: how many leading axes there must be: 1 (n) or 2 (b, t).

    Returns:
        The array, float32.

    Raises:
        DataError: a dtype or a shape that does not fit.
    """
    x = to_float(x)
    if x.ndim != axes + len(item_shape) or x.shape[axes:] != tuple(item_shape):
        wanted = ", ".join(["n" if axes == 1 else "b, t", *map(str, item_shape)])
        raise DataError(f"{name} has shape {x.shape}; expected ({wanted}).")
    return x
