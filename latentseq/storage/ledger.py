"""The list of complete shards in a folder: interrupted work continues, and damaged shards are written again."""

import hashlib
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from latentseq.errors import DataError
from latentseq.storage.atomic import read_json, write_json
from latentseq.storage.manifest import MANIFEST
from latentseq.storage.reading import is_digest, is_plain


class Ledger:
    """A JSON file that names every complete shard with its SHA-256.

    A shard counts only if it is listed, here or in the manifest of the folder, and its SHA-256 is still the same.
    """

    def __init__(self, path: Path, request: Mapping[str, Any], *, others: bool = False):
        """Read the file and the manifest, if they exist.

        Args:
            path: path of the file, in the folder of the shards.
            request: description of the work, as JSON.
            others: count shards of other work as well, because their names identify their content.
        """
        self.folder = path.parent
        self._path = path
        self._request = dict(request)
        self._lock = threading.Lock()
        self._shards: dict[str, dict[str, Any]] = {}
        for file in (path.with_name(MANIFEST), path):
            self._shards |= {shard["file"]: shard for shard in _shards(file, {} if others else request)}

    def begin(self) -> None:
        """Write the file, so that it describes the unfinished folder."""
        with self._lock:
            self._write()

    def intact(self, file: str) -> dict[str, Any] | None:
        """The entry of a shard; None if the shard is not listed or was changed."""
        shard = self._shards.get(file)
        return shard if shard and digest_of(self.folder / file) == shard["sha256"] else None

    def add(self, shard: Mapping[str, Any]) -> None:
        """Add a shard that is on disk.

        Args:
            shard: its ``file``, its ``sha256``, and any other values.

        Raises:
            TryAgainError: the disk is full.
        """
        with self._lock:
            self._shards[shard["file"]] = dict(shard)
            self._write()

    def _write(self) -> None:
        shards = [self._shards[file] for file in sorted(self._shards)]
        write_json(self._path, {**self._request, "shards": shards})


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file, in hexadecimal; None if the file does not exist."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _shards(path: Path, request: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The shards that a JSON file lists, if it describes the same work."""
    try:
        content = read_json(path, "a list of shards")
    except DataError:  # Without a readable list all shards are written again.
        return []
    shards = content.get("shards")
    if any(content.get(key) != value for key, value in request.items()) or not isinstance(shards, list):
        return []
    return [s for s in shards if isinstance(s, dict) and is_plain(s.get("file")) and is_digest(s.get("sha256"))]
