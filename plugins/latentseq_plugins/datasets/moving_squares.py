"""Moving squares: a few white squares that drift over a small black frame."""

from typing import ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import UsageError
from latentseq.protocols import Dataset

FEWEST, MOST = 3, 7
"""Minimum and maximum number of squares in a clip."""


class MovingSquares(Dataset):
    """Clips of three to seven squares, each with a velocity of -1, 0 or 1 pixel a frame down and across.

    A square with half-width ``r``, 2 or 3 pixels, covers rows ``y - r`` to ``y + r - 1``, and columns in the same
    way. It starts with its centre anywhere in the frame, and may leave the frame. Frames are gray, with 255 on 0. A
    clip depends only on the seed and its number.

    References:
        The next-frame prediction example of Keras for ConvLSTM layers, which uses similar data.
    """

    name: ClassVar[str] = "moving-squares"
    description: ClassVar[str] = "Generated clips of squares that move in straight lines: small, quick, no download."

    def __init__(self, count: int = 1200, length: int = 15, size: int = 40, seed: int = 0) -> None:
        """Set the options; frames are drawn when they are read.

        Args:
            count: number of clips.
            length: number of frames of each clip.
            size: side of a frame in pixels.
            seed: random seed of the clips.

        Raises:
            UsageError: an option is out of range.
        """
        for key, value, least in (("count", count, 1), ("length", length, 1), ("size", size, 8), ("seed", seed, 0)):
            if value < least:
                raise UsageError(f"{self.name}: option {key} is {value!r}; expected {least} or more.")
        self.count = count
        self.length = length
        self.size = size
        self.seed = seed
        self._lengths = np.full(count, length, np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each clip, (n,) int64."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape (h, w, 1) of the frames."""
        return self.size, self.size, 1

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: the clip or the range does not exist.
        """
        start, stop = self.check_range(i, start, stop)
        random = np.random.default_rng([self.seed, i])
        squares = random.integers(FEWEST, MOST, endpoint=True)
        centre = random.integers(0, self.size, (2, squares))
        velocity = random.integers(-1, 1, (2, squares), endpoint=True)
        radius = random.integers(2, 3, squares, endpoint=True)
        at = centre[:, None] + np.arange(start, stop)[:, None] * velocity[:, None]  # (2, t, squares)
        offset = np.arange(self.size)[:, None] - at[:, :, None]  # (2, t, size, squares)
        rows, columns = ((offset >= -radius) & (offset < radius)).astype(np.float32)
        # A pixel is white if one square covers both its row and its column.
        white = rows @ columns.transpose(0, 2, 1) > 0
        return Clip(np.where(white, np.uint8(255), np.uint8(0))[..., None], {})
