"""Files that are there whole or not at all."""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentseq.errors import NOT_NOW, TryAgainError
from latentseq.storage.reading import SEAL, read_object, seal

_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""What filesystems say that have no flush of folders."""
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.latentseq\.tmp")
"""The name of a temporary file. Nobody can foresee it, and nobody else gives a file such a name."""


def write_bytes(path: Path, data: bytes | memoryview, *, temporary: Path | None = None) -> str:
    """Write a file under a temporary name, flush it to disk, then rename it, and flush the folder.

    Args:
        path: the file; an earlier one is replaced.
        data: its content.
        temporary: where it is written first; a random name beside ``path`` where None. Nothing may be there.

    Returns:
        The SHA-256 of the data, in hexadecimal.

    Raises:
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    temporary = temporary or path.with_name(f".{secrets.token_hex(8)}.latentseq.tmp")
    created = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # With O_EXCL a link of that name is never followed, and a file of somebody else is never written to.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        created = True
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(OSError):  # So that ``sweep`` sees a writer, where the disk has locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            rename(temporary, path)
    except BaseException as cause:
        if created:
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
    """Remove the temporary files that killed processes left in a folder and below it.

    What has another name is somebody else's, and so is a link; what a living process writes is locked. All of that
    stays.
    """
    for path in folder.rglob(".*.latentseq.tmp"):
        if _TEMPORARY.fullmatch(path.name) and _is_abandoned(path):
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether it is a file, and no process holds it."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # A disk without locks: the caller holds the folder for itself.
        pass
    finally:
        regular = stat.S_ISREG(os.fstat(file).st_mode)
        os.close(file)
    return regular


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):  # The error that brought us here is the one worth telling.
        path.unlink(missing_ok=True)


def try_again(what: str, cause: OSError) -> TryAgainError:
    """What to tell where a file could not be written."""
    return TryAgainError(
        f"{what} could not be written: {cause.strerror}. What was there before is untouched; make room or choose "
        "another folder, then run the same command again."
    )
