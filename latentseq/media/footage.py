"""Footage: pictures in an order, each with a time. Videos, folders of images and arrays are footage."""

import copy
import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol, Self

import numpy as np

from latentseq.errors import TryAgainError, retry_error
from latentseq.media.preprocessing import Preprocessing

DEFAULT_FPS = 25.0
"""Frame rate of pictures without times of their own."""
CLOCK = 1e-3
"""Seconds by which a time may be off, because Matroska rounds times to milliseconds."""


class Picture(Protocol):
    """One picture of footage, as it is stored."""

    def frame(self, preprocessing: Preprocessing) -> np.ndarray:
        """Prepare the picture as a frame (h, w, c) uint8."""


class Footage(ABC):
    """Pictures in an order, before preprocessing.

    The constructor reads what is needed to count the pictures and find their times, and decodes as little as
    possible.

    Attributes:
        path: path of the file, or of the folder of images.
        kind: video, images, animation, array or records.
        detail: how it is stored, for people, such as the codec or the dtype.
        remark: unexpected conversions of its pictures, in words; also part of ``detail``.
        times: (n,) float64, second at which each picture appears, ascending within a clip.
        end: second at which the last picture disappears.
        rate: pictures per second, if the file states them and its times agree; None to use the average.
        timed: whether the file has times of its own. Numbered images and arrays have none, and are assumed to be
            shown at ``DEFAULT_FPS``.
        breaks: (m,) int64, numbers of the pictures at which a new clip starts, without the first picture.
        size: (h, w) of the first picture as it is shown: upright, with square pixels.
        gray: whether the pictures have no colour.
        sound: whether the file also has sound.
        seekable: whether a walk can start anywhere at little cost.
        reading: how an ambiguous file is read, for people; empty if nothing is ambiguous.
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
        """Read pictures one after another.

        Args:
            numbers: (m,) int, numbers of the pictures, not descending.

        Raises:
            DataError: the file is damaged, or can no longer be read.
        """

    def digest(self) -> str:
        """SHA-256 of the content, in hexadecimal; it does not depend on the path."""
        return file_digest([self.path])

    def another(self) -> Self:
        """The same footage for another thread: its attributes are shared, its open files are not."""
        return copy.copy(self)

    def close(self) -> None:  # noqa: B027  # Most footage has no open files.
        """Close open files; the next ``walk`` opens them again."""


class Rows(NamedTuple):
    """Selection of pictures, one for each row.

    Attributes:
        numbers: (n,) int64, number of the picture of each row.
        times: (n + 1,) float64, second at which each row appears, and at which the last one disappears.
        breaks: (m,) int64, rows at which a new clip starts, without the first row.
        fps: number of rows per second.
    """

    numbers: np.ndarray
    times: np.ndarray
    breaks: np.ndarray
    fps: float


def rows_of(footage: Footage, preprocessing: Preprocessing) -> Rows:
    """Select the rows that ``fps`` and ``skip`` ask for.

    Footage with times of its own is selected by time: a row at second s shows the picture that a player would show
    then, and the first row of each clip shows the clip's first picture. Footage without times is assumed to have the
    frame rate ``fps``. After that, every ``skip``-th row is kept, counted from the start of each clip.
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
        mask = within % preprocessing.skip == 0
        breaks = np.cumsum(mask)[breaks] - 1
        numbers, times, fps = numbers[mask], times[mask], fps / preprocessing.skip
    return Rows(numbers.astype(np.int64), np.append(times, end), breaks.astype(np.int64), fps)


def keeps_rate(times: np.ndarray, rate: float) -> bool:
    """Whether the times of pictures agree with a frame rate; the rates in headers are often wrong.

    Args:
        times: (n,) float64, second at which each picture appears.
        rate: pictures per second.
    """
    return abs(float(times[-1] - times[0]) - (len(times) - 1) / rate) <= 2 * CLOCK


def file_digest(paths: list[Path]) -> str:
    """SHA-256 in hexadecimal: of the content of one file, or of the digests of several files."""
    total = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            part = hashlib.file_digest(file, "sha256")
        if len(paths) == 1:
            return part.hexdigest()
        total.update(part.digest())
    return total.hexdigest()


def unread_now(path: Path, cause: BaseException | None = None) -> TryAgainError | None:
    """The error for a file that could not be read now; None if the file is damaged.

    C libraries can lose the reason or report a wrong one, so the whole file is read once more.

    Args:
        path: path of the file, or of a folder of images, which is not read again because Python itself reads it.
        cause: exception that was raised, if there is one.
    """
    later = retry_error(path, cause)
    try:
        if not later and path.is_file():
            file_digest([path])
    except OSError as again:
        return retry_error(path, again)
    return later


def _played(footage: Footage, fps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers, times and breaks of the rows that a player would show at another frame rate, clip by clip."""
    tolerance = min(CLOCK, 0.25 / fps)
    edges = [0, *footage.breaks.tolist(), len(footage.times)]
    seconds = np.append(footage.times, footage.end)
    numbers, times = [], []
    for start, stop in itertools.pairwise(edges):
        count = max(1, int(np.ceil((seconds[stop] - seconds[start] - tolerance) * fps)))
        times.append(seconds[start] + np.arange(count) / fps)
        numbers.append(start + np.searchsorted(seconds[start:stop], times[-1] + tolerance, side="right") - 1)
    breaks = np.cumsum([len(each) for each in numbers[:-1]], dtype=np.int64)
    return np.concatenate(numbers), np.concatenate(times), breaks


def _rate(footage: Footage) -> float:
    """Pictures per second, as stated by the file or on average."""
    span = footage.end - float(footage.times[0])
    average = len(footage.times) / span if footage.timed and span > 0 else DEFAULT_FPS
    return footage.rate or average
