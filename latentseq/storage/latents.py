"""Folders of latents: encoded clips in shards, with the fingerprint of the encoder."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentseq.arrays import to_float
from latentseq.protocols import Dataset, Encoder, Progress
from latentseq.storage.frames import CHUNK, all_chunks, chosen, end_clips
from latentseq.storage.manifest import LATENTS, MANIFEST, check_latents
from latentseq.storage.reading import check_seal
from latentseq.storage.shards import ShardReader, ShardWriter

FORMAT = LATENTS
"""Format of the manifest."""


class LatentFolder:
    """Latents in a folder that ``write_latents`` wrote: means, log variances if the encoder has them, and streams.

    Attributes:
        lengths: (n,) int64, the number of items of each clip.
        split: (n,) array of 'train', 'validation' and 'test', or None.
        hold_out: what is held out of data without splits; see ``split_ranges``.
        latent_shape: shape of one item.
        has_posterior: whether there are log variances.
        encoder: fingerprint of the encoder.
        data: fingerprint of the encoded data.
        streams: width of each side stream, by name.
        fps: number of items per second.
    """

    def __init__(self, path: Path):
        """Open a folder.

        Raises:
            DataError: ``path`` is not a folder of latents.
        """
        self.path = path
        self._reader = ShardReader(path, FORMAT)
        manifest = self._reader.manifest
        self._reader.expected = check_latents(manifest, path / MANIFEST)
        check_seal(manifest, path / MANIFEST)
        self.lengths = self._reader.lengths
        splits = self._reader.clip_values("split")
        self.split = None if None in splits else np.array(splits)
        self.hold_out: str | None = manifest.get("hold_out")
        self.latent_shape: tuple[int, ...] = tuple(manifest["latent_shape"])
        self.has_posterior: bool = manifest["has_posterior"]
        self.encoder: str = manifest["encoder"]
        self.data: str = manifest["data"]
        self.streams: dict[str, int] = manifest["streams"]
        self.fps: float = manifest["fps"]

    def read(self, i: int, start: int, stop: int) -> dict[str, np.ndarray]:
        """Read items ``start`` to ``stop`` of clip ``i``: ``mean``, ``log_var`` if it exists, and the streams."""
        first = int(self._reader.first_rows[i])
        return self._reader.rows(first + start, first + stop)

    def read_windows(self, clips: np.ndarray, starts: np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Read windows of equal length; each array is (b, t, ...)."""
        parts = [self.read(int(i), int(s), int(s) + length) for i, s in zip(clips, starts, strict=True)]
        return {key: np.stack([p[key] for p in parts]) for key in parts[0]}

    def fingerprint(self) -> str:
        """SHA-256 of the content. Copies of a folder have equal fingerprints."""
        return self._reader.fingerprint()


def write_latents(dataset: Dataset, encoder: Encoder, fingerprint: str, folder: Path, progress: Progress) -> None:
    """Encode all clips of a dataset into a folder.

    It needs memory for about one shard. It continues interrupted work, and writes damaged shards again.

    Args:
        dataset: clips whose frames have the input shape of the encoder.
        encoder: a trained encoder.
        fingerprint: fingerprint of the encoder.
        folder: a new or empty folder, or one in which the same work was interrupted.
        progress: receives the progress after every batch.

    Raises:
        DataError: the dataset cannot be read.
        TryAgainError: the disk is full.
    """
    writer = ShardWriter(folder, {"encoder": fingerprint, "data": dataset.fingerprint()})
    done, total = 0, int(dataset.lengths.sum())
    posterior = encoder.encode(to_float(dataset.read(0, 0, 1).frames)).log_var is not None
    with contextlib.closing(progress):
        for batch in _batches(dataset.lengths):
            rows = sum(stop - start for _, start, stop in batch)
            if not writer.skip(rows):
                pieces = [dataset.read(*chunk) for chunk in batch]
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
        **chosen(dataset.hold_out),
    )


def _batches(lengths: np.ndarray) -> Iterator[list[tuple[int, int, int]]]:
    """Group chunks (clip, start, stop) into batches of about ``CHUNK`` frames, because small batches are slow."""
    batch: list[tuple[int, int, int]] = []
    for chunk in all_chunks(lengths):
        batch.append(chunk)
        if sum(stop - start for _, start, stop in batch) >= CHUNK:
            yield batch
            batch = []
    if batch:
        yield batch
