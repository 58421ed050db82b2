"""Small windows cut out of large frames where something moves, after the multi-scale GAN's way of training."""

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
"""How often a window is drawn anew before its stretch of film is given up."""
PLACES = 20
"""How many stretches of film are tried for one crop while training."""


@dataclass(frozen=True)
class CropRecipe:
    """What is cut out.

    Attributes:
        side: of the window, in pixels.
        length: frames of a clip.
        still: the share of clips that are taken whether they move or not.
        motion: the least motion of the others (see ``motion_of``).
    """

    side: int
    length: int
    still: float
    motion: float

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: a value that is out of range.
        """
        if self.side < 1:
            raise UsageError(f"Option crop is {self.side}; expected the side of a window of 1 pixel or more.")
        if self.length < 2:
            raise UsageError(f"The crops have {self.length} frames; expected 2 or more, for something to move.")
        if not 0 <= self.still <= 1:
            raise UsageError(f"Option still is {self.still}; expected a share from 0 to 1.")
        if not 0 <= self.motion < 1:
            raise UsageError(f"Option motion is {self.motion}; expected a number from 0 up to 1.")


def motion_of(clip: np.ndarray) -> float:
    """How much a clip moves: the mean absolute difference of successive frames.

    Args:
        clip: (t, h, w, c) uint8, t of 2 or more.

    Returns:
        0 for a still one, 1 where black and white change places in every frame.
    """
    frames = clip.astype(np.int16)
    return float(np.abs(frames[1:] - frames[:-1]).mean() / 255)


def draw(frames: np.ndarray, recipe: CropRecipe, random: np.random.Generator) -> tuple[int, np.ndarray] | None:
    """Draw one crop.

    Args:
        frames: (t, h, w, c) uint8, at least as long and as large as the recipe asks for.
        recipe: what to cut out.
        random: where chance comes from.

    Returns:
        The number of its first frame, and the crop (length, side, side, c) uint8; None where nothing that was tried
        moves enough.
    """
    any_will_do = random.random() < recipe.still
    kept = (recipe.length, recipe.side, recipe.side)
    free = [all_of_it - part + 1 for all_of_it, part in zip(frames.shape[:3], kept, strict=True)]
    for _ in range(TRIES):
        t, y, x = (int(v) for v in random.integers(0, free))
        crop = frames[t : t + recipe.length, y : y + recipe.side, x : x + recipe.side]
        if any_will_do or motion_of(crop) >= recipe.motion:
            return t, crop
    return None


class Crops(Dataset):
    """Windows drawn from another dataset while it is trained on: clip i is the same one every time it is read.

    Training, validation and test are those of the other dataset; each has its share of the windows.
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
        """Nothing is drawn before it is read.

        Args:
            dataset: what is cut from.
            crop: side of a window, in pixels.
            clip_length: frames of a clip.
            count: clips in all.
            still: the share of clips that need not move.
            motion: the least motion of the others (see ``motion_of``).
            crop_seed: of what is drawn.

        Raises:
            UsageError: an option that is out of range.
            DataError: the dataset's frames are smaller, or its clips shorter.
        """
        self.recipe = CropRecipe(crop, clip_length, still, motion)
        if count < 1 or crop_seed < 0:
            raise UsageError(f"count is {count} and crop_seed {crop_seed}; expected 1 or more, and 0 or more.")
        h, w, _ = dataset.frame_shape
        if crop > min(h, w):
            raise DataError(f"The frames of {dataset.name} are {h} x {w} (h x w), and crops of {crop} are asked for.")
        ranges = split_ranges(dataset.lengths, dataset.split)
        ranges = {name: r[r[:, 2] - r[:, 1] >= clip_length] for name, r in ranges.items()}
        shares = {name: int((r[:, 2] - r[:, 1]).sum()) for name, r in ranges.items()}
        if not shares["train"]:
            raise DataError(f"No training clip of {dataset.name} has {clip_length} frames. Ask for shorter crops.")
        self.dataset, self.crop, self.clip_length, self.count = dataset, crop, clip_length, count
        self.still, self.motion, self.crop_seed = still, motion, crop_seed
        self.fps, self.streams, self.slow = dataset.fps, dataset.streams, dataset.slow  # type: ignore[misc]
        self.sources = [{k: v for k, v in each.items() if k != "size"} for each in dataset.sources]
        self._ranges = ranges
        ends = np.rint(np.cumsum(list(shares.values())) / sum(shares.values()) * count).astype(int)
        self.split = np.repeat(list(shares), np.diff(ends, prepend=0))

    @classmethod
    def options(cls) -> list[str]:
        """The keywords that a user gives."""
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
        """The options, and those of the dataset that is cut from."""
        return {**self.dataset.get_config(), **{key: getattr(self, key) for key in self.options()}}

    def fingerprint(self) -> str:
        """SHA-256 of the dataset's fingerprint and the options."""
        own = {key: getattr(self, key) for key in self.options()}
        return hashlib.sha256(json.dumps([self.dataset.fingerprint(), own], sort_keys=True).encode()).hexdigest()

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``; the whole clip is drawn. Where nothing moves enough, a corner of the last try is."""
        start, stop = self.check_range(i, start, stop)
        frames, streams = self._drawn(i)[0]
        return Clip(frames[start:stop], {name: rows[start:stop] for name, rows in streams.items()})

    def times(self, i: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """See ``Dataset.times``: those of the frames that the window is cut from."""
        start, stop = self.check_range(i, start, stop)
        _, source, first = self._drawn(i)
        times = self.dataset.times(source, first, first + self.clip_length)
        return times[start:stop] - times[0]

    def _drawn(self, i: int) -> tuple[Clip, int, int]:
        """The whole of a clip, and where it is cut from: the other dataset's clip, and the first of its frames."""
        assert self.split is not None
        random, ranges = np.random.default_rng([self.crop_seed, i]), self._ranges[str(self.split[i])]
        places = np.cumsum(ranges[:, 2] - ranges[:, 1] - self.clip_length + 1)
        # Decided once a clip: decided at every place, still ones would be more than their share where little moves.
        recipe = replace(self.recipe, still=float(random.random() < self.still))
        for _ in range(PLACES):
            place = int(random.integers(places[-1]))
            row = int(np.searchsorted(places, place, side="right"))
            first = int(ranges[row, 1]) + place - (int(places[row - 1]) if row else 0)
            source = int(ranges[row, 0])
            whole = self.dataset.read(source, first, first + self.clip_length)
            drawn = draw(whole.frames, recipe, random)
            if drawn:
                break
        frames = drawn[1] if drawn else whole.frames[:, : self.crop, : self.crop]
        return Clip(frames, whole.streams), source, first
