"""Datasets with one flaw each."""

import itertools

import numpy as np
from honest_plugins import HonestDataset, breaks

from latentseq.arrays import Clip


@breaks("S1")
class ShortLengths(HonestDataset):
    @property
    def lengths(self):
        return super().lengths.astype(np.int32)


@breaks("S2")
class FloatFrames(HonestDataset):
    def read(self, i, start=0, stop=None):
        clip = super().read(i, start, stop)
        return Clip(clip.frames / np.float32(255), clip.streams)


@breaks("S3")
class FlatStream(HonestDataset):
    def read(self, i, start=0, stop=None):
        clip = super().read(i, start, stop)
        return Clip(clip.frames, {"phase": clip.streams["phase"][:, 0]})


@breaks("S4")
class StreamFromTheStart(HonestDataset):
    def read(self, i, start=0, stop=None):
        clip = super().read(i, start, stop)
        return Clip(clip.frames, {"phase": clip.streams["phase"] - start})


@breaks("S5")
class SortedWindows(HonestDataset):
    def read_windows(self, clips, starts, length):
        order = np.argsort(clips)
        return super().read_windows(clips[order], starts[order], length)


@breaks("S6")
class SeedOfItsOwn(HonestDataset):
    seeds = itertools.count()

    def __init__(self, size: int = 8):
        super().__init__(size)
        self.seed = next(self.seeds)

    def read(self, i, start=0, stop=None):
        clip = super().read(i, start, stop)
        return Clip(clip.frames + np.uint8(self.seed % 256), clip.streams)


@breaks("S7")
class Abbreviates(HonestDataset):
    @property
    def split(self):
        return np.array(["train"] * 3 + ["val", "test"])


@breaks("S8")
class NoSuchRange(HonestDataset):
    def check_range(self, i, start, stop):
        return start, int(self.lengths[i % len(self.lengths)]) if stop is None else stop


@breaks("S9")
class FingerprintOfAnObject(HonestDataset):
    def fingerprint(self):
        return str(id(self))


@breaks("S10")
class NoRate(HonestDataset):
    fps = float("nan")

    def times(self, i, start=0, stop=None):
        return np.arange(*self.check_range(i, start, stop)) / 25


@breaks("S12")
class TimesFromTheRange(HonestDataset):
    def times(self, i, start=0, stop=None):
        return super().times(i, start, stop) - start / self.fps


@breaks("S11")
class LendsItsCache(HonestDataset):
    def __init__(self, size: int = 8):
        super().__init__(size)
        self._cache = {}

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        whole = self._cache.setdefault(i, super().read(i))
        return Clip(whole.frames[start:stop], {k: v[start:stop] for k, v in whole.streams.items()})
