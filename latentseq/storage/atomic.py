"""Atomic writes: a file is complete, or it does not exist."""

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

from latentseq.errors import MACHINE_ERRORS, TryAgainError
from latentseq.storage.reading import SEAL, read_object, seal

_UNSYNCED = {errno.EINVAL, errno.ENOTSUP, errno.EBADF}
"""Numbers of errors of filesystems that cannot flush a folder."""
_TEMPORARY = re.compile(r"\.[0-9a-f]{16}\.latentseq\.tmp")
"""The name of a temporary file. It is random, and no other program uses such names."""


def write_bytes(path: Path, data: bytes | memoryview, *, temporary: Path | None = None) -> str:
    """Write a file under a temporary name, flush it to disk, rename it, and flush the folder.

    Args:
        path: the file; an earlier one is replaced.
        data: its content.
        temporary: path of the temporary file, which must not exist; None for a random name beside ``path``.

    Returns:
        The SHA-256 of the data, in hexadecimal.

    Raises:
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    temporary = temporary or path.with_name(f".{secrets.token_hex(8)}.latentseq.tmp")
    created = False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # O_EXCL never follows a link of that name, and never writes to a file that exists.
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        created = True
        with os.fdopen(descriptor, "wb") as file:
            with contextlib.suppress(OSError):  # The lock tells ``sweep`` that the file has a writer.
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
            rename(temporary, path)
    except BaseException as cause:
        if created:
            _discard(temporary)
        if not isinstance(cause, OSError) or cause.errno not in MACHINE_ERRORS:
            raise
        raise try_again(f"{path} ({len(data)} bytes)", cause) from cause
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, value: Any) -> str:
    """Write JSON, sorted and indented, and return its SHA-256."""
    return write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def write_sealed(path: Path, value: Mapping[str, Any]) -> str:
    """Write a JSON object that contains its own SHA-256, and return the SHA-256 of the file."""
    return write_json(path, {**value, SEAL: seal(value)})


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: description of the file, for the message.

    Raises:
        DataError: the file is missing, too large, or no JSON object.
        TryAgainError: the file cannot be read now.
    """
    return read_object(path, what)


def rename(source: Path, target: Path) -> None:
    """Rename a file or folder, and flush the folder so that the new name survives a power failure.

    Raises:
        OSError: the rename fails.
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
    """Remove the temporary files of killed processes from a folder and the folders below it.

    Files with other names, links, and files that a running process has locked stay.
    """
    for path in folder.rglob(".*.latentseq.tmp"):
        if _TEMPORARY.fullmatch(path.name) and _is_abandoned(path):
            path.unlink(missing_ok=True)


def _is_abandoned(path: Path) -> bool:
    """Whether a path is a regular file that no process has locked."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # The disk has no locks; the caller holds the folder exclusively.
        pass
    finally:
        regular = stat.S_ISREG(os.fstat(file).st_mode)
        os.close(file)
    return regular


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):  # The first error is the one to report.
        path.unlink(missing_ok=True)


def try_again(what: str, cause: OSError) -> TryAgainError:
    """The error to raise if a file could not be written."""
    return TryAgainError(
        f"{what} could not be written: {cause.strerror}. Earlier files are unchanged. Make room or choose another "
        "folder, then run the same command again."
    )
