"""What a dataset promises: S1 to S12, besides C1 to C4."""

import math
from functools import partial

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import UsageError
from latentseq.protocols import Dataset
from latentseq.testing.common import promise, require, require_array, require_error, require_same
from latentseq.testing.configured import ConfigurablePromises

SPLITS = {"train", "validation", "test"}
SEVERAL = 4
"""How many clips are read whole; a dataset may have thousands."""


class DatasetPromises(ConfigurablePromises[Dataset]):
    """The kit for datasets: derive from it, name the class ``Test…``, and write ``make``."""

    @promise
    def test_s01_lengths(self) -> None:
        """S1: lengths is (n,) int64 with at least one clip, and every clip has a frame."""
        lengths = self.made().lengths
        n = len(lengths)
        require_array(lengths, "lengths", (n,), dtype=np.int64)
        require(n > 0 and lengths.min() > 0, f"There are {n} clips, the shortest of {lengths.min(initial=0)} frames.")

    @promise
    def test_s02_frames(self) -> None:
        """S2: read gives every frame of a clip, uint8 (t, h, w, c) with (h, w, c) = frame_shape."""
        shape = self.made().frame_shape
        fine = isinstance(shape, tuple) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)
        require(fine, f"frame_shape is {shape!r}.")
        for i, length in self._some():
            frames = self.made().read(i).frames
            require_array(frames, f"Clip {i}", (length, *shape), dtype=np.uint8)

    @promise
    def test_s03_streams(self) -> None:
        """S3: read gives every stream that streams names and no other, float32 (t, f), finite."""
        widths = dict(self.made().streams)
        for i, length in self._some():
            found = self.made().read(i).streams
            require(set(found) == set(widths), f"Clip {i} has {sorted(found)}; streams names {sorted(widths)}.")
            for name, width in widths.items():
                require_array(found[name], f"The stream {name} of clip {i}", (length, width))

    @promise
    def test_s04_ranges(self) -> None:
        """S4: read(i, start, stop) is that range of the whole clip, frames and streams."""
        for i, length in self._some():
            start, stop = length // 3, max(length // 3 + 1, 2 * length // 3)
            whole = self.made().read(i)
            cut = Clip(whole.frames[start:stop], {k: v[start:stop] for k, v in whole.streams.items()})
            _same(
                self.made().read(i, start, stop), cut, f"frames {start} to {stop} of clip {i} and of the whole clip"
            )

    @promise
    def test_s05_windows(self) -> None:
        """S5: read_windows gives what reading the same ranges one by one gives, in the order asked for."""
        clips = np.array([i for i, _ in self._some()][::-1])
        length = max(1, int(self.made().lengths[clips].min()) // 2)
        starts = self.made().lengths[clips] - length
        windows = self.made().read_windows(clips, starts, length)
        for row, (i, start) in enumerate(zip(clips.tolist(), starts.tolist(), strict=True)):
            window = Clip(windows.frames[row], {k: v[row] for k, v in windows.streams.items()})
            _same(window, self.made().read(i, start, start + length), f"window {row} and clip {i} from {start}")

    @promise
    def test_s06_read_repeats(self) -> None:
        """S6: The same read gives the same, from this instance and from another of the same configuration."""
        for i, _ in self._some():
            first = self.made().read(i)
            _same(self.made().read(i), first, f"two reads of clip {i}")
            _same(self.again().read(i), first, f"clip {i} of two instances")

    @promise
    def test_s07_split(self) -> None:
        """S7: split is None, or (n,) of 'train', 'validation' and 'test'."""
        split = self.made().split
        if split is not None:
            n = len(self.made().lengths)
            require(np.shape(split) == (n,), f"It has shape {np.shape(split)}; there are {n} clips.")
            odd = sorted(set(np.asarray(split).tolist()) - SPLITS, key=str)
            require(not odd, f"It holds {odd}.")

    @promise
    def test_s08_no_such_range(self) -> None:
        """S8: A clip or a range that does not exist is a UsageError."""
        data, n, length = self.made(), len(self.made().lengths), int(self.made().lengths[0])
        wrong = [(n, 0, 1), (-1, 0, 1), (0, 0, length + 1), (0, -1, 1), (0, 0, 0), (0, length, None)]
        for i, start, stop in wrong:
            asked = f"read({i}, {start}, {stop}) of {n} clips, the first of {length} frames,"
            require_error((UsageError,), partial(data.read, i, start, stop), asked)

    @promise
    def test_s09_fingerprint(self) -> None:
        """S9: fingerprint is a string, and the same for another instance of the same configuration."""
        first, second = self.made().fingerprint(), self.again().fingerprint()
        require(isinstance(first, str) and first != "", f"It is {first!r}.")
        require(first == second, f"It is {first!r}, and {second!r} for another instance.")

    @promise
    def test_s10_fps(self) -> None:
        """S10: fps is a finite number above 0."""
        fps = self.made().fps
        require(isinstance(fps, (int, float)) and math.isfinite(fps) and fps > 0, f"It is {fps!r}.")

    @promise
    def test_s11_frames_are_the_callers(self) -> None:
        """S11: What read gives is the caller's: writing into it changes no later read."""
        data = self.again()
        first, kept = data.read(0), data.read(0).frames.copy()
        if first.frames.flags.writeable:
            first.frames[...] = 255 - first.frames
        require_same(data.read(0).frames, kept, "A read and one after the first was written into")

    @promise
    def test_s12_times(self) -> None:
        """S12: times is (t,) float64 seconds, rising from 0 at a clip's first frame; a range of it is that range."""
        for i, length in self._some():
            times = self.made().times(i)
            require_array(times, f"The times of clip {i}", (length,), dtype=np.float64)
            rises = times[0] == 0 and bool((np.diff(times) > 0).all())
            require(rises, f"Those of clip {i} are from {times[0]} to {times[-1]} s, and do not all rise.")
            start, stop = length // 3, max(length // 3 + 1, 2 * length // 3)
            cut = self.made().times(i, start, stop)
            require_same(cut, times[start:stop], f"The times {start} to {stop} of clip {i} and of the whole clip")

    def _some(self) -> list[tuple[int, int]]:
        """Clips spread over the dataset, each with its length."""
        lengths = self.made().lengths
        picked = sorted(set(np.linspace(0, len(lengths) - 1, SEVERAL).astype(int).tolist()))
        return [(i, int(lengths[i])) for i in picked]


def _same(found: Clip, wanted: Clip, what: str) -> None:
    require_same(found.frames, wanted.frames, f"The frames of {what}")
    for name in wanted.streams:
        require_same(found.streams[name], wanted.streams[name], f"The stream {name} of {what}")
