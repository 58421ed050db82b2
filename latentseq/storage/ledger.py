"""Which shards of a folder are whole: what lets interrupted work go on, and a damaged shard be made again."""

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
    """A JSON file that names every shard that was written so far, with its SHA-256.

    Nothing that it does not name, or that is another file now, is taken for whole. The manifest of a folder that is
    finished counts as well.
    """

    def __init__(self, path: Path, asked: Mapping[str, Any], *, others: bool = False):
        """Read what is there.

        Args:
            path: of the file, in the folder of the shards.
            asked: what the work is, as JSON.
            others: shards of other work count as well, since their names say all that their content depends on.
        """
        self.folder = path.parent
        self._path, self._asked, self._lock = path, dict(asked), threading.Lock()
        self._shards: dict[str, dict[str, Any]] = {}
        for file in (path.with_name(MANIFEST), path):
            self._shards |= {shard["file"]: shard for shard in _shards(file, {} if others else asked)}

    def begin(self) -> None:
        """Say what the folder is going to be."""
        with self._lock:
            self._write()

    def intact(self, file: str) -> dict[str, Any] | None:
        """What is known of a shard; None where it was not written, or is not as it was written."""
        shard = self._shards.get(file)
        return shard if shard and digest_of(self.folder / file) == shard["sha256"] else None

    def add(self, shard: Mapping[str, Any]) -> None:
        """Note a shard that stands on disk: its ``file``, its ``sha256``, and what else is known.

        Raises:
            TryAgainError: the disk is full.
        """
        with self._lock:
            self._shards[shard["file"]] = dict(shard)
            self._write()

    def _write(self) -> None:
        shards = [self._shards[file] for file in sorted(self._shards)]
        write_json(self._path, {**self._asked, "shards": shards})


def digest_of(path: Path) -> str | None:
    """SHA-256 of a file, in hexadecimal; None where it is missing."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def _shards(path: Path, asked: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """The shards that a JSON file names, if it is of this work."""
    try:
        known = read_json(path, "a list of shards")
    except DataError:  # It is missing, or damaged: then everything is made anew.
        return []
    shards = known.get("shards")
    if any(known.get(key) != value for key, value in asked.items()) or not isinstance(shards, list):
        return []
    return [s for s in shards if isinstance(s, dict) and is_plain(s.get("file")) and is_digest(s.get("sha256"))]
