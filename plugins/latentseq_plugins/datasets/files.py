"""Videos, images and arrays as they are, decoded when they are read."""

import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.data.splits import folder_of, split_by_folder
from latentseq.errors import DataError, UsageError
from latentseq.media import audio as sound
from latentseq.media.discovery import Found, discover, nothing_found
from latentseq.media.footage import Rows, rows_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.protocols import Dataset

OPEN_FILES = 4
"""Decoders held at a time: each keeps a few full-sized frames and threads of its own."""


class Files(Dataset):
    """A video, or every video, folder of images and array below a folder, in natural order."""

    name: ClassVar[str] = "files"
    description: ClassVar[str] = "Videos, folders of images and arrays, decoded when they are read."
    slow = True

    def __init__(
        self,
        path: str,
        size: list[int] | int = 64,
        fit: str = "crop",
        gray: bool = False,
        skip: int = 1,
        fps: float | None = None,
        array: str | None = None,
        audio: str = "none",
        axes: str | None = None,
        range: str | None = None,
    ) -> None:
        """Find the footage and count its frames.

        Args:
            path: a file, or a folder; hidden files in it are left out.
            size: [height, width] of the frames in pixels, or the side of a square.
            fit: where the shape differs: 'crop' keeps the middle, 'pad' adds black borders, 'stretch' distorts.
            gray: one channel instead of three.
            skip: keep every n-th frame.
            fps: frames a second, by presentation time; None leaves them as they are.
            array: which array of files that hold several.
            audio: what is kept of the sound, as the stream of that name: 'mel', 'wave' or 'none'.
            axes: the axes of arrays, a letter for each, such as 'TNHW': T for time, N for clips, H for height, W for
                width, C for channels; None recognises them from the shape.
            range: the values of black and white in arrays and images that are not of 8 bits, such as '0..4095'.

        Raises:
            DataError: something cannot be read, or there is nothing.
            UsageError: an option that is out of range.
        """
        self.path, self.size, self.fit, self.gray, self.skip = path, size, fit, gray, skip
        self.array, self.audio, self.axes, self.range = array, audio, axes, range
        self._fps = fps
        self._preprocessing = Preprocessing(size, fit, gray, fps, skip)
        if audio not in ("none", *sound.KINDS):
            raise UsageError(f"Option audio is {audio!r}; expected 'mel', 'wave' or 'none'.")
        self._found = _found(Path(path).expanduser(), array, axes, range)
        self._rows = [rows_of(each.footage, self._preprocessing) for each in self._found]
        self.fps = self._rows[0].fps
        edges = [np.unique([0, *rows.breaks, len(rows.numbers)]) for rows in self._rows]
        # Of every clip: the footage, its first row there, and the row after its last.
        self._clips = [(i, *pair) for i, e in enumerate(edges) for pair in itertools.pairwise(e.tolist())]
        self._lengths = np.array([stop - start for _, start, stop in self._clips], np.int64)
        splits = [self._found[i].split for i, _, _ in self._clips]
        splits = split_by_folder([folder_of(self._found[i].name) for i, _, _ in self._clips], splits)
        self.split = None if None in splits else np.array(splits)
        self.sources = [_facts(*each) for each in zip(self._found, self._rows, strict=True)]
        if audio != "none":
            self.streams = {"audio": sound.width(audio, self.fps), "audio_mask": 1}
        self._open: OrderedDict[int, Found] = OrderedDict()
        self._lock = threading.Lock()  # A decoder must not be moved, or closed, under another thread's read.

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self._preprocessing.frame_shape

    def get_config(self) -> dict[str, object]:
        """The constructor's keywords; the attribute ``fps`` is what came of the one asked for."""
        return {**super().get_config(), "fps": self._fps}

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: a clip or a range that does not exist.
            DataError: the file is damaged there.
        """
        start, stop = self.check_range(i, start, stop)
        which, first, _ = self._clips[i]
        rows = self._rows[which]
        with self._lock:
            footage = self._opened(which).footage
            pictures = footage.walk(rows.numbers[first + start : first + stop])
            frames = np.stack([picture.frame(self._preprocessing) for picture in pictures])
        return Clip(frames, self._sound(which, rows.times[first + start : first + stop + 1]))

    def times(self, i: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """See ``Dataset.times``."""
        start, stop = self.check_range(i, start, stop)
        which, first, _ = self._clips[i]
        times = self._rows[which].times
        return times[first + start : first + stop] - times[first]

    def fingerprint(self) -> str:
        """SHA-256 of the files' content and of what is made of it: a copy elsewhere has the same."""
        about = [self.name, self._preprocessing.to_json(), self.audio, [each.split for each in self._found]]
        digest = hashlib.sha256(json.dumps(about).encode())
        for each in self._found:
            digest.update(each.footage.digest().encode())
        return digest.hexdigest()

    def _sound(self, which: int, times: np.ndarray) -> dict[str, np.ndarray]:
        footage = self._found[which].footage
        if not footage.sound:
            return {name: np.zeros((len(times) - 1, width), np.float32) for name, width in self.streams.items()}
        if self.audio == "none":
            return {}
        features, mask = sound.rows(footage.path, times, self.audio, self.fps)
        return {"audio": features, "audio_mask": mask}

    def _opened(self, which: int) -> Found:
        self._open[which] = self._found[which]
        self._open.move_to_end(which)
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].footage.close()
        return self._found[which]


def _facts(found: Found, rows: Rows) -> dict[str, Any]:
    """What is known of a file; see ``Dataset.sources``."""
    footage = found.footage
    facts = {key: getattr(footage, key) for key in ("kind", "gray", "timed", "reading")}
    return {"path": found.name, "fps": rows.fps, "size": list(footage.size), **facts}


def _found(path: Path, array: str | None, axes: str | None, range: str | None) -> list[Found]:
    """All footage below a path, none of it damaged: ``ingest`` would leave that out, and write down why."""
    found, skipped = discover([path], array=array, axes=axes, range=range)
    damaged = [each for each in skipped if each.damaged]
    if damaged and (found or len(damaged) > 1):
        raise DataError(
            f"{damaged[0].name} cannot be used. {damaged[0].reason} `latentseq ingest` leaves such files out."
        )
    if not found:
        raise nothing_found(skipped)
    return found
