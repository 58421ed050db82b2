"""How pictures of any size become frames of one: the options that video files and image files share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from latentseq.errors import DataError, UsageError

FITS = ("crop", "pad", "stretch")
MAX_SIDE = 8192
MAX_FPS = 1000
MAX_PIXELS = 50_000_000
"""Of one picture before it is made smaller: 8K video has 33 million, and a decoder needs several bytes for each."""


@dataclass(frozen=True)
class Preprocessing:
    """What is done to every frame; kept with a trained model, so that what it is shown later is treated alike.

    Attributes:
        size: (h, w) of the frames, in pixels.
        fit: where the shape differs: ``crop`` keeps the middle, ``pad`` adds black borders, ``stretch`` distorts.
        gray: one channel instead of three.
        skip: keep every n-th frame; 1 keeps all.
        fps: frames a second, by presentation time and before ``skip``; None leaves them as they are.
    """

    size: tuple[int, int]
    fit: str = "crop"
    gray: bool = False
    skip: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: a value that is out of range.
        """
        if len(self.size) != 2 or not all(_is_int(side) and 1 <= side <= MAX_SIDE for side in self.size):
            raise UsageError(
                f"Option size is {list(self.size)!r}; expected a side or [height, width] in pixels, "
                f"each from 1 to {MAX_SIDE}, such as 64 or [64, 96]."
            )
        if self.fit not in FITS:
            raise UsageError(f"Option fit is {self.fit!r}; expected 'crop', 'pad' or 'stretch'.")
        if not isinstance(self.gray, bool):
            raise UsageError(f"Option gray is {self.gray!r}; expected true or false.")
        if not _is_int(self.skip) or self.skip < 1:
            raise UsageError(f"Option skip is {self.skip!r}; expected 1 to keep every frame, 3 to keep every third.")
        if self.fps is not None and (not _is_number(self.fps) or not 0 < self.fps <= MAX_FPS):
            raise UsageError(f"Option fps is {self.fps!r}; expected frames a second, above 0 and at most {MAX_FPS}.")

    @classmethod
    def of(
        cls, size: int | Sequence[int], fit: str = "crop", gray: bool = False, skip: int = 1, fps: float | None = None
    ) -> Self:
        """From the options as they are given, where one number is the side of a square.

        Raises:
            UsageError: a value that is out of range.
        """
        h, *rest = (size or [0]) if isinstance(size, (list, tuple)) else [size, size]
        return cls((h, *rest), fit, gray, skip, fps)  # Checked on construction.

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From what ``to_json`` gave; other keys are left alone.

        Raises:
            DataError: a key is missing.
            UsageError: a value that is out of range.
        """
        try:
            return cls.of(*(value[key] for key in ("size", "fit", "gray", "skip", "fps")))
        except KeyError as missing:
            raise DataError(f"The preprocessing {dict(value)!r} cannot be used: {missing} is missing.") from missing

    def to_json(self) -> dict[str, Any]:
        """The options as JSON types."""
        return {"size": list(self.size), "fit": self.fit, "gray": self.gray, "skip": self.skip, "fps": self.fps}

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of the frames."""
        return (*self.size, 1 if self.gray else 3)

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) to scale a picture to before ``place``: it covers the frame, lies inside it, or is as large."""
        h, w = self.size
        if self.fit == "stretch":
            return h, w
        ratios = h / height, w / width
        ratio = max(ratios) if self.fit == "crop" else min(ratios)
        return max(1, round(height * ratio)), max(1, round(width * ratio))

    def place(self, picture: np.ndarray) -> np.ndarray:
        """Cut the middle out of a scaled picture, or put it on a black frame.

        Args:
            picture: (*scaled(height, width), c) uint8.

        Returns:
            (h, w, c) uint8.
        """
        (h, w), (ph, pw) = self.size, picture.shape[:2]
        top, left = max(0, (ph - h) // 2), max(0, (pw - w) // 2)
        picture = picture[top : top + h, left : left + w]
        if picture.shape[:2] == (h, w):
            return picture
        frame = np.zeros((h, w, picture.shape[2]), np.uint8)
        top, left = (h - picture.shape[0]) // 2, (w - picture.shape[1]) // 2
        frame[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
        return frame


def check_pixels(path: Path, height: int, width: int) -> None:
    """Refuse a picture that would fill the memory before it is made smaller.

    Raises:
        DataError: it has more than ``MAX_PIXELS`` pixels.
    """
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path} is {height} x {width} (h x w), {height * width} pixels; expected at most {MAX_PIXELS}. "
            "Make it smaller with another program first."
        )


def _is_number(value: object) -> bool:
    return _is_int(value) or isinstance(value, float)


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
