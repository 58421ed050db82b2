"""A dataset of videos, images and arrays in their original files, decoded when they are read."""

import hashlib
import itertools
import json
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.data.splits import check_hold_out, folder_of, of_clips, split_by_folder
from latentseq.errors import DataError, UsageError
from latentseq.media import audio as sound
from latentseq.media.discovery import Found, discover, nothing_found
from latentseq.media.footage import Rows, rows_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.protocols import Dataset

OPEN_FILES = 4
"""Maximum number of open decoders; each holds a few full-sized frames and threads of its own."""


class Files(Dataset):
    """One video, or all videos, folders of images and arrays below a folder, in natural order."""

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
        hold_out: str | None = None,
    ) -> None:
        """Find the footage and count its frames.

        Args:
            path: file or folder; hidden files in a folder are ignored.
            size: [height, width] of the frames in pixels, or the side of a square.
            fit: handling of another aspect ratio: 'crop' keeps the middle, 'pad' adds black borders, 'stretch'
                distorts.
            gray: convert frames to one channel.
            skip: keep every n-th frame.
            fps: frames per second to keep, by presentation time; None to keep all frames.
            array: name of the array to read from a file that holds several.
            audio: features of the sound in the stream ``audio``: 'mel', 'wave' or 'none'.
            axes: order of the axes of arrays, such as 'TNHW': T for time, N for clips, H for height, W for width, C
                for channels; None to infer it from the shape.
            range: values of black and white in arrays and images without 8 bits, such as '0..4095'.
            hold_out: what is held out for validation and test: 'clips', or the 'ends' of all clips; None for 'ends'
                below 20 clips, and 'clips' otherwise.

        Raises:
            DataError: a file cannot be read, or there are no files.
            UsageError: an option is out of range.
        """
        self.path = path
        self.size = size
        self.fit = fit
        self.gray = gray
        self.skip = skip
        self.array = array
        self.audio = audio
        self.axes = axes
        self.range = range
        self.hold_out = hold_out
        check_hold_out(hold_out)
        self._fps = fps
        self._preprocessing = Preprocessing(size, fit, gray, fps, skip)
        if audio not in ("none", *sound.KINDS):
            raise UsageError(f"Option audio is {audio!r}; expected 'mel', 'wave' or 'none'.")
        self._footage = _discover(Path(path).expanduser(), array, axes, range)
        self._rows = [rows_of(each.footage, self._preprocessing) for each in self._footage]
        self.fps = self._rows[0].fps
        edges = [np.unique([0, *rows.breaks, len(rows.numbers)]) for rows in self._rows]
        # For every clip: the number of its footage, its first row, and the row after its last.
        self._clips = [(i, *pair) for i, e in enumerate(edges) for pair in itertools.pairwise(e.tolist())]
        self._lengths = np.array([stop - start for _, start, stop in self._clips], np.int64)
        splits = [self._footage[i].split for i, _, _ in self._clips]
        if any(splits) or of_clips(len(splits), hold_out):
            splits = split_by_folder([folder_of(self._footage[i].name) for i, _, _ in self._clips], splits)
        self.split = None if None in splits else np.array(splits)
        self.sources = [_facts(*each) for each in zip(self._footage, self._rows, strict=True)]
        if audio != "none":
            self.streams = {"audio": sound.width(audio, self.fps), "audio_mask": 1}
        self._open: OrderedDict[int, Found] = OrderedDict()
        self._lock = threading.Lock()  # No thread may seek in or close a decoder that another thread reads.

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each clip, (n,) int64."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape (h, w, c) of the frames."""
        return self._preprocessing.frame_shape

    def get_config(self) -> dict[str, object]:
        """The constructor's keywords; the attribute ``fps`` is the resulting rate, not the option."""
        return {**super().get_config(), "fps": self._fps}

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: the clip or the range does not exist.
            DataError: the file is damaged in that range.
        """
        start, stop = self.check_range(i, start, stop)
        number, first, _ = self._clips[i]
        rows = self._rows[number]
        with self._lock:
            footage = self._opened(number).footage
            pictures = footage.walk(rows.numbers[first + start : first + stop])
            frames = np.stack([picture.frame(self._preprocessing) for picture in pictures])
        return Clip(frames, self._sound(number, rows.times[first + start : first + stop + 1]))

    def times(self, i: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """See ``Dataset.times``."""
        start, stop = self.check_range(i, start, stop)
        number, first, _ = self._clips[i]
        times = self._rows[number].times
        return times[first + start : first + stop] - times[first]

    def fingerprint(self) -> str:
        """SHA-256 of the content of the files and of the options; it does not depend on their path."""
        about = [self.name, self._preprocessing.to_json(), self.audio, [each.split for each in self._footage]]
        about += [self.hold_out] if self.hold_out else []
        digest = hashlib.sha256(json.dumps(about).encode())
        for each in self._footage:
            digest.update(each.footage.digest().encode())
        return digest.hexdigest()

    def _sound(self, number: int, times: np.ndarray) -> dict[str, np.ndarray]:
        footage = self._footage[number].footage
        if not footage.sound:
            return {name: np.zeros((len(times) - 1, width), np.float32) for name, width in self.streams.items()}
        if self.audio == "none":
            return {}
        features, mask = sound.rows(footage.path, times, self.audio, self.fps)
        return {"audio": features, "audio_mask": mask}

    def _opened(self, number: int) -> Found:
        self._open[number] = self._footage[number]
        self._open.move_to_end(number)
        if len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].footage.close()
        return self._footage[number]


def _facts(source: Found, rows: Rows) -> dict[str, Any]:
    """Properties of a file; see ``Dataset.sources``."""
    footage = source.footage
    facts = {key: getattr(footage, key) for key in ("kind", "gray", "timed", "reading")}
    return {"path": source.name, "fps": rows.fps, "size": list(footage.size), **facts}


def _discover(path: Path, array: str | None, axes: str | None, range: str | None) -> list[Found]:
    """Find all footage below a path, and refuse damaged files, which ``ingest`` would skip and report."""
    sources, skipped = discover([path], array=array, axes=axes, range=range)
    damaged = [each for each in skipped if each.damaged]
    if damaged and (sources or len(damaged) > 1):
        raise DataError(f"{damaged[0].name} cannot be used. {damaged[0].reason} `latentseq ingest` skips such files.")
    if not sources:
        raise nothing_found(skipped)
    return sources
