"""Sounding shapes: a shape that goes where the sound says, which turns at times that nothing in the frames tells."""

from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import UsageError
from latentseq.protocols import Dataset

BANDS = 64
DIRECTIONS = 8
FASTEST = 3
"""Pixels a frame."""
HELD = 2, 7
"""Frames for which a direction and a speed are held, the fewest and the most."""
NOISE = 0.1
DISTRACTION = 0.25
"""Height of a peak in the sound that means nothing."""


class SoundingShapes(Dataset):
    """Clips of a disc or a square whose motion follows the stream ``audio``.

    A row of ``audio`` is like the loudness of 64 bands: a peak, whose place says one of eight directions and whose
    height the speed (1 to 3 pixels a frame as a half to 1), a lower peak anywhere, which means nothing, and noise.
    Row i moves the shape from frame i to frame i + 1. A direction and a speed are held for 2 to 7 frames, then drawn
    anew; at the border of the frame the shape stays inside. Frames are gray, 255 on 0. A clip depends on the seed,
    its own number and the length only.
    """

    name: ClassVar[str] = "sounding-shapes"
    description: ClassVar[str] = "Generated clips of a shape that goes where the sound says."

    def __init__(self, count: int = 2000, length: int = 20, size: int = 32, seed: int = 0) -> None:
        """Nothing is drawn before it is read.

        Args:
            count: clips in all.
            length: frames of each.
            size: side of a frame, in pixels.
            seed: of everything.

        Raises:
            UsageError: an option that is out of range.
        """
        for key, value, least in (("count", count, 1), ("length", length, 1), ("size", size, 16), ("seed", seed, 0)):
            if value < least:
                raise UsageError(f"{self.name}: option {key} is {value!r}; expected {least} or more.")
        self.count, self.length, self.size, self.seed = count, length, size, seed
        self.streams = {"audio": BANDS}
        self._lengths = np.full(count, length, np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, 1)."""
        return self.size, self.size, 1

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: a clip or a range that does not exist.
        """
        start, stop = self.check_range(i, start, stop)
        random = np.random.default_rng([self.seed, i])
        radius, disc = int(random.integers(3, 5, endpoint=True)), bool(random.integers(2))
        at = random.uniform(radius, self.size - radius, 2)
        held = random.integers(*HELD, self.length, endpoint=True)
        turns = np.repeat(np.arange(self.length), held)[: self.length]  # The number of the course at each frame.
        direction = random.integers(0, DIRECTIONS, self.length)[turns]
        speed = random.integers(1, FASTEST, self.length, endpoint=True)[turns]
        angle = 2 * np.pi * direction / DIRECTIONS
        steps = speed[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        places = [at]
        for step in steps[:-1]:
            places.append(np.clip(places[-1] + step, radius, self.size - radius))
        audio = self._audio(direction, speed, random)
        return Clip(_drawn(np.array(places)[start:stop], radius, disc, self.size), {"audio": audio[start:stop]})

    @staticmethod
    def _audio(direction: np.ndarray, speed: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """(t, 64) float32."""
        width = BANDS // DIRECTIONS
        centres = width * direction + width / 2, random.uniform(0, BANDS, len(direction))
        heights = (speed + 1) / (FASTEST + 1), np.full(len(direction), DISTRACTION)
        rows: Any = random.normal(0, NOISE, (len(direction), BANDS))
        for centre, height in zip(centres, heights, strict=True):
            rows = rows + height[:, None] * np.exp(-0.5 * ((np.arange(BANDS) + 0.5 - centre[:, None]) / 1.5) ** 2)
        return rows.astype(np.float32)


def _drawn(places: np.ndarray, radius: int, disc: bool, size: int) -> np.ndarray:
    """Shapes around places (t, 2), rows and columns in pixels, with soft edges: (t, size, size, 1) uint8."""
    middle = np.arange(size) + 0.5
    down, across = (np.abs(middle - places[:, i, None]) for i in (0, 1))
    down, across = down[:, :, None], across[:, None, :]
    far = np.hypot(down, across) if disc else np.maximum(down, across)
    return np.rint(255 * np.clip(radius + 0.5 - far, 0, 1)).astype(np.uint8)[..., None]
