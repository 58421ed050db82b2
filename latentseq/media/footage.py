"""Pictures in an order, each with a time: what a movie, a folder of images and an array of frames have in common."""

import copy
import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np

from latentseq.errors import TryAgainError, unread
from latentseq.media.preprocessing import Preprocessing

DEFAULT_FPS = 25.0
"""Of pictures that do not say when they are shown."""
CLOCK = 1e-3
"""Seconds by which a time may be off: Matroska counts milliseconds."""


class Picture(Protocol):
    """One picture of some footage, as it is stored."""

    def frame(self, preprocessing: Preprocessing) -> np.ndarray:
        """(h, w, c) uint8, prepared."""


class Footage(ABC):
    """Pictures in an order, before anything is done to them.

    Building it reads what is needed to count and place the pictures, and decodes none where that can be avoided.

    Attributes:
        path: the file, or the folder of images.
        kind: what it is, in a word: video, images, animation, array, records.
        detail: how it is stored, for people: the codec, the dtype.
        remark: what is done to its pictures that people may not expect, in words; also part of ``detail``.
        times: (n,) float64, the second at which each picture comes on, rising within a clip.
        end: the second at which the last one goes.
        rate: pictures a second where the file says so and their times agree; on average where None.
        timed: whether the times are the file's own; numbered images and arrays have none, and are taken to be shown
            25 times a second.
        breaks: (m,) int64, the pictures at which a new clip starts, the first one not counted.
        size: (h, w) of the first picture as it is shown: upright, with square pixels.
        gray: whether there is no colour.
        sound: whether there is sound beside it.
        seekable: whether a walk may start anywhere at little cost.
        reading: what was decided about how it is read, for people; empty where there was nothing to decide.
    """

    path: Path
    kind: str
    detail: str = ""
    remark: str = ""
    times: np.ndarray
    end: float
    rate: float | None = None
    timed: bool = False
    breaks: np.ndarray = np.zeros(0, np.int64)
    size: tuple[int, int]
    gray: bool = False
    sound: bool = False
    seekable: bool = True
    reading: str = ""

    @abstractmethod
    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """The pictures of the numbers asked for, one after another.

        Args:
            numbers: (m,) int, each as large as the one before or larger.

        Raises:
            DataError: the file is damaged there, or cannot be read any more.
        """

    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal: a copy elsewhere has the same."""
        return file_digest([self.path])

    def another(self) -> Self:
        """The same footage for another thread: what is known of it is shared, what is open is not."""
        return copy.copy(self)

    def close(self) -> None:  # noqa: B027  # Most footage holds nothing open.
        """Give back what is held open; the next ``walk`` opens it again."""


class Rows(NamedTuple):
    """Which pictures of some footage are kept, row by row.

    Attributes:
        numbers: (n,) int64, the picture of each row.
        times: (n + 1,) float64, the second at which each row comes on, and the last one goes.
        breaks: (m,) int64, rows at which a new clip starts, the first one not counted.
        fps: rows a second.
    """

    numbers: np.ndarray
    times: np.ndarray
    breaks: np.ndarray
    fps: float


def rows_of(footage: Footage, preprocessing: Preprocessing) -> Rows:
    """Apply ``fps`` and ``skip``: by presentation time, never by counting, where the footage has times of its own.

    A row at second s shows the picture that a player would show then, and the first row of each clip its first
    picture. Footage without times is taken to be at the frame rate asked for; every ``skip``-th row is kept, counted
    from the start of each clip.
    """
    numbers, times, breaks = np.arange(len(footage.times)), footage.times, footage.breaks
    end, fps = footage.end, _rate(footage)
    if preprocessing.fps and footage.timed:
        numbers, times, breaks = _played(footage, preprocessing.fps)
        fps = preprocessing.fps
    elif preprocessing.fps:
        times, fps = times * (fps / preprocessing.fps), preprocessing.fps
        end = times[-1] + 1 / fps
    if preprocessing.skip > 1:
        starts = np.concatenate([[0], breaks])
        within = np.arange(len(numbers)) - np.repeat(starts, np.diff([*starts, len(numbers)]))
        kept = within % preprocessing.skip == 0
        breaks = np.cumsum(kept)[breaks] - 1
        numbers, times, fps = numbers[kept], times[kept], fps / preprocessing.skip
    return Rows(numbers.astype(np.int64), np.append(times, end), breaks.astype(np.int64), fps)


def keeps_rate(times: np.ndarray, rate: float) -> bool:
    """Whether pictures come at a rate, from the first to the last: headers are often wrong about it.

    Args:
        times: (n,) seconds at which they come on.
        rate: pictures a second.
    """
    return abs(float(times[-1] - times[0]) - (len(times) - 1) / rate) <= 2 * CLOCK


def file_digest(paths: list[Path]) -> str:
    """SHA-256 of the content of files, one after another, in hexadecimal."""
    whole = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256")
        if len(paths) == 1:
            return part.hexdigest()
        whole.update(part.digest())
    return whole.hexdigest()


def unread_now(path: Path, cause: BaseException | None = None) -> TryAgainError | None:
    """The error to raise where a file could not be read now; None where it is damaged.

    Libraries in C may lose the reason on the way, or give the wrong one: all of the file is read once more.

    Args:
        path: the file, or a folder of images, which Python itself reads.
        cause: what was raised, if anything was.
    """
    later = unread(path, cause)
    try:
        if not later and path.is_file():
            file_digest([path])
    except OSError as again:
        return unread(path, again)
    return later


def _played(footage: Footage, fps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, times and breaks of the rows that a player shows at another frame rate, clip by clip."""
    late = min(CLOCK, 0.25 / fps)
    edges = [0, *footage.breaks.tolist(), len(footage.times)]
    seconds = np.append(footage.times, footage.end)
    numbers, times = [], []
    for start, stop in itertools.pairwise(edges):
        count = max(1, int(np.ceil((seconds[stop] - seconds[start] - late) * fps)))
        times.append(seconds[start] + np.arange(count) / fps)
        numbers.append(start + np.searchsorted(seconds[start:stop], times[-1] + late, side="right") - 1)
    breaks = np.cumsum([len(each) for each in numbers[:-1]], dtype=np.int64)
    return np.concatenate(numbers), np.concatenate(times), breaks


def _rate(footage: Footage) -> float:
    """Pictures a second."""
    span = footage.end - float(footage.times[0])
    average = len(footage.times) / span if footage.timed and span > 0 else DEFAULT_FPS
    return footage.rate or average
