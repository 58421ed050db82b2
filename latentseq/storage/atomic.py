"""Files that are there whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentseq.errors import NOT_NOW, TryAgainError
from latentseq.storage.reading import SEAL, read_object, seal

_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""What filesystems say that have no flush of folders."""


def write_bytes(path: Path, data: bytes | memoryview) -> str:
    """Write a file under a temporary name beside its place, flush it to disk, then rename it, and flush the folder.

    Returns:
        The SHA-256 of the data, in hexadecimal.

    Raises:
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        rename(temporary, path)
    except BaseException as cause:
        _discard(temporary)
        if not isinstance(cause, OSError) or cause.errno not in NOT_NOW:
            raise
        raise try_again(f"{path} ({len(data)} bytes)", cause) from cause
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, value: Any) -> str:
    """Write JSON, sorted and indented; returns its SHA-256."""
    return write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def write_sealed(path: Path, value: Mapping[str, Any]) -> str:
    """Write a JSON object with a SHA-256 of its own in it; returns that of the file."""
    return write_json(path, {**value, SEAL: seal(value)})


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: what it is, for an error.

    Raises:
        DataError: missing, too large, or not a JSON object.
    """
    return read_object(path, what)


def rename(source: Path, target: Path) -> None:
    """Rename, in a way that a power cut does not undo.

    Raises:
        OSError: it cannot be done.
    """
    source.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    except OSError as cause:
        if cause.errno not in _UNSYNCED:
            raise
    finally:
        os.close(folder)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed processes left in a folder and below it."""
    for path in folder.rglob(".*.tmp"):
        path.unlink(missing_ok=True)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):  # The error that brought us here is the one worth telling.
        path.unlink(missing_ok=True)


def try_again(what: str, cause: OSError) -> TryAgainError:
    """What to tell where a file could not be written."""
    return TryAgainError(
        f"{what} could not be written: {cause.strerror}. What was there before is untouched; make room or choose "
        "another folder, then run the same command again."
    )
