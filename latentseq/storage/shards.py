"""Rows of named arrays in many HDF5 files and one manifest: what clips and latents have in common.

A folder holds ``manifest.json`` and shards, ``shard-….h5``. Rows (one a frame) are numbered through all shards;
clips are runs of rows, so a long clip may span shards, clips may share rows, and rows may belong to none. A shard is
built in memory and written whole; the manifest comes last.
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
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np

from latentseq.errors import DataError, listed
from latentseq.storage.atomic import read_json, write_bytes, write_json
from latentseq.storage.clip_table import first_rows, pack, values

MANIFEST = "manifest.json"
SHARD_BYTES = 32 << 20
OPEN_SHARDS = 64
ABOUT = "about"
"""The array of a shard that is no rows, but what it was told to keep."""
"""JSON beside the arrays; as an attribute it could have no more than 64 kB."""


def write_shard(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any] | None = None) -> str:
    """Write one shard.

    Args:
        path: the file.
        arrays: by name, (rows, ...) each.
        about: what else to keep in it, as JSON types.

    Returns:
        Its SHA-256, in hexadecimal: the same content gives the same bytes.

    Raises:
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:  # Not in the order of creation: that would keep the time of it too.
        for key, array in arrays.items():
            file.create_dataset(key, data=array, track_times=False)
        if about is not None:
            text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
            file.create_dataset(ABOUT, data=text, track_times=False)
    return write_bytes(path, buffer.getbuffer())


def read_about(path: Path) -> dict[str, Any]:
    """What ``write_shard`` was told to keep in a shard.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            return json.loads(bytes(file[ABOUT][()]))
    except (OSError, KeyError, ValueError, RuntimeError) as cause:
        raise DataError(f"{path} cannot be read: {cause}. Make the folder again.") from cause


class ShardWriter:
    """Appends rows, clip by clip; memory stays at about one shard."""

    def __init__(self, folder: Path):
        """Start in an empty folder, or a new one."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.shards: list[dict[str, Any]] = []
        self.clips: list[dict[str, Any]] = []
        self._row = 0
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
        self.clips.append({"row": self._row, "length": length, **about})
        self._row += length

    def close(self, **about: Any) -> None:
        """Write the last shard, then the manifest with ``about`` in it."""
        self._flush()
        write_json(self.folder / MANIFEST, {**about, "clips": pack(self.clips), "shards": self.shards})

    def _flush(self) -> None:
        if not self._parts:
            return
        name = f"shard-{len(self.shards):05d}.h5"
        arrays = {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}
        digest = write_shard(self.folder / name, arrays)
        self.shards.append({"file": name, "rows": len(next(iter(arrays.values()))), "sha256": digest})
        self._parts, self._bytes = [], 0


class _Rows(NamedTuple):
    """Where the rows of one array lie in a file, one after another."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


class _Shard(NamedTuple):
    """An open shard."""

    file: BinaryIO
    arrays: dict[str, _Rows]


class ShardReader:
    """Reads rows anywhere; holds a few files open and no data.

    HDF5 says where an array lies; its rows are then read from the file itself, which takes a tenth of the time.
    """

    def __init__(self, folder: Path, format_name: str):
        """Open a folder that was written whole.

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
        for run in self.manifest["clips"]:
            require_keys(run, ("row", "step", "count", "length"), folder / MANIFEST)
        self.lengths = np.array(self.clip_values("length"), np.int64)
        self.first_rows = first_rows(self.manifest["clips"])
        self._ends = list(itertools.accumulate(s["rows"] for s in self.manifest["shards"]))
        needed, rows = int((self.first_rows + self.lengths).max(initial=0)), self._ends[-1] if self._ends else 0
        if needed > rows:
            raise DataError(
                f"{folder / MANIFEST} cannot be used: its clips need {needed} rows, and its shards have {rows}. "
                "Make the folder again."
            )
        self._open: OrderedDict[int, _Shard] = OrderedDict()
        self._lock = threading.Lock()  # Batches are read ahead in a thread of their own.

    def clip_values(self, key: str) -> list[Any]:
        """What the manifest says of every clip under ``key``; None where it says nothing."""
        return values(self.manifest["clips"], key)

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
            with self._lock:
                pieces.append(self._read(shard, start - first, end - first))
            start = end
        if len(pieces) == 1:
            return pieces[0]
        return {key: np.concatenate([p[key] for p in pieces]) for key in pieces[0]}

    def fingerprint(self) -> str:
        """SHA-256 over clips and shard hashes: two folders with the same content have the same."""
        content = {key: self.manifest[key] for key in ("clips", "shards")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _read(self, shard: int, start: int, stop: int) -> dict[str, np.ndarray]:
        path = self.folder / self.manifest["shards"][shard]["file"]
        try:
            file, arrays = self._opened(shard, path)
            found = {}
            for key, (offset, shape, dtype) in arrays.items():
                found[key] = np.empty((stop - start, *shape), dtype)
                file.seek(offset + start * dtype.itemsize * int(np.prod(shape)))
                if file.readinto(found[key].reshape(-1).view(np.uint8)) != found[key].nbytes:  # type: ignore[attr-defined]
                    raise OSError("its end is missing")
            return found
        except (OSError, KeyError, RuntimeError, ValueError) as cause:
            raise DataError(f"{path} cannot be read: {cause}. Make the folder again.") from cause

    def _opened(self, shard: int, path: Path) -> _Shard:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        rows, arrays = self.manifest["shards"][shard]["rows"], {}
        with h5py.File(path, "r") as file:
            for key in sorted(file.keys() - {ABOUT}):
                array = file[key]
                offset = array.id.get_offset() if isinstance(array, h5py.Dataset) else None
                if offset is None or array.shape[:1] != (rows,):
                    raise KeyError(f"{key!r} in it is not {rows} rows in one piece")
                arrays[key] = _Rows(offset, array.shape[1:], array.dtype)
        if not arrays:
            raise KeyError("it holds no rows")
        self._open[shard] = _Shard(path.open("rb"), arrays)
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)[1].file.close()
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
