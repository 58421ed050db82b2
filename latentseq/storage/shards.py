"""Rows of named arrays in many HDF5 files and one manifest: what clips and latents have in common.

A folder holds ``manifest.json`` and ``shard-00000.h5``, ``shard-00001.h5``, … Rows (one a frame) are numbered
through all shards; clips are runs of rows, so a long clip may span shards. A shard is built in memory and written
whole; the manifest comes last.
"""

import hashlib
import io
import itertools
import json
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from latentseq.errors import DataError, listed
from latentseq.storage.atomic import read_json, write_bytes, write_json

MANIFEST = "manifest.json"
SHARD_BYTES = 32 << 20
OPEN_SHARDS = 64


class ShardWriter:
    """Appends rows, clip by clip; memory stays at about one shard."""

    def __init__(self, folder: Path):
        """Start in an empty folder, or a new one."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.shards: list[dict[str, Any]] = []
        self.clips: list[dict[str, Any]] = []
        self._parts: list[dict[str, np.ndarray]] = []
        self._bytes = 0

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append rows: arrays by name, (t, ...) each, the same names, item shapes and dtypes every time."""
        self._parts.append(dict(rows))
        self._bytes += sum(a.nbytes for a in rows.values())
        if self._bytes >= SHARD_BYTES:
            self._flush()

    def end_clip(self, length: int, **about: Any) -> None:
        """Say that the next ``length`` rows after the last clip are one clip, and what is known of it."""
        if self.clips and {**self.clips[-1], "count": 0} == {"count": 0, "length": length, **about}:
            self.clips[-1]["count"] += 1
        else:
            self.clips.append({"count": 1, "length": length, **about})

    def close(self, **about: Any) -> None:
        """Write the last shard, then the manifest with ``about`` in it."""
        self._flush()
        write_json(self.folder / MANIFEST, {**about, "clips": self.clips, "shards": self.shards})

    def _flush(self) -> None:
        if not self._parts:
            return
        buffer, name = io.BytesIO(), f"shard-{len(self.shards):05d}.h5"
        arrays = {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}
        with h5py.File(buffer, "w") as file:  # Not in the order of creation: that would keep the time of it too.
            for key, array in arrays.items():
                file.create_dataset(key, data=array, track_times=False)
        digest = write_bytes(self.folder / name, buffer.getvalue())
        self.shards.append({"file": name, "rows": len(next(iter(arrays.values()))), "sha256": digest})
        self._parts, self._bytes = [], 0


class ShardReader:
    """Reads rows anywhere; holds a few files open and no data."""

    def __init__(self, folder: Path, format_name: str):
        """Open a folder that a ``ShardWriter`` closed.

        Raises:
            DataError: no manifest, or of another format.
        """
        self.folder = folder
        self.manifest = read_json(folder / MANIFEST, f"the manifest of {format_name}")
        if self.manifest.get("format") != format_name:
            raise DataError(
                f"{folder} holds {self.manifest.get('format')!r}; expected {format_name!r}. Choose another folder."
            )
        require_keys(self.manifest, ("clips", "shards"), folder / MANIFEST)
        runs = self.manifest["clips"]
        self.lengths = np.repeat([r["length"] for r in runs], [r["count"] for r in runs]).astype(np.int64)
        self.clip_starts = np.concatenate([[0], np.cumsum(self.lengths)]).astype(np.int64)
        self._ends = list(itertools.accumulate(s["rows"] for s in self.manifest["shards"]))
        self._open: OrderedDict[int, h5py.File] = OrderedDict()
        self._lock = threading.Lock()  # Batches are read ahead in a thread of their own.

    def clip_values(self, key: str) -> list[Any]:
        """What the manifest says of every clip under ``key``; None where it says nothing."""
        return [run.get(key) for run in self.manifest["clips"] for _ in range(run["count"])]

    def rows(self, start: int, stop: int) -> dict[str, np.ndarray]:
        """Every array's rows ``start`` to ``stop``.

        Raises:
            DataError: a shard is missing or damaged.
        """
        pieces: list[dict[str, np.ndarray]] = []
        while start < stop:
            shard = bisect_right(self._ends, start)
            first = self._ends[shard - 1] if shard else 0
            end = min(stop, self._ends[shard])
            try:
                with self._lock:
                    file = self._file(shard)
                    piece = {key: file[key][start - first : end - first] for key in file}
                short = [key for key, array in piece.items() if len(array) < end - start]
                if short or not piece:
                    raise KeyError(f"it holds fewer rows of {listed(short)} than the manifest says")
                pieces.append(piece)
            except (OSError, KeyError, RuntimeError) as cause:
                name = self.folder / self.manifest["shards"][shard]["file"]
                raise DataError(f"{name} cannot be read: {cause}. Make the folder again.") from cause
            start = end
        if len(pieces) == 1:
            return pieces[0]
        return {key: np.concatenate([p[key] for p in pieces]) for key in pieces[0]}

    def fingerprint(self) -> str:
        """SHA-256 over clips and shard hashes: two folders with the same content have the same."""
        content = {key: self.manifest[key] for key in ("clips", "shards")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _file(self, shard: int) -> h5py.File:
        if shard in self._open:
            self._open.move_to_end(shard)
        else:
            self._open[shard] = h5py.File(self.folder / self.manifest["shards"][shard]["file"], "r")
            if len(self._open) > OPEN_SHARDS:
                self._open.popitem(last=False)[1].close()
        return self._open[shard]


def require_keys(manifest: Mapping[str, Any], keys: Iterable[str], path: Path) -> None:
    """Refuse a manifest that says too little.

    Raises:
        DataError: a key is missing.
    """
    missing = [key for key in keys if key not in manifest]
    if missing:
        raise DataError(f"{path} cannot be used: it says nothing of {listed(missing)}. Make the folder again.")


def folder_format(folder: Path) -> str | None:
    """What format the manifest in a folder names; None where there is no manifest of ours."""
    try:
        return read_json(folder / MANIFEST, "a manifest").get("format")
    except DataError:
        return None
