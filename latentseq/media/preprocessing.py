"""How pictures of any size become frames of one size: the options that video, image and array files share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeAlias

import numpy as np

from latentseq.errors import DataError, UsageError

Size: TypeAlias = int | str | list[int] | tuple[int, ...]
"""A size in pixels: the side of a square, ``"48x64"`` (height x width), or [h, w]."""
FITS = ("crop", "pad", "stretch")
DEFAULT_SIZE = 64
"""Side in pixels of square frames, where no size is chosen."""
MAX_SIDE = 8192
MAX_FPS = 1000
MAX_PIXELS = 50_000_000
"""Maximum number of pixels of a picture before it is scaled: a frame of 8K video has 33 million, and a decoder needs
several bytes for each of them."""


@dataclass(frozen=True)
class Preprocessing:
    """How files are decoded to frames of one shape. A trained model keeps it, and later data is decoded the same way.

    Attributes:
        size: size of the frames in pixels: the side of a square such as ``64``, ``"48x64"`` (height x width), or
            ``[48, 64]``. None leaves the choice to the command.
        fit: what to do with a picture of another shape. ``crop`` keeps its middle, ``pad`` adds black borders, and
            ``stretch`` distorts it.
        gray: convert frames to one channel.
        fps: frame rate in frames per second, by presentation time and before ``skip``. None keeps the file's rate.
        skip: keep every n-th frame.
        shape: (h, w) of the frames, computed from ``size``. It is 64 x 64 if ``size`` is None.
    """

    size: Size | None = field(default=None, compare=False)
    fit: str = "crop"
    gray: bool = False
    fps: float | None = None
    skip: int = 1
    shape: tuple[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Compute the shape and check the values.

        Raises:
            UsageError: a value is out of range.
        """
        shape = _shape(DEFAULT_SIZE if self.size is None else self.size)
        if len(shape) != 2 or not all(_is_int(side) and 1 <= side <= MAX_SIDE for side in shape):
            raise UsageError(
                f"Option size is {list(shape)!r}; expected a side or [height, width] in pixels, "
                f"each from 1 to {MAX_SIDE}, such as 64 or [64, 96]."
            )
        object.__setattr__(self, "shape", shape)
        if self.fit not in FITS:
            raise UsageError(f"Option fit is {self.fit!r}; expected 'crop', 'pad' or 'stretch'.")
        if not isinstance(self.gray, bool):
            raise UsageError(f"Option gray is {self.gray!r}; expected true or false.")
        if not _is_int(self.skip) or self.skip < 1:
            raise UsageError(f"Option skip is {self.skip!r}; expected 1 to keep every frame, 3 to keep every third.")
        if self.fps is not None and (not _is_number(self.fps) or not 0 < self.fps <= MAX_FPS):
            raise UsageError(f"Option fps is {self.fps!r}; expected frames a second, above 0 and at most {MAX_FPS}.")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read the result of ``to_json``. Other keys are ignored.

        Raises:
            DataError: a key is missing.
            UsageError: a value is out of range.
        """
        try:
            options = {key: value[key] for key in ("size", "fit", "gray", "skip", "fps")}
        except KeyError as missing:
            raise DataError(f"The preprocessing {dict(value)!r} cannot be used: {missing} is missing.") from missing
        size = options["size"]  # It is [h, w] in files of every version; a model always has one.
        return cls(**{**options, "size": size if isinstance(size, list) else [size, size]})

    def to_json(self) -> dict[str, Any]:
        """The options as JSON types, with the size as [h, w]."""
        return {"size": list(self.shape), "fit": self.fit, "gray": self.gray, "skip": self.skip, "fps": self.fps}

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of the frames."""
        return (*self.shape, 1 if self.gray else 3)

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Size of a scaled picture: ``crop`` covers the frame, ``pad`` lies inside it, ``stretch`` is equal to it.

        Args:
            height: height of the picture, in pixels.
            width: width of the picture, in pixels.

        Returns:
            (h, w) to scale the picture to.
        """
        h, w = self.shape
        if self.fit == "stretch":
            return h, w
        ratios = h / height, w / width
        ratio = max(ratios) if self.fit == "crop" else min(ratios)
        return max(1, round(height * ratio)), max(1, round(width * ratio))

    def place(self, picture: np.ndarray) -> np.ndarray:
        """Cut the middle out of a scaled picture, or put the picture in the middle of a black frame.

        Args:
            picture: (*scaled(height, width), c) uint8.

        Returns:
            (h, w, c) uint8.
        """
        (h, w), (ph, pw) = self.shape, picture.shape[:2]
        top, left = max(0, (ph - h) // 2), max(0, (pw - w) // 2)
        picture = picture[top : top + h, left : left + w]
        if picture.shape[:2] == (h, w):
            return picture
        frame = np.zeros((h, w, picture.shape[2]), np.uint8)
        top, left = (h - picture.shape[0]) // 2, (w - picture.shape[1]) // 2
        frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        return frame


def check_pixels(path: Path, height: int, width: int) -> None:
    """Refuse a picture that would fill the memory before it is scaled.

    Raises:
        DataError: the picture has more than ``MAX_PIXELS`` pixels.
    """
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path} is {height} x {width} (h x w), {height * width} pixels; expected at most {MAX_PIXELS}. "
            "Make it smaller with another program first."
        )


def parse_size(text: str | int) -> tuple[int, int]:
    """Convert a size such as ``64`` or ``48x64`` (height x width) to (h, w).

    Raises:
        UsageError: the text is not a size.
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", str(text).strip().lower())
    if not match:
        raise UsageError(f"The size is {text!r}; expected a number of pixels such as 64, or 48x64 (h x w).")
    return int(match[1]), int(match[2] or match[1])


def _shape(size: Size) -> tuple[Any, ...]:
    """A size as (h, w), not yet checked."""
    if isinstance(size, str):
        return parse_size(size)
    if isinstance(size, (list, tuple)):
        return tuple(size)
    return size, size


def _is_number(value: object) -> bool:
    return _is_int(value) or isinstance(value, float)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
