"""Rows of named arrays in HDF5 files with one manifest: the storage of clips and of latents.

A folder holds ``manifest.json`` and shards, ``shard-….h5``. Rows, one per frame, are numbered through all shards.
A clip is a run of rows: a long clip may span shards, clips may share rows, and rows may belong to no clip. A shard is
built in memory and written at once; the manifest is written last.
"""

import hashlib
import io
import itertools
import json
import math
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import h5py
import numpy as np

from latentseq.errors import DataError
from latentseq.storage.atomic import read_json, write_bytes, write_sealed
from latentseq.storage.clip_table import first_rows, pack, values
from latentseq.storage.hdf5 import StoredArray, stored_arrays, unreadable
from latentseq.storage.ledger import Ledger, digest_of
from latentseq.storage.manifest import MANIFEST, Arrays, check_fit, check_rows
from latentseq.storage.reading import JSON_BYTES, open_regular, parse_json

UNFINISHED = "unfinished.json"
"""Name of the file that lists the shards of an unfinished folder."""
SHARD_BYTES = 32 << 20
"""Size of a shard in bytes, about."""
OPEN_SHARDS = 64
"""Maximum number of open files."""
ABOUT = "about"
"""The array of a shard that holds JSON instead of rows. An HDF5 attribute would be limited to 64 kB."""


def write_shard(path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any] | None = None) -> str:
    """Write one shard.

    Args:
        path: the file.
        arrays: arrays by name, each (rows, ...).
        about: further content, as JSON types.

    Returns:
        The SHA-256 of the file, in hexadecimal. Equal content gives equal bytes.

    Raises:
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:  # Tracking the order of creation would store times as well.
        for key, array in arrays.items():
            file.create_dataset(key, data=array, track_times=False)
        if about is not None:
            text = np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8)
            file.create_dataset(ABOUT, data=text, track_times=False)
    return write_bytes(path, buffer.getbuffer())


def read_about(path: Path) -> dict[str, Any]:
    """Read the ``about`` of a shard.

    Raises:
        DataError: it is missing or damaged.
    """
    about = stored_arrays(path).get(ABOUT)
    if about is None or about.dtype != np.uint8 or len(about.shape) != 1 or about.shape[0] > JSON_BYTES:
        raise unreadable(path, f"its array {ABOUT!r} is missing, or is not text")
    try:
        with path.open("rb") as file:
            file.seek(about.offset)
            value = parse_json(file.read(about.shape[0]))
    except (OSError, ValueError) as cause:
        raise unreadable(path, cause) from cause
    if not isinstance(value, dict):
        raise unreadable(path, f"its array {ABOUT!r} holds no object")
    return value


class ShardWriter:
    """Appends rows, clip by clip. It needs memory for about one shard."""

    def __init__(self, folder: Path, origin: Mapping[str, Any] | None = None):
        """Start writing.

        Args:
            folder: a new or empty folder, or one in which the same work was interrupted.
            origin: description of the input, as JSON, for the manifest. With it, complete shards of the same input
                can be skipped.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.shards: list[dict[str, Any]] = []
        self.clips: list[dict[str, Any]] = []
        self._origin = dict(origin or {})
        self._ledger = None if origin is None else Ledger(folder / UNFINISHED, origin)
        self._skippable = 0
        self._row = 0
        self._parts: list[dict[str, np.ndarray]] = []
        self._bytes = 0

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append rows.

        Args:
            rows: arrays by name, each (t, ...). Names, item shapes and dtypes are the same in every call.
        """
        self._parts.append(dict(rows))
        self._bytes += sum(a.nbytes for a in rows.values())
        if self._bytes >= SHARD_BYTES:
            self._flush()

    def skip(self, rows: int) -> bool:
        """Whether the next ``rows`` rows, which would be added together, are in a complete shard already.

        Raises:
            DataError: the rows do not end where the shard ends.
        """
        at_start = not self._skippable and not self._parts
        shard = self._ledger.intact(self._name()) if self._ledger and at_start else None
        if shard:
            self.shards.append(shard)
            self._skippable = shard["rows"]
        if not self._skippable:
            return False
        self._skippable -= rows
        if self._skippable < 0:
            raise DataError(f"{self.folder} was begun by another version of latentseq. Remove it and start again.")
        return True

    def end_clip(self, length: int, **about: Any) -> None:
        """Declare the next ``length`` rows after the last clip a clip.

        Args:
            length: number of rows.
            about: further values of the clip, for the manifest.
        """
        self.clips.append({"row": self._row, "length": length, **about})
        self._row += length

    def close(self, **about: Any) -> None:
        """Write the last shard and the manifest, and remove all other shards.

        Args:
            about: further values for the manifest.
        """
        self._flush()
        content = {**self._origin, **about, "clips": pack(self.clips), "shards": self.shards}
        write_sealed(self.folder / MANIFEST, content)
        files = {shard["file"] for shard in self.shards}
        for path in [*self.folder.glob("shard-*.h5"), self.folder / UNFINISHED]:
            if path.name not in files:
                path.unlink(missing_ok=True)

    def _flush(self) -> None:
        if not self._parts:
            return
        name = self._name()
        arrays = {key: np.concatenate([part[key] for part in self._parts]) for key in self._parts[0]}
        digest = write_shard(self.folder / name, arrays)
        self.shards.append({"file": name, "rows": len(next(iter(arrays.values()))), "sha256": digest})
        if self._ledger:
            self._ledger.add(self.shards[-1])
        self._parts = []
        self._bytes = 0

    def _name(self) -> str:
        return f"shard-{len(self.shards):05d}.h5"


class _Shard(NamedTuple):
    """An open shard."""

    file: BinaryIO
    arrays: dict[str, StoredArray]


class ShardReader:
    """Reads rows at any place. It keeps a few files open, and no data in memory.

    HDF5 tells where an array starts; its rows are then read from the file directly, which takes a tenth of the time.
    """

    def __init__(self, folder: Path, format_name: str):
        """Open a complete folder.

        Raises:
            DataError: the manifest is missing, has another format, or is invalid.
        """
        self.folder = folder
        self.expected: Arrays | None = None  # The arrays that each shard must hold, if the caller sets them.
        self.manifest = read_json(folder / MANIFEST, f"the manifest of {format_name}")
        if self.manifest.get("format") != format_name:
            raise DataError(
                f"{folder} has format {self.manifest.get('format')!r}; expected {format_name!r}. Choose another "
                "folder."
            )
        check_rows(self.manifest, folder / MANIFEST)
        self.lengths = np.array(self.clip_values("length"), np.int64)
        self.first_rows = first_rows(self.manifest["clips"])
        self._ends = list(itertools.accumulate(s["rows"] for s in self.manifest["shards"]))
        self._open: OrderedDict[int, _Shard] = OrderedDict()
        self._verified: set[int] = set()  # Shards whose SHA-256 was checked.
        self._lock = threading.Lock()  # Another thread prefetches batches.

    def clip_values(self, key: str) -> list[Any]:
        """The value of ``key`` for every clip; None for clips without one."""
        return values(self.manifest["clips"], key)

    def rows(self, start: int, stop: int, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Read rows ``start`` to ``stop``.

        Args:
            start: first row.
            stop: row after the last one.
            names: names of the arrays to read; None for all.

        Raises:
            DataError: a shard is missing or damaged, or does not fit the manifest.
            TryAgainError: a shard cannot be read now.
        """
        pieces: list[dict[str, np.ndarray]] = []
        while start < stop:
            shard = bisect_right(self._ends, start)
            first = self._ends[shard - 1] if shard else 0
            end = min(stop, self._ends[shard])
            with self._lock:
                pieces.append(self._read(shard, start - first, end - first, names))
            start = end
        if len(pieces) == 1:
            return pieces[0]
        return {key: np.concatenate([p[key] for p in pieces]) for key in pieces[0]}

    def fingerprint(self) -> str:
        """SHA-256 of the clips, what is held out, and the shards' hashes. Equal content has equal fingerprints."""
        content = {key: self.manifest[key] for key in ("clips", "shards", "hold_out") if key in self.manifest}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _read(self, shard: int, start: int, stop: int, names: Collection[str] | None) -> dict[str, np.ndarray]:
        path = self.folder / self.manifest["shards"][shard]["file"]
        try:
            file, arrays = self._opened(shard, path)
            rows = {}
            for key in arrays if names is None else names:
                offset, shape, dtype = arrays[key]
                rows[key] = np.empty((stop - start, *shape[1:]), dtype)
                file.seek(offset + start * dtype.itemsize * math.prod(shape[1:]))
                if file.readinto(rows[key].reshape(-1).view(np.uint8)) != rows[key].nbytes:  # type: ignore[attr-defined]
                    raise OSError("its end is missing")
            return rows
        except (OSError, ValueError) as cause:
            raise unreadable(path, cause) from cause

    def _opened(self, shard: int, path: Path) -> _Shard:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        rows = self.manifest["shards"][shard]["rows"]
        if shard not in self._verified and digest_of(path) != self.manifest["shards"][shard]["sha256"]:
            raise unreadable(path, "it is missing or damaged: its SHA-256 is not that of the file that was written")
        self._verified.add(shard)
        arrays = {key: array for key, array in stored_arrays(path).items() if key != ABOUT}
        for key, array in arrays.items():
            if array.shape[0] != rows:
                raise unreadable(path, f"{key!r} has {array.shape[0]} rows; expected {rows}")
        if not arrays:
            raise unreadable(path, "it holds no rows")
        if self.expected is not None:
            check_fit({key: (array.shape[1:], array.dtype) for key, array in arrays.items()}, self.expected, path)
        self._open[shard] = _Shard(open_regular(path), arrays)
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)[1].file.close()
        return self._open[shard]


def folder_format(folder: Path) -> str | None:
    """The format that the manifest in a folder names; None if there is no readable manifest."""
    try:
        return read_json(folder / MANIFEST, "a manifest").get("format")
    except DataError:
        return None
