"""Movies as they are, decoded when they are read."""

import hashlib
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import DataError, listed
from latentseq.media.images import natural_key
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.video import VIDEO_SUFFIXES, VideoFile, is_video
from latentseq.protocols import Dataset

OPEN_FILES = 4
"""Decoders held at a time: each keeps a few full-sized frames and threads of its own."""


class Video(Dataset):
    """A video file, or every movie below a folder: one clip a movie, in natural order."""

    name: ClassVar[str] = "video"
    description: ClassVar[str] = "A video file, or every movie below a folder, decoded when it is read."
    slow = True

    def __init__(
        self, path: str, size: list[int] | int = 64, fit: str = "crop", gray: bool = False, skip: int = 1
    ) -> None:
        """Find the movies and count their frames.

        Args:
            path: a video file, or a folder; hidden files in it are left out.
            size: [height, width] of the frames in pixels, or the side of a square.
            fit: where the shape differs: 'crop' keeps the middle, 'pad' adds black borders, 'stretch' distorts.
            gray: one channel instead of three.
            skip: keep every n-th frame.

        Raises:
            DataError: a movie cannot be read, or there is none.
            UsageError: an option that is out of range.
        """
        self.path, self.size, self.fit, self.gray, self.skip = path, size, fit, gray, skip
        self._preprocessing = Preprocessing.of(size, fit, gray, skip)
        self._videos = [VideoFile(file, self._preprocessing) for file in _movies(Path(path).expanduser())]
        self._lengths = np.array([video.length for video in self._videos], np.int64)
        self._open: OrderedDict[int, VideoFile] = OrderedDict()
        self._lock = threading.Lock()  # A decoder must not be moved, or closed, under another thread's read.
        self.fps = self._videos[0].fps

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self._preprocessing.frame_shape

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: a clip or a range that does not exist.
            DataError: the movie is damaged there.
        """
        start, stop = self.check_range(i, start, stop)
        with self._lock:
            self._open[i] = self._videos[i]
            self._open.move_to_end(i)
            if len(self._open) > OPEN_FILES:
                self._open.popitem(last=False)[1].close()
            return Clip(self._videos[i].read(start, stop), {})

    def fingerprint(self) -> str:
        """SHA-256 of the files' content and of the preprocessing: a copy elsewhere has the same."""
        digest = hashlib.sha256(json.dumps([self.name, self._preprocessing.to_json()]).encode())
        for video in self._videos:
            with video.path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def _movies(path: Path) -> list[Path]:
    """The file itself, or every movie below the folder in natural order."""
    if not path.is_dir():
        return [path]
    below = (file.relative_to(path) for file in path.rglob("*") if is_video(file) and file.is_file())
    shown = [file for file in below if not any(part.startswith(".") for part in file.parts)]
    if not shown:
        raise DataError(
            f"{path} holds no movies; expected at least one file that ends in {listed(VIDEO_SUFFIXES)}. "
            "Choose another folder; one of images is read by the dataset frames."
        )
    return [path / file for file in sorted(shown, key=natural_key)]
