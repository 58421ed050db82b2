"""Rows of named arrays in many HDF5 files and one manifest: what clips and latents have in common.

A folder holds ``manifest.json`` and shards, ``shard-….h5``. Rows (one a frame) are numbered through all shards;
clips are runs of rows, so a long clip may span shards, clips may share rows, and rows may belong to none. A shard is
built in memory and written whole; the manifest comes last.
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
from latentseq.storage.hdf5 import Stored, stored_arrays, unreadable
from latentseq.storage.ledger import Ledger, digest_of
from latentseq.storage.manifest import MANIFEST, Arrays, check_fit, check_rows
from latentseq.storage.reading import JSON_BYTES, open_regular, parse_json

UNFINISHED = "unfinished.json"
"""What a folder has from its first shard to its manifest, where the work can go on."""
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
    about = stored_arrays(path).get(ABOUT)
    if about is None or about.dtype != np.uint8 or len(about.shape) != 1 or about.shape[0] > JSON_BYTES:
        raise unreadable(path, f"it says nothing of itself under {ABOUT!r}")
    try:
        with path.open("rb") as file:
            file.seek(about.offset)
            value = parse_json(file.read(about.shape[0]))
    except (OSError, ValueError) as cause:
        raise unreadable(path, cause) from cause
    if not isinstance(value, dict):
        raise unreadable(path, "what it says of itself is no object")
    return value


class ShardWriter:
    """Appends rows, clip by clip; memory stays at about one shard."""

    def __init__(self, folder: Path, of: Mapping[str, Any] | None = None):
        """Start.

        Args:
            folder: an empty folder, a new one, or one in which the same work was interrupted.
            of: what the rows are made of, as JSON; part of the manifest. Where it is given, shards that are there
                already and whole can be skipped.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._of = folder, dict(of or {})
        self.shards: list[dict[str, Any]] = []
        self.clips: list[dict[str, Any]] = []
        self._ledger = None if of is None else Ledger(folder / UNFINISHED, of)
        self._left = 0
        self._row = 0
        self._parts: list[dict[str, np.ndarray]] = []
        self._bytes = 0

    def add(self, rows: Mapping[str, np.ndarray]) -> None:
        """Append rows: arrays by name, (t, ...) each, the same names, item shapes and dtypes every time."""
        self._parts.append(dict(rows))
        self._bytes += sum(a.nbytes for a in rows.values())
        if self._bytes >= SHARD_BYTES:
            self._flush()

    def skip(self, rows: int) -> bool:
        """Whether the next rows, which would be added together, are in a shard that is there already.

        Raises:
            DataError: they are not where the shard says.
        """
        known = self._ledger.intact(self._name()) if self._ledger and not self._left and not self._parts else None
        if known:
            self.shards.append(known)
            self._left = known["rows"]
        if not self._left:
            return False
        self._left -= rows
        if self._left < 0:
            raise DataError(f"{self.folder} was begun by another version of latentseq. Remove it, and begin anew.")
        return True

    def end_clip(self, length: int, **about: Any) -> None:
        """Say that the next ``length`` rows after the last clip are one clip, and what is known of it."""
        self.clips.append({"row": self._row, "length": length, **about})
        self._row += length

    def close(self, **about: Any) -> None:
        """Write the last shard, then the manifest with ``about`` in it; what else there was of the work goes."""
        self._flush()
        write_sealed(self.folder / MANIFEST, {**self._of, **about, "clips": pack(self.clips), "shards": self.shards})
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
        self._parts, self._bytes = [], 0

    def _name(self) -> str:
        return f"shard-{len(self.shards):05d}.h5"


class _Shard(NamedTuple):
    """An open shard."""

    file: BinaryIO
    arrays: dict[str, Stored]


class ShardReader:
    """Reads rows anywhere; holds a few files open and no data.

    HDF5 says where an array lies; its rows are then read from the file itself, which takes a tenth of the time.
    """

    def __init__(self, folder: Path, format_name: str):
        """Open a folder that was written whole.

        Raises:
            DataError: no manifest, of another format, or one that cannot be true.
        """
        self.folder = folder
        self.expected: Arrays | None = None  # What every shard has to hold, where somebody knows.
        self.manifest = read_json(folder / MANIFEST, f"the manifest of {format_name}")
        if self.manifest.get("format") != format_name:
            raise DataError(
                f"{folder} holds {self.manifest.get('format')!r}; expected {format_name!r}. Choose another folder."
            )
        check_rows(self.manifest, folder / MANIFEST)
        self.lengths = np.array(self.clip_values("length"), np.int64)
        self.first_rows = first_rows(self.manifest["clips"])
        self._ends = list(itertools.accumulate(s["rows"] for s in self.manifest["shards"]))
        self._open: OrderedDict[int, _Shard] = OrderedDict()
        self._whole: set[int] = set()  # Those that were compared with what was written.
        self._lock = threading.Lock()  # Batches are read ahead in a thread of their own.

    def clip_values(self, key: str) -> list[Any]:
        """What the manifest says of every clip under ``key``; None where it says nothing."""
        return values(self.manifest["clips"], key)

    def rows(self, start: int, stop: int, names: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Rows ``start`` to ``stop`` of the arrays of these names; of all arrays where None.

        Raises:
            DataError: a shard is missing or damaged, or does not fit the manifest.
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
        """SHA-256 over clips and shard hashes: two folders with the same content have the same."""
        content = {key: self.manifest[key] for key in ("clips", "shards")}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _read(self, shard: int, start: int, stop: int, names: Collection[str] | None) -> dict[str, np.ndarray]:
        path = self.folder / self.manifest["shards"][shard]["file"]
        try:
            file, arrays = self._opened(shard, path)
            found = {}
            for key in arrays if names is None else names:
                offset, shape, dtype = arrays[key]
                found[key] = np.empty((stop - start, *shape[1:]), dtype)
                file.seek(offset + start * dtype.itemsize * math.prod(shape[1:]))
                if file.readinto(found[key].reshape(-1).view(np.uint8)) != found[key].nbytes:  # type: ignore[attr-defined]
                    raise OSError("its end is missing")
            return found
        except (OSError, ValueError) as cause:
            raise unreadable(path, cause) from cause

    def _opened(self, shard: int, path: Path) -> _Shard:
        if shard in self._open:
            self._open.move_to_end(shard)
            return self._open[shard]
        rows = self.manifest["shards"][shard]["rows"]
        if shard not in self._whole and digest_of(path) != self.manifest["shards"][shard]["sha256"]:
            raise unreadable(path, "it is missing or damaged: its SHA-256 is another than when it was written")
        self._whole.add(shard)
        arrays = {key: array for key, array in stored_arrays(path).items() if key != ABOUT}
        for key, array in arrays.items():
            if array.shape[0] != rows:
                raise unreadable(path, f'"{key!r} in it is not {rows} rows in one piece"')
        if not arrays:
            raise unreadable(path, "it holds no rows")
        if self.expected is not None:
            check_fit({key: (array.shape[1:], array.dtype) for key, array in arrays.items()}, self.expected, path)
        self._open[shard] = _Shard(open_regular(path), arrays)
        if len(self._open) > OPEN_SHARDS:
            self._open.popitem(last=False)[1].file.close()
        return self._open[shard]


def folder_format(folder: Path) -> str | None:
    """What format the manifest in a folder names; None where there is no manifest of ours."""
    try:
        return read_json(folder / MANIFEST, "a manifest").get("format")
    except DataError:
        return None
