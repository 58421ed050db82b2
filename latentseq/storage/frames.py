"""A folder of clips: frames (uint8) and side streams in shards."""

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
CHUNK = 256
"""Frames read at a time where a whole clip is copied or encoded."""


class ClipFolder(Dataset):
    """Clips that ``write_clips`` wrote."""

    name: ClassVar[str] = "clips"
    description: ClassVar[str] = "A folder of clips, decoded once and read at random."

    def __init__(self, path: str):
        """Open a folder.

        Args:
            path: the folder.

        Raises:
            DataError: it is not a folder of clips.
        """
        self.path = path
        self._reader = ShardReader(Path(path), FORMAT)
        manifest = self._reader.manifest
        self._reader.expected = arrays = check_clips(manifest, Path(path) / MANIFEST)
        check_seal(manifest, Path(path) / MANIFEST)
        self.fps = manifest["fps"]
        self._timed = "times" in arrays
        self.streams = manifest["streams"]
        self.sources = _whole(manifest)
        splits = self._reader.clip_values("split")
        self.split = None if None in splits else np.array(splits)

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
        """See ``Dataset.times``. A folder that was written before times were kept has those of its frame rate.

        Raises:
            UsageError: a clip or a range that does not exist.
            DataError: what is stored cannot be read, or times do not rise.
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
        """SHA-256 of the content: a copy elsewhere has the same."""
        return self._reader.fingerprint()

    def about(self) -> dict[str, Any]:
        """The manifest."""
        return self._reader.manifest


def _whole(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """What is known of the sources; of windows that were cut out of them, their size says nothing."""
    cropped = "crop" in manifest["source"]["config"]
    return [{k: v for k, v in each.items() if not (cropped and k == "size")} for each in manifest.get("sources", [])]


def write_clips(dataset: Dataset, folder: Path, progress: Progress) -> None:
    """Write every clip of a dataset; memory stays at about one shard.

    Where the same work was interrupted it goes on, and a shard that is damaged is made again.

    Args:
        dataset: what to copy.
        folder: an empty folder, a new one, or one of the same work.
        progress: told after every chunk.

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
    )


def end_clips(writer: ShardWriter, dataset: Dataset) -> None:
    """Say of the rows written which are the clips of a dataset, and of which split."""
    for i, length in enumerate(dataset.lengths.tolist()):
        writer.end_clip(length, split=None if dataset.split is None else str(dataset.split[i]))


def all_chunks(lengths: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """All clips from start to end, ``CHUNK`` frames at a time: (clip, start, stop)."""
    for i, length in enumerate(lengths.tolist()):
        for start in range(0, length, CHUNK):
            yield i, start, min(start + CHUNK, length)
