"""Clips as files that other programs open, and a picture of what a dataset holds."""

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from latentseq.arrays import Clip
from latentseq.data.open import open_data
from latentseq.drawing.writers import write_frames
from latentseq.errors import DataError, UsageError, did_you_mean, listed
from latentseq.media.records import MAX_RECORD, record_size, write_records
from latentseq.protocols import Dataset, Progress
from latentseq.storage.atomic import write_json
from latentseq.storage.folders import check_free, output_folder
from latentseq.training.watch import Watcher

MARKER = "export.json"
CHUNK_BYTES = 16 << 20
"""Of frames read at a time."""
FILE_BYTES = 100_000_000
"""Of a TFRecord file, where its clips let it: readers take several files at a time."""


def export(
    data: str | Path,
    out: str | Path,
    *,
    format: str = "mp4",
    data_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Write every clip of DATA in a format of others: frames alone, at the dataset's own size and rate.

    Clips keep their number, in names such as ``clip-00003.mp4``. Where the dataset has splits, each is a folder. Side
    streams go into ``tfrecord`` only.

    Args:
        data: DATA; files are decoded at 64 x 64 where the dataset's options say nothing else.
        out: a folder.
        format: a file for each clip, ``mp4`` (nearly the same pixels), ``gif`` (255 colours, at most 50 frames a
            second) or ``webp`` (the same pixels, at most 90); the last two keep equal frames in a row as one that is
            shown longer. ``png``, a folder of images for each clip. ``npy``, one array (clips, frames, h, w, c) uint8
            in ``clips.npy`` where all clips are of one length, else one (frames, h, w, c) for each. ``tfrecord``, all
            clips in order in files of about 100 MB.
        data_options: the dataset's keywords.
        overwrite: replace an earlier export.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        UsageError: another format, or an output that exists or holds the data.
        DataError: the data cannot be read, or does not fit into the format.
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    out = Path(out)
    if format not in _FORMATS:
        raise UsageError(
            f"format is {format!r}; expected one of {listed(_FORMATS)}. {did_you_mean(format, _FORMATS)}".rstrip()
        )
    check_free(out, MARKER, overwrite=overwrite)
    if out.exists() and Path(data).resolve().is_relative_to(out.resolve()):
        raise UsageError(f"{data} lies inside {out}, which would be replaced. Choose another output.")
    dataset = open_data(data, options=data_options)
    _check(dataset, format)
    with output_folder(out, MARKER, overwrite=overwrite) as folder:
        with contextlib.closing(Watcher("export", quiet=quiet)) as progress:
            source = _Source(dataset, progress, passes=2 if format == "gif" else 1)
            for split, clips in _splits(dataset):
                place = folder / (split or "")
                place.mkdir(exist_ok=True)
                _FORMATS[format](source, place, clips, split)
        about = {
            "format": format,
            "clips": len(dataset.lengths),
            "frames": int(dataset.lengths.sum()),
            "fps": dataset.fps,
            "source": {"dataset": dataset.name, "config": dataset.get_config()},
        }
        write_json(folder / MARKER, about)
    return out


class _Source:
    """A dataset that is read from start to end, with progress."""

    def __init__(self, dataset: Dataset, progress: Progress, passes: int) -> None:
        self.dataset = dataset
        self._progress, self._passes = progress, passes
        self._done, self._total = 0, int(dataset.lengths.sum())

    def chunks(self, i: int) -> Iterator[Clip]:
        """Clip ``i``, a stretch at a time."""
        length, step = int(self.dataset.lengths[i]), max(1, CHUNK_BYTES // math.prod(self.dataset.frame_shape))
        for start in range(0, length, step):
            clip = self.dataset.read(i, start, min(start + step, length))
            yield clip
            self._done += len(clip.frames)
            done = self._done // self._passes
            self._progress.update(done / self._total, f"{done} of {self._total} frames")

    def frames(self, i: int) -> Iterator[np.ndarray]:
        """(t, h, w, c) uint8 at a time."""
        return (clip.frames for clip in self.chunks(i))


def _check(dataset: Dataset, format: str) -> None:
    """Refuse what does not fit into a format, before anything is written."""
    if not len(dataset.lengths):
        raise DataError(f"{dataset.name} holds no clips; expected one or more. Give other data.")
    if dataset.frame_shape[2] not in (1, 3) and format != "npy":
        raise DataError(
            f"The frames of {dataset.name} have {dataset.frame_shape[2]} channels; expected 1 or 3 for a picture. "
            "Export with --format npy."
        )
    longest = int(dataset.lengths.argmax())
    size = record_size(int(dataset.lengths[longest]), dataset.frame_shape, dataset.streams)
    if format == "tfrecord" and size > MAX_RECORD:
        raise DataError(
            f"Clip {longest} of {dataset.name} has {dataset.lengths[longest]} frames, {size / 1e9:.1f} GB; a clip in "
            f"a TFRecord has at most {MAX_RECORD / 1e9:.1f} GB. Cut the clips shorter, or export with --format npy."
        )


def _splits(dataset: Dataset) -> Iterator[tuple[str | None, list[int]]]:
    """Each split with its clips; all clips where there are none."""
    if dataset.split is None:
        yield None, list(range(len(dataset.lengths)))
        return
    for split in ("train", "validation", "test"):
        if clips := np.flatnonzero(dataset.split == split).tolist():
            yield split, clips


def _videos(suffix: str, source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    for i in clips:
        path, dataset = folder / f"clip-{i:05d}{suffix}", source.dataset
        write_frames(path, partial(source.frames, i), times=dataset.times(i), fps=dataset.fps)


def _images(source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    for i in clips:
        below = folder / f"clip-{i:05d}"
        below.mkdir()
        for number, frame in enumerate(chain.from_iterable(source.frames(i))):
            Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame).save(below / f"frame{number:05d}.png")


def _arrays(source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    lengths, shape = source.dataset.lengths[clips].tolist(), source.dataset.frame_shape
    if len(set(lengths)) == 1:
        frames = chain.from_iterable(map(source.frames, clips))
        _write_array(folder / "clips.npy", (len(clips), lengths[0], *shape), frames)
        return
    for i, length in zip(clips, lengths, strict=True):
        _write_array(folder / f"clip-{i:05d}.npy", (length, *shape), source.frames(i))


def _write_array(path: Path, shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> None:
    """Not through a memory map, which ends the process where the disk is full."""
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.tobytes())


def _records(source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    dataset = source.dataset
    groups: list[list[int]] = []
    room = 0
    for i in clips:
        size = record_size(int(dataset.lengths[i]), dataset.frame_shape, dataset.streams)
        if not groups or size > room:
            groups.append([])
            room = FILE_BYTES
        groups[-1].append(i)
        room -= size
    for number, group in enumerate(groups):
        path = folder / f"clips-{number:05d}.tfrecord"
        write_records(path, map(source.chunks, group), fps=dataset.fps, split=split)


_Writer: TypeAlias = Callable[[_Source, Path, Sequence[int], str | None], None]
_FORMATS: Mapping[str, _Writer] = MappingProxyType(
    {name: partial(_videos, f".{name}") for name in ("mp4", "gif", "webp")}
    | {"png": _images, "npy": _arrays, "tfrecord": _records}
)
