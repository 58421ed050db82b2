"""Files that are there whole or not at all."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from latentseq.errors import DataError, TryAgainError, UsageError

RUN = "run.json"
"""What a run was asked for: it marks a run folder from its first moment, as artifact.json does a finished one."""
HISTORY = "history.csv"
"""What a run has once an epoch of training is over."""
_NOT_NOW = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


def write_bytes(path: Path, data: bytes | memoryview) -> str:
    """Write a file under a temporary name beside its place, flush it to disk, then rename it.

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
        temporary.replace(path)
    except BaseException as cause:
        _discard(temporary)
        if not isinstance(cause, OSError) or cause.errno not in _NOT_NOW:
            raise
        raise _try_again(f"{path} ({len(data)} bytes)", cause) from cause
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, value: Any) -> str:
    """Write JSON, sorted and indented; returns its SHA-256."""
    return write_bytes(path, (json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n").encode())


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: what it is, for an error.

    Raises:
        DataError: missing, or not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else "it is not JSON"
        raise DataError(f"{path} cannot be read as {what}: {reason}.") from cause
    if not isinstance(value, dict):
        raise DataError(f"{path} cannot be read as {what}: it holds a {type(value).__name__}, expected an object.")
    return value


@contextlib.contextmanager
def output_folder(path: Path, marker: str, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to write into, which appears at ``path`` only when the block ends without an error.

    Args:
        path: where the result shall be.
        marker: the file that says that a folder is one of ours; nothing else is ever overwritten.
        overwrite: replace an earlier result.

    Yields:
        A temporary sibling to write into. It is removed when the block fails.

    Raises:
        UsageError: ``path`` exists.
    """
    check_free(path, marker, overwrite=overwrite)
    work = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        yield work
        _swap_in(work, path)
    except OSError as cause:
        if cause.errno not in _NOT_NOW:
            raise
        raise _try_again(str(path), cause) from cause
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def run_folder(path: Path, marker: str, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder that can be looked into while it is being filled, as a training run is.

    Args:
        path: the folder.
        marker: the file that says that a folder is one of ours.
        overwrite: replace an earlier result.

    Yields:
        ``path``, empty. When the block fails, an earlier result is put back; where there was none, a run that has
        a history.csv stays to be looked at, and one that has not is removed.

    Raises:
        UsageError: ``path`` exists.
        TryAgainError: it cannot be made.
    """
    check_free(path, marker, overwrite=overwrite)
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    try:
        if path.exists():
            path.replace(old)
        path.mkdir(parents=True)
    except OSError as cause:
        if old.exists():
            old.replace(path)
        raise TryAgainError(f"{path} cannot be made: {cause.strerror}. Choose another folder.") from cause
    try:
        yield path
    except BaseException as cause:
        if old.exists() or not (path / HISTORY).exists():
            shutil.rmtree(path, ignore_errors=True)
        if old.exists():
            old.replace(path)
        if isinstance(cause, OSError) and cause.errno in _NOT_NOW:
            raise _try_again(str(path), cause) from cause
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_free(path: Path, marker: str | None, *, overwrite: bool = False) -> None:
    """Refuse to write over what exists.

    Args:
        path: a file, or a folder, to be written.
        marker: for a folder, the file that says that it is one of ours; None for a file.
        overwrite: an earlier result may be replaced.

    Raises:
        UsageError: it exists, and is not to be overwritten.
    """
    if not path.name:
        raise UsageError(f"{path} is the current folder, which cannot be replaced. Name a folder to make.")
    above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir():
        raise UsageError(f"{path} cannot be written: {above} is a file, not a folder. Choose another name.")
    if not path.exists() or (marker and path.is_dir() and not any(path.iterdir())):
        return
    if not overwrite:
        raise UsageError(f"{path} exists already. Choose another name, or replace it with --overwrite.")
    ours = (path / marker).is_file() if marker else path.is_file()
    if not ours:
        raise UsageError(
            f"{path} exists and was not made by this command (it holds no {marker}), so it is not replaced. "
            "Choose another name, or remove it yourself."
            if marker
            else f"{path} is a folder; expected a file or a free name. Choose another name."
        )


def _swap_in(work: Path, path: Path) -> None:
    """Put ``work`` in the place of ``path``; an earlier result is set aside until the new one stands."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.replace(old)
    try:
        work.replace(path)
    except BaseException:
        if old.exists():
            old.replace(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):  # The error that brought us here is the one worth telling.
        path.unlink(missing_ok=True)


def _try_again(what: str, cause: OSError) -> TryAgainError:
    return TryAgainError(
        f"{what} could not be written: {cause.strerror}. What was there before is untouched; make room or choose "
        "another folder, then run the same command again."
    )
