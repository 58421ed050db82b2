"""A folder of latents: what an encoder made of clips, in shards, with the encoder's fingerprint."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from latentseq.arrays import Clip, to_float
from latentseq.protocols import Dataset, Encoder, Progress
from latentseq.storage.frames import CHUNK, end_clips, read_in_chunks
from latentseq.storage.shards import MANIFEST, ShardReader, ShardWriter, require_keys

FORMAT = "latentseq-latents/1"


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
        needed = ("latent_shape", "has_posterior", "encoder", "data", "streams", "fps")
        require_keys(manifest, needed, path / MANIFEST)
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
    """Encode every clip of a dataset into an empty folder; memory stays at about one shard.

    Args:
        dataset: frames of the encoder's input shape.
        encoder: a trained encoder.
        fingerprint: the encoder artifact's.
        folder: an empty folder, or a new one.
        progress: told after every chunk.

    Raises:
        DataError: the dataset cannot be read.
        TryAgainError: the disk is full.
    """
    writer, posterior = ShardWriter(folder), False
    done, total = 0, int(dataset.lengths.sum())
    with contextlib.closing(progress):
        for pieces in _together(dataset):
            latents = encoder.encode(to_float(np.concatenate([clip.frames for clip in pieces])))
            posterior = latents.log_var is not None
            arrays = {k: a for k, a in latents._asdict().items() if a is not None}
            streams = {name: np.concatenate([clip.streams[name] for clip in pieces]) for name in dataset.streams}
            writer.add({**arrays, **streams})
            done += len(latents.mean)
            progress.update(done / total, f"{done} of {total} frames")
    end_clips(writer, dataset)
    writer.close(
        format=FORMAT,
        latent_shape=list(encoder.latent_shape),
        has_posterior=posterior,
        encoder=fingerprint,
        data=dataset.fingerprint(),
        streams=dict(dataset.streams),
        fps=dataset.fps,
    )


def _together(dataset: Dataset) -> Iterator[list[Clip]]:
    """All clips in order, in pieces of about ``CHUNK`` frames together: an encoder is slow on a few frames."""
    pieces: list[Clip] = []
    for i in range(len(dataset.lengths)):
        for clip in read_in_chunks(dataset, i):
            pieces.append(clip)
            if sum(len(piece.frames) for piece in pieces) >= CHUNK:
                yield pieces
                pieces = []
    if pieces:
        yield pieces
