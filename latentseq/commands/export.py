"""Export the clips of a dataset to files for other programs."""

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
from latentseq.errors import DataError, UsageError, did_you_mean, join_names
from latentseq.media.records import MAX_RECORD, record_size, write_records
from latentseq.protocols import Dataset, Progress
from latentseq.storage.atomic import write_json
from latentseq.storage.folders import check_free, output_folder
from latentseq.training.watch import Watcher

MARKER = "export.json"
"""Name of the file that marks the folder of an export."""
CHUNK_BYTES = 16 << 20
"""Number of bytes of frames that are read at a time."""
FILE_BYTES = 100_000_000
"""Target size of a TFRecord file in bytes, because readers open several files at the same time."""


def export(
    data: str | Path,
    out: str | Path,
    *,
    format: str = "mp4",
    data_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Write every clip of DATA to files for other programs, at the dataset's own frame size and rate.

    Clips keep their numbers, in names such as ``clip-00003.mp4``. If the dataset has splits, each split is a folder.
    Only ``tfrecord`` contains side streams.

    Args:
        data: DATA; files are decoded at 64 x 64, unless the dataset's options set another size.
        out: path of the folder to write.
        format: format of the files. One file for each clip: ``mp4`` (nearly the same pixels), ``gif`` (255 colours,
            at most 50 frames per second) or ``webp`` (the same pixels, at most 90 frames per second); GIF and WebP
            store equal successive frames as one that is shown longer. ``png``: a folder of images for each clip.
            ``npy``: an array (clips, frames, h, w, c) uint8 in ``clips.npy`` if all clips have the same length, else
            an array (frames, h, w, c) for each. ``tfrecord``: all clips in order, in files of about 100 MB.
        data_options: options of the dataset by name.
        overwrite: replace an earlier export.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        UsageError: the format is unknown, or the output exists or contains the data.
        DataError: the data cannot be read, or does not fit into the format.
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    out = Path(out)
    if format not in _FORMATS:
        raise UsageError(
            f"format is {format!r}; expected one of {join_names(_FORMATS)}. {did_you_mean(format, _FORMATS)}".rstrip()
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
        summary = {
            "format": format,
            "clips": len(dataset.lengths),
            "frames": int(dataset.lengths.sum()),
            "fps": dataset.fps,
            "source": {"dataset": dataset.name, "config": dataset.get_config()},
        }
        write_json(folder / MARKER, summary)
    return out


class _Source:
    """A dataset that is read from start to end, and reports its progress.

    Attributes:
        dataset: the dataset.
    """

    def __init__(self, dataset: Dataset, progress: Progress, passes: int) -> None:
        """Count the frames.

        Args:
            dataset: dataset to read.
            progress: receiver of the progress.
            passes: number of times that each frame is read.
        """
        self.dataset = dataset
        self._progress = progress
        self._passes = passes
        self._done = 0
        self._total = int(dataset.lengths.sum())

    def chunks(self, i: int) -> Iterator[Clip]:
        """Read clip ``i`` in pieces."""
        length, step = int(self.dataset.lengths[i]), max(1, CHUNK_BYTES // math.prod(self.dataset.frame_shape))
        for start in range(0, length, step):
            clip = self.dataset.read(i, start, min(start + step, length))
            yield clip
            self._done += len(clip.frames)
            done = self._done // self._passes
            self._progress.update(done / self._total, f"{done} of {self._total} frames")

    def frames(self, i: int) -> Iterator[np.ndarray]:
        """Read the frames of clip ``i`` in arrays (t, h, w, c) uint8."""
        return (clip.frames for clip in self.chunks(i))


def _check(dataset: Dataset, format: str) -> None:
    """Check that a dataset fits into a format, before anything is written.

    Raises:
        DataError: the dataset does not fit.
    """
    if not len(dataset.lengths):
        raise DataError(f"{dataset.name} holds no clips; expected at least one. Choose other data.")
    if dataset.frame_shape[2] not in (1, 3) and format != "npy":
        raise DataError(
            f"The frames of {dataset.name} have {dataset.frame_shape[2]} channels; expected 1 or 3 for a picture. "
            "Export with --format npy."
        )
    longest = int(dataset.lengths.argmax())
    size = record_size(int(dataset.lengths[longest]), dataset.frame_shape, dataset.streams)
    if format == "tfrecord" and size > MAX_RECORD:
        raise DataError(
            f"Clip {longest} of {dataset.name} has {dataset.lengths[longest]} frames, {size / 1e9:.1f} GB; expected "
            f"at most {MAX_RECORD / 1e9:.1f} GB for a clip in a TFRecord. Use shorter clips, or --format npy."
        )


def _splits(dataset: Dataset) -> Iterator[tuple[str | None, list[int]]]:
    """Each split with the numbers of its clips; None with all clips for a dataset without splits."""
    if dataset.split is None:
        yield None, list(range(len(dataset.lengths)))
        return
    for split in ("train", "validation", "test"):
        if clips := np.flatnonzero(dataset.split == split).tolist():
            yield split, clips


def _videos(suffix: str, source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    """Write a video file for each clip."""
    for i in clips:
        path, dataset = folder / f"clip-{i:05d}{suffix}", source.dataset
        write_frames(path, partial(source.frames, i), times=dataset.times(i), fps=dataset.fps)


def _images(source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    """Write a folder of images for each clip."""
    for i in clips:
        subfolder = folder / f"clip-{i:05d}"
        subfolder.mkdir()
        for number, frame in enumerate(chain.from_iterable(source.frames(i))):
            image = Image.fromarray(frame[..., 0] if frame.shape[2] == 1 else frame)
            image.save(subfolder / f"frame{number:05d}.png")


def _arrays(source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    """Write one array if all clips have the same length, else one for each clip."""
    lengths, shape = source.dataset.lengths[clips].tolist(), source.dataset.frame_shape
    if len(set(lengths)) == 1:
        frames = chain.from_iterable(map(source.frames, clips))
        _write_array(folder / "clips.npy", (len(clips), lengths[0], *shape), frames)
        return
    for i, length in zip(clips, lengths, strict=True):
        _write_array(folder / f"clip-{i:05d}.npy", (length, *shape), source.frames(i))


def _write_array(path: Path, shape: tuple[int, ...], parts: Iterable[np.ndarray]) -> None:
    """Write an array in parts. A memory map would end the process if the disk is full."""
    header = {"descr": np.dtype(np.uint8).str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(part.tobytes())


def _records(source: _Source, folder: Path, clips: Sequence[int], split: str | None) -> None:
    """Write TFRecord files of about ``FILE_BYTES``."""
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
