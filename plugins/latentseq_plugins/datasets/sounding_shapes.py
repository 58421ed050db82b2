"""Sounding shapes: the sound directs the motion of a shape, whose turns cannot be predicted from the frames."""

from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import UsageError
from latentseq.protocols import Dataset

BANDS = 64
"""Number of bands of the sound."""
DIRECTIONS = 8
"""Number of directions of motion."""
FASTEST = 3
"""Maximum speed in pixels per frame."""
DURATION = 2, 7
"""Minimum and maximum number of frames between two turns."""
NOISE = 0.1
"""Standard deviation of the noise in the sound."""
DISTRACTION = 0.25
"""Height of a peak in the sound that has no meaning."""


class SoundingShapes(Dataset):
    """Clips of a disc or a square whose motion follows the stream ``audio``.

    A row of ``audio`` resembles the loudness of 64 bands. The position of a peak sets one of eight directions, and
    its height sets the speed (a half to 1 for 1 to 3 pixels per frame). The row also has noise, and a lower peak that
    has no meaning. Row i moves the shape from frame i to frame i + 1. Direction and speed are constant for 2 to 7
    frames and are then drawn again. The shape stays inside the frame. Frames are gray, with 255 on 0. A clip depends
    only on the seed, its number and the length.
    """

    name: ClassVar[str] = "sounding-shapes"
    description: ClassVar[str] = "Generated clips of a shape whose motion follows the sound."

    def __init__(self, count: int = 2000, length: int = 20, size: int = 32, seed: int = 0) -> None:
        """Set the options; frames are drawn when they are read.

        Args:
            count: number of clips.
            length: number of frames of each clip.
            size: side of a frame in pixels.
            seed: random seed of the clips.

        Raises:
            UsageError: an option is out of range.
        """
        for key, value, least in (("count", count, 1), ("length", length, 1), ("size", size, 16), ("seed", seed, 0)):
            if value < least:
                raise UsageError(f"{self.name}: option {key} is {value!r}; expected {least} or more.")
        self.count = count
        self.length = length
        self.size = size
        self.seed = seed
        self.streams = {"audio": BANDS}
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
        radius, disc = int(random.integers(3, 5, endpoint=True)), bool(random.integers(2))
        at = random.uniform(radius, self.size - radius, 2)
        durations = random.integers(*DURATION, self.length, endpoint=True)
        turns = np.repeat(np.arange(self.length), durations)[: self.length]  # Number of turns before each frame.
        direction = random.integers(0, DIRECTIONS, self.length)[turns]
        speed = random.integers(1, FASTEST, self.length, endpoint=True)[turns]
        angle = 2 * np.pi * direction / DIRECTIONS
        steps = speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        places = [at]
        for step in steps[:-1]:
            places.append(np.clip(places[-1] + step, radius, self.size - radius))
        audio = self._audio(direction, speed, random)
        return Clip(_frames(np.array(places)[start:stop], radius, disc, self.size), {"audio": audio[start:stop]})

    @staticmethod
    def _audio(direction: np.ndarray, speed: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The stream ``audio``, (t, 64) float32."""
        width = BANDS // DIRECTIONS
        centres = width * direction + width / 2, random.uniform(0, BANDS, len(direction))
        heights = (speed + 1) / (FASTEST + 1), np.full(len(direction), DISTRACTION)
        rows: Any = random.normal(0, NOISE, (len(direction), BANDS))
        for centre, height in zip(centres, heights, strict=True):
            rows = rows + height[:, None] * np.exp(-0.5 * ((np.arange(BANDS) + 0.5 - centre[:, None]) / 1.5) ** 2)
        return rows.astype(np.float32)


def _frames(places: np.ndarray, radius: int, disc: bool, size: int) -> np.ndarray:
    """Draw shapes with soft edges around places (t, 2), rows and columns in pixels: (t, size, size, 1) uint8."""
    middle = np.arange(size) + 0.5
    down, across = (np.abs(middle - places[:, i, None]) for i in (0, 1))
    down, across = down[:, :, None], across[:, None, :]
    far = np.hypot(down, across) if disc else np.maximum(down, across)
    return np.rint(255 * np.clip(radius + 0.5 - far, 0, 1)).astype(np.uint8)[..., None]
