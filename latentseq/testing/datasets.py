"""Promises of datasets: S1 to S12, in addition to C1 to C4."""

import math
from functools import partial

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import UsageError
from latentseq.protocols import Dataset
from latentseq.testing.common import promise, require, require_array, require_error, require_same
from latentseq.testing.configured import ConfigurablePromises

SPLITS = {"train", "validation", "test"}
"""Valid names of splits."""
SEVERAL = 4
"""Number of clips that the kit reads in full, since a dataset may have thousands."""


class DatasetPromises(ConfigurablePromises[Dataset]):
    """The kit for datasets: derive a class ``Test…`` from it and implement ``make``."""

    @promise
    def test_s01_lengths(self) -> None:
        """S1: lengths is a non-empty (n,) int64 array, and every clip has at least one frame."""
        lengths = self.instance().lengths
        n = len(lengths)
        require_array(lengths, "lengths", (n,), dtype=np.int64)
        shortest = int(lengths.min()) if n else 0
        require(n > 0 and shortest > 0, f"The number of clips is {n}, and that of frames in the shortest {shortest}.")

    @promise
    def test_s02_frames(self) -> None:
        """S2: read returns every frame of a clip as uint8 (t, h, w, c), where (h, w, c) is frame_shape."""
        shape = self.instance().frame_shape
        valid = isinstance(shape, tuple) and len(shape) == 3 and all(type(n) is int and n > 0 for n in shape)
        require(valid, f"frame_shape is {shape!r}; expected a tuple of three positive ints.")
        for i, length in self._some():
            frames = self.instance().read(i).frames
            require_array(frames, f"Clip {i}", (length, *shape), dtype=np.uint8)

    @promise
    def test_s03_streams(self) -> None:
        """S3: read returns exactly the streams that the attribute streams lists, as finite float32 (t, f)."""
        widths = dict(self.instance().streams)
        for i, length in self._some():
            streams = self.instance().read(i).streams
            require(
                set(streams) == set(widths),
                f"Clip {i} has the streams {sorted(streams)}; the attribute lists {sorted(widths)}.",
            )
            for name, width in widths.items():
                require_array(streams[name], f"The stream {name} of clip {i}", (length, width))

    @promise
    def test_s04_ranges(self) -> None:
        """S4: read(i, start, stop) returns frames start to stop of the clip, and its streams in the same range."""
        for i, length in self._some():
            start, stop = length // 3, max(length // 3 + 1, 2 * length // 3)
            whole = self.instance().read(i)
            cut = Clip(whole.frames[start:stop], {k: v[start:stop] for k, v in whole.streams.items()})
            _same(
                self.instance().read(i, start, stop),
                cut,
                f"frames {start} to {stop} of clip {i} and of the whole clip",
            )

    @promise
    def test_s05_windows(self) -> None:
        """S5: read_windows returns the same data as read for each of the ranges, in the same order."""
        clips = np.array([i for i, _ in self._some()][::-1])
        length = max(1, int(self.instance().lengths[clips].min()) // 2)
        starts = self.instance().lengths[clips] - length
        windows = self.instance().read_windows(clips, starts, length)
        for row, (i, start) in enumerate(zip(clips.tolist(), starts.tolist(), strict=True)):
            window = Clip(windows.frames[row], {k: v[row] for k, v in windows.streams.items()})
            _same(window, self.instance().read(i, start, start + length), f"window {row} and clip {i} from {start}")

    @promise
    def test_s06_read_repeats(self) -> None:
        """S6: Reading is repeatable: two reads, or reads of two instances with the same configuration, are equal."""
        for i, _ in self._some():
            first = self.instance().read(i)
            _same(self.instance().read(i), first, f"two reads of clip {i}")
            _same(self.again().read(i), first, f"clip {i} of two instances")

    @promise
    def test_s07_split(self) -> None:
        """S7: split is None, or 'train', 'validation' or 'test' for each clip, (n,)."""
        split = self.instance().split
        if split is not None:
            n = len(self.instance().lengths)
            require(np.shape(split) == (n,), f"split has shape {np.shape(split)}; expected {(n,)}.")
            unknown = sorted(set(np.asarray(split).tolist()) - SPLITS, key=str)
            require(not unknown, f"split contains {unknown}.")

    @promise
    def test_s08_no_such_range(self) -> None:
        """S8: read raises a UsageError for a clip or a range that does not exist."""
        data, n, length = self.instance(), len(self.instance().lengths), int(self.instance().lengths[0])
        wrong = [(n, 0, 1), (-1, 0, 1), (0, 0, length + 1), (0, -1, 1), (0, 0, 0), (0, length, None)]
        for i, start, stop in wrong:
            call = f"read({i}, {start}, {stop}), where the clips are 0 to {n - 1} and clip 0 has length {length},"
            require_error((UsageError,), partial(data.read, i, start, stop), call)

    @promise
    def test_s09_fingerprint(self) -> None:
        """S9: fingerprint returns a non-empty string, the same for every instance with the same configuration."""
        first, second = self.instance().fingerprint(), self.again().fingerprint()
        require(isinstance(first, str) and first != "", f"The fingerprint is {first!r}.")
        require(first == second, f"The fingerprint is {first!r}, and that of another instance is {second!r}.")

    @promise
    def test_s10_fps(self) -> None:
        """S10: fps is a finite number above 0."""
        fps = self.instance().fps
        require(isinstance(fps, (int, float)) and math.isfinite(fps) and fps > 0, f"fps is {fps!r}.")

    @promise
    def test_s11_frames_are_the_callers(self) -> None:
        """S11: The caller owns the arrays that read returns: writing into them does not change a later read."""
        data = self.again()
        first, frames = data.read(0), data.read(0).frames.copy()
        if first.frames.flags.writeable:
            first.frames[...] = 255 - first.frames
        require_same(data.read(0).frames, frames, "Two reads, before and after writing into the returned frames,")

    @promise
    def test_s12_times(self) -> None:
        """S12: times returns (t,) float64 seconds for a range of a clip; they increase from 0 at its first frame."""
        for i, length in self._some():
            times = self.instance().times(i)
            require_array(times, f"The array of times of clip {i}", (length,), dtype=np.float64)
            increasing = times[0] == 0 and bool((np.diff(times) > 0).all())
            require(increasing, f"The times of clip {i}, {times[0]} to {times[-1]} s, do not increase from 0.")
            start, stop = length // 3, max(length // 3 + 1, 2 * length // 3)
            cut = self.instance().times(i, start, stop)
            require_same(cut, times[start:stop], f"The times {start} to {stop} of clip {i} and of the whole clip")

    def _some(self) -> list[tuple[int, int]]:
        """A few clips, evenly spread over the dataset, with their lengths."""
        lengths = self.instance().lengths
        indices = sorted(set(np.linspace(0, len(lengths) - 1, SEVERAL).astype(int).tolist()))
        return [(i, int(lengths[i])) for i in indices]


def _same(clip: Clip, expected: Clip, what: str) -> None:
    require_same(clip.frames, expected.frames, f"The frames of {what}")
    for name in expected.streams:
        require_same(clip.streams[name], expected.streams[name], f"The streams {name!r} of {what}")
