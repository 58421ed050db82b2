"""Small windows that are cut out of large frames where something moves, as in the training of multi-scale GANs."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.data.splits import split_ranges
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Dataset

TRIES = 100
"""Maximum number of windows that are drawn in one part of a film."""
PLACES = 20
"""Maximum number of parts of a film that are tried for one crop during training."""


@dataclass(frozen=True)
class CropRecipe:
    """Options of crops.

    Attributes:
        side: height and width of a window, in pixels.
        length: number of frames of a clip.
        still: share of clips that need no motion, in [0, 1].
        motion: minimum motion of all other clips (see ``motion_of``), in [0, 1).
    """

    side: int
    length: int
    still: float
    motion: float

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: a value is out of range.
        """
        if self.side < 1:
            raise UsageError(f"Option crop is {self.side}; expected a side of 1 pixel or more.")
        if self.length < 2:
            raise UsageError(f"Option clip_length is {self.length}; expected crops of 2 frames or more.")
        if not 0 <= self.still <= 1:
            raise UsageError(f"Option still is {self.still}; expected a share from 0 to 1.")
        if not 0 <= self.motion < 1:
            raise UsageError(f"Option motion is {self.motion}; expected a number from 0 to below 1.")


def motion_of(clip: np.ndarray) -> float:
    """Measure the motion of a clip: the mean absolute difference of successive frames.

    Args:
        clip: (t, h, w, c) uint8, t of 2 or more.

    Returns:
        A number from 0, without motion, to 1, if all pixels alternate between black and white.
    """
    frames = clip.astype(np.int16)
    return float(np.abs(frames[1:] - frames[:-1]).mean() / 255)


def draw(frames: np.ndarray, recipe: CropRecipe, random: np.random.Generator) -> tuple[int, np.ndarray] | None:
    """Draw one crop.

    Args:
        frames: (t, h, w, c) uint8, at least as long and as large as a crop.
        recipe: options of the crop.
        random: random number generator.

    Returns:
        The number of the first frame, and the crop (length, side, side, c) uint8; None if no window that was drawn
        has enough motion.
    """
    may_be_still = random.random() < recipe.still
    size = (recipe.length, recipe.side, recipe.side)
    positions = [whole - part + 1 for whole, part in zip(frames.shape[:3], size, strict=True)]
    for _ in range(TRIES):
        t, y, x = (int(v) for v in random.integers(0, positions))
        crop = frames[t : t + recipe.length, y : y + recipe.side, x : x + recipe.side]
        if may_be_still or motion_of(crop) >= recipe.motion:
            return t, crop
    return None


class Crops(Dataset):
    """Windows that are drawn from another dataset during training. Clip i is the same each time it is read.

    The splits are those of the other dataset; each has a share of the windows in proportion to its frames.
    """

    name: ClassVar[str] = "crops"
    description: ClassVar[str] = "Windows of another dataset, where something moves."

    def __init__(
        self,
        dataset: Dataset,
        crop: int,
        clip_length: int = 10,
        count: int = 10_000,
        still: float = 0.05,
        motion: float = 0.02,
        crop_seed: int = 0,
    ) -> None:
        """Prepare the crops. Each crop is drawn when it is read.

        Args:
            dataset: the dataset to cut from.
            crop: height and width of a window, in pixels.
            clip_length: number of frames of a clip.
            count: number of clips.
            still: share of clips that need no motion, in [0, 1].
            motion: minimum motion of all other clips (see ``motion_of``), in [0, 1).
            crop_seed: random seed of the crops.

        Raises:
            UsageError: an option is out of range.
            DataError: the frames of the dataset are smaller than a crop, or its clips are shorter.
        """
        self.recipe = CropRecipe(crop, clip_length, still, motion)
        if count < 1:
            raise UsageError(f"Option count is {count}; expected 1 crop or more.")
        if crop_seed < 0:
            raise UsageError(f"Option crop_seed is {crop_seed}; expected a whole number of 0 or more.")
        h, w, _ = dataset.frame_shape
        if crop > min(h, w):
            raise DataError(
                f"The frames of {dataset.name} are {h} x {w} (h x w), too small for crops of {crop} x {crop}. Choose "
                "a smaller crop."
            )
        ranges = _long_enough(dataset, dataset.hold_out, clip_length)
        if dataset.hold_out is None and not len(ranges["validation"]):  # Whole clips may be long enough.
            ranges = _long_enough(dataset, "clips", clip_length)
        frames = {name: int((r[:, 2] - r[:, 1]).sum()) for name, r in ranges.items()}
        if not frames["train"]:
            raise DataError(f"No training clip of {dataset.name} has {clip_length} frames. Choose shorter crops.")
        self.dataset = dataset
        self.crop = crop
        self.clip_length = clip_length
        self.count = count
        self.still = still
        self.motion = motion
        self.crop_seed = crop_seed
        self.fps = dataset.fps
        self.streams = dataset.streams
        self.slow = dataset.slow  # type: ignore[misc]
        self.sources = [{k: v for k, v in each.items() if k != "size"} for each in dataset.sources]
        self._ranges = ranges
        ends = np.rint(np.cumsum(list(frames.values())) / sum(frames.values()) * count).astype(int)
        self.split = np.repeat(list(frames), np.diff(ends, prepend=0))

    @classmethod
    def options(cls) -> list[str]:
        """The keywords that a user can set."""
        return [key for key in cls.keywords() if key != "dataset"]

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""
        return np.full(self.count, self.clip_length, np.int64)

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self.crop, self.crop, self.dataset.frame_shape[2]

    def get_config(self) -> dict[str, Any]:
        """The options of the dataset, and those of the crops."""
        return {**self.dataset.get_config(), **{key: getattr(self, key) for key in self.options()}}

    def fingerprint(self) -> str:
        """SHA-256 of the dataset's fingerprint and the options."""
        own = {key: getattr(self, key) for key in self.options()}
        return hashlib.sha256(json.dumps([self.dataset.fingerprint(), own], sort_keys=True).encode()).hexdigest()

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``. If nothing moves enough, the crop is a corner of the last frames that were tried."""
        start, stop = self.check_range(i, start, stop)
        frames, streams = self._draw(i)[0]
        return Clip(frames[start:stop], {name: rows[start:stop] for name, rows in streams.items()})

    def times(self, i: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """See ``Dataset.times``. The times are those of the original frames."""
        start, stop = self.check_range(i, start, stop)
        _, source, first = self._draw(i)
        times = self.dataset.times(source, first, first + self.clip_length)
        return times[start:stop] - times[0]

    def _draw(self, i: int) -> tuple[Clip, int, int]:
        """Draw a whole clip; return it, the clip of the dataset that it is from, and the first frame there."""
        assert self.split is not None
        random, ranges = np.random.default_rng([self.crop_seed, i]), self._ranges[str(self.split[i])]
        places = np.cumsum(ranges[:, 2] - ranges[:, 1] - self.clip_length + 1)
        # Decided once per clip. Decided at every place, still clips would exceed their share where little moves.
        recipe = replace(self.recipe, still=float(random.random() < self.still))
        for _ in range(PLACES):
            place = int(random.integers(places[-1]))
            row = int(np.searchsorted(places, place, side="right"))
            first = int(ranges[row, 1]) + place - (int(places[row - 1]) if row else 0)
            source = int(ranges[row, 0])
            whole = self.dataset.read(source, first, first + self.clip_length)
            crop = draw(whole.frames, recipe, random)
            if crop:
                break
        frames = crop[1] if crop else whole.frames[:, : self.crop, : self.crop]
        return Clip(frames, whole.streams), source, first


def _long_enough(dataset: Dataset, hold_out: str | None, length: int) -> dict[str, np.ndarray]:
    """The ranges of each split that have ``length`` frames or more."""
    ranges = split_ranges(dataset.lengths, dataset.split, hold_out)
    return {name: rows[rows[:, 2] - rows[:, 1] >= length] for name, rows in ranges.items()}
