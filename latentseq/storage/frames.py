"""A folder of clips: frames (uint8) and side streams in shards."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.protocols import Dataset, Progress
from latentseq.storage.shards import MANIFEST, ShardReader, ShardWriter, require_keys

FORMAT = "latentseq-clips/1"
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
        require_keys(manifest, ("fps", "streams", "frame_shape", "source"), Path(path) / MANIFEST)
        self.fps = manifest["fps"]
        self.streams = manifest["streams"]
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
        rows = self._reader.rows(first + start, first + stop)
        return Clip(rows.pop("frames"), rows)

    def fingerprint(self) -> str:
        """SHA-256 of the content: a copy elsewhere has the same."""
        return self._reader.fingerprint()

    def about(self) -> dict[str, Any]:
        """The manifest."""
        return self._reader.manifest


def write_clips(dataset: Dataset, folder: Path, progress: Progress) -> None:
    """Write every clip of a dataset into an empty folder; memory stays at about one shard.

    Args:
        dataset: what to copy.
        folder: an empty folder, or a new one.
        progress: told after every chunk.

    Raises:
        DataError: the dataset cannot be read.
        TryAgainError: the disk is full.
    """
    writer = ShardWriter(folder)
    done, total = 0, int(dataset.lengths.sum())
    with contextlib.closing(progress):
        for i in range(len(dataset.lengths)):
            for clip in read_in_chunks(dataset, i):
                writer.add({"frames": clip.frames, **clip.streams})
                done += len(clip.frames)
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


def read_in_chunks(dataset: Dataset, i: int) -> Iterator[Clip]:
    """Clip ``i`` from start to end, ``CHUNK`` frames at a time."""
    length = int(dataset.lengths[i])
    for start in range(0, length, CHUNK):
        yield dataset.read(i, start, min(start + CHUNK, length))
