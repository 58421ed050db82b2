"""Folders that are there whole or not at all, and runs that can be gone on with; one process at a time."""

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from latentseq.errors import NOT_NOW, TryAgainError, UsageError
from latentseq.storage.atomic import read_json, rename, sweep, try_again, write_json
from latentseq.storage.inside import check_inside

RUN = "run.json"
"""What a run was asked for: it marks a run folder from its first moment, as artifact.json does a finished one."""
HISTORY = "history.csv"
"""What a run has once an epoch of training is over."""
CHECKPOINTS = "checkpoints"
"""What a run has from its first minute of training to its end."""
CACHE = "cache"
"""What a run decodes or encodes for itself."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
_HALTED = (KeyboardInterrupt, SystemExit, MemoryError, OSError, TryAgainError)
"""What ends a command that would have gone on."""


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an output for this process alone; the lock of a process that is gone does not count.

    Args:
        path: a file or folder that is to be written.

    Raises:
        TryAgainError: another process is writing it, or no lock can be made there.
    """
    lock = _beside(path, "lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = _locked(lock)
    except BlockingIOError as cause:
        raise TryAgainError(
            f"{path} is being written by another process ({_holder(lock)}). Wait until that is done, or choose "
            "another name."
        ) from cause
    except OSError as cause:
        raise try_again(str(path), cause) from cause
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)  # Before it is let go of: whoever waits looks again.
        os.close(file)


@contextlib.contextmanager
def output_folder(path: Path, marker: str, *, overwrite: bool = False, goes_on: bool = False) -> Iterator[Path]:
    """A folder to write into, which appears at ``path`` only when the block ends without an error.

    Args:
        path: where the result shall be.
        marker: the file that says that a folder is one of ours; nothing else is ever overwritten.
        overwrite: replace an earlier result.
        goes_on: the block can go on from what an interrupted one has left, and tells by itself whether that fits.

    Yields:
        A hidden sibling to write into. It is removed when the block fails, but kept where it was only interrupted
        and can go on.

    Raises:
        UsageError: ``path`` exists.
        TryAgainError: it cannot be written now.
    """
    part = _beside(path, "part")
    with exclusive(path):
        try:
            _recover(path, finished=True)
            check_free(path, marker, overwrite=overwrite)
            if not goes_on:
                _remove(part)
            part.mkdir(exist_ok=True)
            sweep(part)
            yield part
            _set_aside(path)
            rename(part, path)
            _remove(_beside(path, "old"))
        except BaseException as cause:
            written = _size(part)
            with contextlib.suppress(OSError):  # The error that brought us here is the one worth telling.
                _recover(path, finished=False)
                if not (goes_on and isinstance(cause, _HALTED) and any(part.iterdir())):
                    _remove(part)
            _tell(path, cause, written)
            raise


@contextlib.contextmanager
def run_folder(
    path: Path,
    asked: Mapping[str, Any],
    *,
    last: str,
    may_change: Collection[str] = (),
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[Path]:
    """A folder that can be looked into while it is being filled, as a training run is.

    Args:
        path: the folder.
        asked: what the run is asked for, as JSON: its ``run.json``.
        last: the file that is written last of all, and so says that a run is finished.
        may_change: what may be asked for otherwise when the run goes on.
        overwrite: replace an earlier result, which is set aside until the new one is finished.
        resume: go on with an unfinished run, if there is one.

    Yields:
        ``path``, with nothing but its ``run.json``, or as the unfinished run left it. When the block fails, a run
        that has begun to learn stays and can be gone on with; one that has not gives way to what was there before.

    Raises:
        UsageError: ``path`` exists, or is a run of other options.
        TryAgainError: it cannot be written now, or another process is writing it.
    """
    with exclusive(path):
        try:
            _recover(path, finished=(path / last).exists())
            if resume and (path / RUN).is_file():
                check_same(path, asked, may_change)
                sweep(path)
                write_json(path / RUN, asked)
            else:
                _begin(path, asked, last, overwrite)
        except OSError as cause:
            with contextlib.suppress(OSError):
                _recover(path, finished=False)
            raise try_again(str(path), cause) from cause
        try:
            yield path
        except BaseException as cause:
            written = _size(path)
            if not _is_kept(path, cause):
                with contextlib.suppress(OSError):
                    _remove(path)
                    _recover(path, finished=False)
            _tell(path, cause, written)
            raise
        _remove(_beside(path, "old"))


def settle(path: Path) -> None:
    """Remove what a process left beside a finished result that was killed at its very end.

    Raises:
        TryAgainError: another process is writing it.
    """
    with exclusive(path):
        _recover(path, finished=True)


def check_same(path: Path, asked: Mapping[str, Any], may_change: Collection[str] = ()) -> None:
    """Refuse to go on with a run that was asked for something else.

    Raises:
        UsageError: it was.
        DataError: what it was asked for cannot be read, or a link in the folder leads somewhere else.
    """
    check_inside(path)
    before = read_json(path / RUN, "what a run was asked for")
    for key in sorted({*before, *asked} - set(may_change)):
        if before.get(key) != asked.get(key):
            name, was, now = _difference(key, before.get(key), asked.get(key))
            raise UsageError(
                f"{path} is a run of other options: {name} was {was!r}, and is {now!r} now. "
                "Repeat the command as it was, choose another folder, or replace the run with --overwrite."
            )


def _difference(name: str, was: Any, now: Any) -> tuple[str, Any, Any]:
    """Two values that differ; of two mappings the first item that does, by a dotted name."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            if was.get(key) != now.get(key):
                return _difference(f"{name}.{key}", was.get(key), now.get(key))
    return name, was, now


def check_free(path: Path, marker: str | None, *, overwrite: bool = False, last: str | None = None) -> None:
    """Refuse to write over what exists.

    Args:
        path: a file, or a folder, to be written.
        marker: for a folder, the file that says that it is one of ours; None for a file.
        overwrite: an earlier result may be replaced.
        last: the file that a finished run has, where an unfinished one can be gone on with.

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
    ours = (path / marker).is_file() if marker else path.is_file()
    if not overwrite:
        if ours and last and not (path / last).exists():
            raise UsageError(
                f"{path} holds a run that is not finished. Go on with it by the same command and --resume, choose "
                "another name, or replace it with --overwrite."
            )
        raise UsageError(f"{path} exists already. Choose another name, or replace it with --overwrite.")
    if not ours:
        raise UsageError(
            f"{path} exists and was not made by this command (it holds no {marker}), so it is not replaced. "
            "Choose another name, or remove it yourself."
            if marker
            else f"{path} is a folder; expected a file or a free name. Choose another name."
        )


def _begin(path: Path, asked: Mapping[str, Any], last: str, overwrite: bool) -> None:
    """Put a new run in the place of what was there, which is set aside."""
    check_free(path, RUN, overwrite=overwrite, last=last)
    new = _beside(path, "new")
    new.mkdir()
    write_json(new / RUN, asked)
    _set_aside(path)
    rename(new, path)


def _is_kept(path: Path, cause: BaseException) -> bool:
    """Whether a run that has failed has something worth going on with."""
    halted = isinstance(cause, _HALTED) and (path / CACHE).exists()
    return halted or (path / CHECKPOINTS).exists() or (path / HISTORY).exists()


def _set_aside(path: Path) -> None:
    """Make room; of two earlier results the older one is kept, since only that was finished."""
    if not path.exists():
        return
    if _beside(path, "old").exists() or not any(path.iterdir()):
        _remove(path)
    else:
        rename(path, _beside(path, "old"))


def _recover(path: Path, *, finished: bool) -> None:
    """Bring order to what a process left that was killed: there is a result at ``path`` if there ever was one."""
    for name in ("new", "gone"):
        shutil.rmtree(_beside(path, name), ignore_errors=True)
    old = _beside(path, "old")
    if old.exists() and not path.exists():
        rename(old, path)
    elif old.exists() and finished:
        _remove(old)


def _remove(path: Path) -> None:
    """Remove a folder in such a way that no half of it is ever seen."""
    if path.exists():
        gone = _beside(path, "gone")
        shutil.rmtree(gone, ignore_errors=True)
        path.replace(gone)  # Not flushed, as a full disk may not let it be.
        shutil.rmtree(gone, ignore_errors=True)


def _beside(path: Path, what: str) -> Path:
    return path.with_name(f".{path.name.removeprefix('.')}.{what}")


def _size(folder: Path) -> int:
    """Bytes of the files in a folder, as far as they can be counted."""
    size = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            size += path.lstat().st_size
    return size


def _tell(path: Path, cause: BaseException, written: int) -> None:
    """Put an error of the machine's into words; how much was written says how much room is needed at least."""
    if isinstance(cause, OSError) and cause.errno in NOT_NOW:
        raise try_again(f"{path} ({written} bytes so far)", cause) from cause


def _locked(lock: Path) -> int:
    """An open file that this process holds the lock of.

    Raises:
        BlockingIOError: another one holds it.
    """
    while True:
        file = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as cause:
            if cause.errno not in _NO_LOCKS:
                os.close(file)
                raise
        try:
            same = os.fstat(file).st_ino == lock.stat().st_ino
        except FileNotFoundError:  # Its last holder has removed it meanwhile.
            same = False
        if same:
            with contextlib.suppress(OSError):  # It is only told to others, and a full disk has no room for it.
                os.truncate(file, 0)
                os.write(file, str(os.getpid()).encode())
            return file
        os.close(file)


def _holder(lock: Path) -> str:
    """Who holds a lock, in words."""
    try:
        return f"number {int(lock.read_text())}"
    except (OSError, ValueError):
        return "just begun"
