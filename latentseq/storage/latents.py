"""A folder of latents: what an encoder made of clips, in shards, with the encoder's fingerprint."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentseq.arrays import to_float
from latentseq.protocols import Dataset, Encoder, Progress
from latentseq.storage.frames import CHUNK, all_chunks, end_clips
from latentseq.storage.manifest import LATENTS, MANIFEST, check_latents
from latentseq.storage.reading import check_seal
from latentseq.storage.shards import ShardReader, ShardWriter

FORMAT = LATENTS


class LatentFolder:
    """Latents that ``write_latents`` wrote: clips of means, of log variances where there is a posterior, of streams.

    Attributes:
        lengths: (n,) int64, items of each clip.
        split: (n,) of 'train', 'validation', 'test', or None.
        latent_shape: of one item.
        encoder: fingerprint of the encoder that made them.
        streams: width of each side stream.
        fps: items a second.
    """

    def __init__(self, path: Path):
        """Open a folder.

        Raises:
            DataError: it is not a folder of latents.
        """
        self.path = path
        self._reader = ShardReader(path, FORMAT)
        manifest = self._reader.manifest
        self._reader.expected = check_latents(manifest, path / MANIFEST)
        check_seal(manifest, path / MANIFEST)
        self.lengths = self._reader.lengths
        splits = self._reader.clip_values("split")
        self.split = None if None in splits else np.array(splits)
        self.latent_shape: tuple[int, ...] = tuple(manifest["latent_shape"])
        self.has_posterior: bool = manifest["has_posterior"]
        self.encoder: str = manifest["encoder"]
        self.data: str = manifest["data"]
        self.streams: dict[str, int] = manifest["streams"]
        self.fps: float = manifest["fps"]

    def read(self, i: int, start: int, stop: int) -> dict[str, np.ndarray]:
        """Items ``start`` to ``stop`` of clip ``i``: ``mean``, ``log_var`` where there is one, and the streams."""
        first = int(self._reader.first_rows[i])
        return self._reader.rows(first + start, first + stop)

    def read_windows(self, clips: np.ndarray, starts: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Many stretches of one length at once, every array (b, t, ...)."""
        parts = [self.read(int(i), int(s), int(s) + length) for i, s in zip(clips, starts, strict=True)]
        return {key: np.stack([p[key] for p in parts]) for key in parts[0]}

    def fingerprint(self) -> str:
        """SHA-256 of the content: a copy elsewhere has the same."""
        return self._reader.fingerprint()


def write_latents(dataset: Dataset, encoder: Encoder, fingerprint: str, folder: Path, progress: Progress) -> None:
    """Encode every clip of a dataset; memory stays at about one shard.

    Where the same work was interrupted it goes on, and a shard that is damaged is made again.

    Args:
        dataset: frames of the encoder's input shape.
        encoder: a trained encoder.
        fingerprint: the encoder artifact's.
        folder: an empty folder, a new one, or one of the same work.
        progress: told after every chunk.

    Raises:
        DataError: the dataset cannot be read.
        TryAgainError: the disk is full.
    """
    writer = ShardWriter(folder, {"encoder": fingerprint, "data": dataset.fingerprint()})
    done, total = 0, int(dataset.lengths.sum())
    posterior = encoder.encode(to_float(dataset.read(0, 0, 1).frames)).log_var is not None
    with contextlib.closing(progress):
        for stretches in _together(dataset.lengths):
            rows = sum(stop - start for _, start, stop in stretches)
            if not writer.skip(rows):
                pieces = [dataset.read(*stretch) for stretch in stretches]
                latents = encoder.encode(to_float(np.concatenate([clip.frames for clip in pieces])))
                arrays = {k: a for k, a in latents._asdict().items() if a is not None}
                streams = {name: np.concatenate([clip.streams[name] for clip in pieces]) for name in dataset.streams}
                writer.add({**arrays, **streams})
            done += rows
            progress.update(done / total, f"{done} of {total} frames")
    end_clips(writer, dataset)
    writer.close(
        format=FORMAT,
        latent_shape=list(encoder.latent_shape),
        has_posterior=posterior,
        streams=dict(dataset.streams),
        fps=dataset.fps,
    )


def _together(lengths: np.ndarray) -> Iterator[list[tuple[int, int, int]]]:
    """All clips in order, as (clip, start, stop) of about ``CHUNK`` frames together: an encoder is slow on a few."""
    stretches: list[tuple[int, int, int]] = []
    for i, start, stop in all_chunks(lengths):
        stretches.append((i, start, stop))
        if sum(stop - start for _, start, stop in stretches) >= CHUNK:
            yield stretches
            stretches = []
    if stretches:
        yield stretches
