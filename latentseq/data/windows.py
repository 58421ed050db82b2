"""Windows of data, and the sources that plugins are trained on."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from latentseq.arrays import Batch, Source, Windows, to_float
from latentseq.data.splits import split_ranges
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Dataset
from latentseq.storage.latents import LatentFolder

VALIDATION_WINDOWS = 512
"""Maximum number of validation windows. They are evenly spread, and the same in every validation."""
DEFAULT_LENGTH = 30
"""Default number of items of a training window."""


@dataclass(frozen=True)
class WindowOptions:
    """How training windows are cut out of clips.

    Attributes:
        length: number of items (frames or latents) of a window. None stands for 30, or for the length of the longest
            training clip if that is shorter.
        stride: number of items from the start of one window to the start of the next.
    """

    length: int | None = None
    stride: int = 1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: the length is below 2, or the stride is below 1.
        """
        check_windows(self.length, self.stride)


Reader: TypeAlias = Callable[[np.ndarray, np.ndarray, int], Batch]
"""Reads windows: (clips (b,), starts (b,), length) -> batch."""


class RangeWindows(Windows):
    """All windows of one length inside ranges of clips."""

    def __init__(self, ranges: np.ndarray, length: int, stride: int, read: Reader):
        """Count the windows.

        Args:
            ranges: (m, 3) int, rows (clip, start, stop).
            length: number of items of a window.
            stride: number of items from the start of one window to the next.
            read: function that reads windows.
        """
        self.length = length
        self.stride = stride
        self._read = read
        counts = np.maximum(0, (ranges[:, 2] - ranges[:, 1] - length) // stride + 1)
        self._ranges = ranges[counts > 0]
        self._ends = np.cumsum(counts[counts > 0])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(self, indices: np.ndarray) -> Batch:
        """See ``Windows.take``."""
        return self._read(*self.places(indices), self.length)

    def places(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The clips (b,) and the starts (b,) of the windows at ``indices`` (b,)."""
        row = np.searchsorted(self._ends, indices, side="right")
        first = np.where(row > 0, self._ends[row - 1], 0)
        return self._ranges[row, 0], self._ranges[row, 1] + (indices - first) * self.stride


class ShortWindows(Windows):
    """Parts of windows: each window is cut into as many short ones as fit, one after the other."""

    def __init__(self, windows: Windows, length: int):
        """Cut windows.

        Args:
            windows: windows whose arrays are all (b, t, ...).
            length: number of items of a part, at most t.
        """
        self.length = length
        self._windows = windows
        self._parts = next(iter(windows.take(np.arange(1)).values())).shape[1] // length

    def __len__(self) -> int:
        return self._parts * len(self._windows)

    def take(self, indices: np.ndarray) -> Batch:
        """See ``Windows.take``."""
        batch, starts = self._windows.take(indices // self._parts), indices % self._parts * self.length
        items = starts[:, None] + np.arange(self.length)
        return {key: rows[np.arange(len(indices))[:, None], items] for key, rows in batch.items()}


def frame_source(dataset: Dataset) -> Source:
    """Single frames for the training of an encoder: ``x`` (b, h, w, c).

    Raises:
        DataError: there is no frame for training or for validation.
    """

    def read(clips: np.ndarray, starts: np.ndarray, length: int) -> Batch:
        return {"x": to_float(dataset.read_windows(clips, starts, length).frames[:, 0])}

    return _source(dataset, 1, 1, read, "frames")


def clip_source(dataset: Dataset, streams: Iterable[str], length: int | None = None, stride: int = 1) -> Source:
    """Windows of frames for the training of predictors: ``frames`` (b, t, h, w, c), and streams.

    Args:
        dataset: the clips.
        streams: names of the streams that drive the predictor.
        length: number of frames of a window; None for 30, or for the longest clip if it is shorter.
        stride: number of frames from the start of one window to the next.

    Raises:
        DataError: no clip is long enough.
    """
    names = tuple(streams)

    def read(clips: np.ndarray, starts: np.ndarray, length: int) -> Batch:
        clip = dataset.read_windows(clips, starts, length)
        return {"frames": to_float(clip.frames), **{name: clip.streams[name] for name in names}}

    return _source(dataset, length, stride, read, "frames")


def latent_source(
    folder: LatentFolder, length: int | None = None, stride: int = 1, gain: np.ndarray | None = None
) -> Source:
    """Windows of latents for the training of dynamics: ``mean`` (b, t, *latent_shape), ``log_var``, and streams.

    Args:
        folder: the latents.
        length: number of items of a window; None for 30, or for the longest clip if it is shorter.
        stride: number of items from the start of one window to the next.
        gain: ``channel_gain`` of the encoder that made the latents.

    Raises:
        UsageError: the length is below 2, or the stride is below 1.
        DataError: no clip is long enough.
    """
    check_windows(length, stride)
    return dataclasses.replace(_source(folder, length, stride, folder.read_windows, "latents"), gain=gain)


def check_windows(length: int | None, stride: int) -> None:
    """Check length and stride of windows.

    Raises:
        UsageError: the length is below 2, or the stride is below 1.
    """
    if length is not None and length < 2:
        raise UsageError(f"length is {length}; expected windows of 2 items or more.")
    if stride < 1:
        raise UsageError(f"stride is {stride}; expected 1 item or more.")


def spread_indices(n: int, most: int) -> np.ndarray:
    """At most ``most`` evenly spread indices from 0 to ``n`` - 1."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.int64)


def validation_batches(windows: Windows, batch_size: int) -> Iterator[Batch]:
    """The windows of a validation, in order. The last batch may be smaller."""
    indices = spread_indices(len(windows), VALIDATION_WINDOWS)
    for start in range(0, len(indices), batch_size):
        yield windows.take(indices[start : start + batch_size])


def _source(data: Dataset | LatentFolder, length: int | None, stride: int, read: Reader, what: str) -> Source:
    """Windows for training and validation. Validation windows are shorter if most validation clips are."""
    ranges = split_ranges(data.lengths, data.split, data.hold_out)
    longest = {k: _longest(r) for k, r in ranges.items()}
    if length is None:
        length = min(DEFAULT_LENGTH, longest["train"])
        check_windows(length, stride)
    if longest["train"] < length:
        raise DataError(
            f"The windows have {length} {what}, but the longest training clip has {longest['train']}. "
            "Choose shorter windows with --length, or use longer clips."
        )
    if longest["validation"] < min(2, length):
        count = sum(int((r[:, 2] - r[:, 1]).sum()) for r in ranges.values())
        raise DataError(
            f"No data is left for validation: the number of {what} is {count}. Use a longer clip, or at least three "
            "clips."
        )
    # Windows of the median length come from at least half of the clips; longer ones may all come from one scene.
    lengths = np.sort(ranges["validation"][:, 2] - ranges["validation"][:, 1])
    lengths = lengths[lengths >= min(2, length)]
    validation_length = min(length, int(lengths[(len(lengths) - 1) // 2]))
    return Source(
        train=RangeWindows(ranges["train"], length, stride, read),
        validation=RangeWindows(ranges["validation"], validation_length, stride, read),
    )


def _longest(ranges: np.ndarray) -> int:
    return int((ranges[:, 2] - ranges[:, 1]).max(initial=0))
