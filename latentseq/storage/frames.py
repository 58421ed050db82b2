"""Folders of clips: frames (uint8), their times and side streams, in shards."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import DataError
from latentseq.protocols import Dataset, Progress
from latentseq.storage.manifest import CLIPS, MANIFEST, check_clips
from latentseq.storage.reading import check_seal
from latentseq.storage.shards import ShardReader, ShardWriter

FORMAT = CLIPS
"""Format of the manifest."""
CHUNK = 256
"""Number of frames that are read at once when a clip is copied or encoded."""


class ClipFolder(Dataset):
    """Clips in a folder that ``write_clips`` or ``ingest`` wrote."""

    name: ClassVar[str] = "clips"
    description: ClassVar[str] = "A folder of clips, decoded once and read at random."

    def __init__(self, path: str):
        """Open a folder.

        Args:
            path: the folder.

        Raises:
            DataError: ``path`` is not a folder of clips.
        """
        self.path = path
        self._reader = ShardReader(Path(path), FORMAT)
        manifest = self._reader.manifest
        arrays = check_clips(manifest, Path(path) / MANIFEST)
        self._reader.expected = arrays
        check_seal(manifest, Path(path) / MANIFEST)
        self.fps = manifest["fps"]
        self._timed = "times" in arrays
        self.streams = manifest["streams"]
        self.sources = _sources(manifest)
        splits = self._reader.clip_values("split")
        self.split = None if None in splits else np.array(splits)
        self.hold_out = manifest.get("hold_out")

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""
        return self._reader.lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        h, w, c = self._reader.manifest["frame_shape"]
        return h, w, c

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``."""
        start, stop = self.check_range(i, start, stop)
        first = int(self._reader.first_rows[i])
        rows = self._reader.rows(first + start, first + stop, ["frames", *self.streams])
        return Clip(rows.pop("frames"), rows)

    def times(self, i: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """See ``Dataset.times``. An old folder without stored times has those of its frame rate.

        Raises:
            UsageError: the clip or the range does not exist.
            DataError: the stored data cannot be read, or the times do not rise.
        """
        if not self._timed:
            return super().times(i, start, stop)
        start, stop = self.check_range(i, start, stop)
        first = int(self._reader.first_rows[i])
        ranges = [(first, first + 1), (first + start, first + stop)]
        begin, times = (self._reader.rows(*rows, ["times"])["times"].astype(np.float64) for rows in ranges)
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any() or (start and not begin[0] < times[0]):
            raise DataError(
                f"{self.path} cannot be used: the times of the frames of clip {i} do not rise. Make the folder again."
            )
        return times - begin[0]

    def fingerprint(self) -> str:
        """SHA-256 of the content. Copies of a folder have equal fingerprints."""
        return self._reader.fingerprint()

    def about(self) -> dict[str, Any]:
        """The manifest."""
        return self._reader.manifest


def _sources(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The sources of the clips. For crops they have no size, because it is not that of the frames."""
    cropped = "crop" in manifest["source"]["config"]
    return [{k: v for k, v in each.items() if not (cropped and k == "size")} for each in manifest.get("sources", [])]


def write_clips(dataset: Dataset, folder: Path, progress: Progress) -> None:
    """Copy all clips of a dataset into a folder.

    It needs memory for about one shard. It continues interrupted work, and writes damaged shards again.

    Args:
        dataset: the clips.
        folder: a new or empty folder, or one in which the same work was interrupted.
        progress: receives the progress after every chunk.

    Raises:
        DataError: the dataset cannot be read.
        TryAgainError: the disk is full.
    """
    writer = ShardWriter(folder, {"data": dataset.fingerprint(), "times": True})
    done, total = 0, int(dataset.lengths.sum())
    with contextlib.closing(progress):
        for i, start, stop in all_chunks(dataset.lengths):
            if not writer.skip(stop - start):
                clip = dataset.read(i, start, stop)
                writer.add({"frames": clip.frames, "times": dataset.times(i, start, stop), **clip.streams})
            done += stop - start
            progress.update(done / total, f"{done} of {total} frames")
    end_clips(writer, dataset)
    writer.close(
        format=FORMAT,
        frame_shape=list(dataset.frame_shape),
        fps=dataset.fps,
        streams=dict(dataset.streams),
        source={"dataset": dataset.name, "config": dataset.get_config()},
        **chosen(dataset.hold_out),
    )


def chosen(hold_out: str | None) -> dict[str, str]:
    """What is held out, for a manifest; nothing if it is the default."""
    return {"hold_out": hold_out} if hold_out else {}


def end_clips(writer: ShardWriter, dataset: Dataset) -> None:
    """Record which of the written rows belong to which clip, and the splits of the clips."""
    for i, length in enumerate(dataset.lengths.tolist()):
        writer.end_clip(length, split=None if dataset.split is None else str(dataset.split[i]))


def all_chunks(lengths: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Divide all clips into chunks of at most ``CHUNK`` frames: (clip, start, stop)."""
    for i, length in enumerate(lengths.tolist()):
        for start in range(0, length, CHUNK):
            yield i, start, min(start + CHUNK, length)
