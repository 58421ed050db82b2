"""Folders that are there whole or not at all, and runs that can be gone on with; one process at a time.

In the workspace of an output (``storage.workspace``), ``part`` is a folder that is being written, ``new`` a run that
is about to begin, ``old`` an earlier result that was set aside, and ``gone`` what is being removed.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from latentseq.errors import NOT_NOW, TryAgainError, UsageError
from latentseq.storage.atomic import read_json, rename, sweep, try_again, write_json
from latentseq.storage.inside import check_inside
from latentseq.storage.workspace import FILE, delete, exclusive

RUN = "run.json"
"""What a run was asked for: it marks a run folder from its first moment, as artifact.json does a finished one."""
HISTORY = "history.csv"
"""What a run has once an epoch of training is over."""
CHECKPOINTS = "checkpoints"
"""What a run has from its first minute of training to its end."""
CACHE = "cache"
"""What a run decodes or encodes for itself."""
_HALTED = (KeyboardInterrupt, SystemExit, MemoryError, OSError, TryAgainError)
"""What ends a command that would have gone on."""


@contextlib.contextmanager
def output_folder(path: Path, marker: str, *, overwrite: bool = False, goes_on: bool = False) -> Iterator[Path]:
    """A folder to write into, which appears at ``path`` only when the block ends without an error.

    Args:
        path: where the result shall be.
        marker: the file that says that a folder is one of ours; nothing else is ever overwritten.
        overwrite: replace an earlier result.
        goes_on: the block can go on from what an interrupted one has left, and tells by itself whether that fits.

    Yields:
        A folder in the workspace to write into. It is removed when the block fails, but kept where it was only
        interrupted and can go on.

    Raises:
        UsageError: ``path`` exists.
        TryAgainError: it cannot be written now.
    """
    with exclusive(path) as work:
        part = work / "part"
        try:
            _recover(path, work, finished=True)
            check_free(path, marker, overwrite=overwrite)
            if not goes_on:
                delete(part)
            part.mkdir(exist_ok=True)
            sweep(part)
            yield part
            _set_aside(path, work)
            rename(part, path)
            _remove(work / "old", work)
        except BaseException as cause:
            written = _size(part)
            with contextlib.suppress(OSError):  # The error that brought us here is the one worth telling.
                _recover(path, work, finished=False)
                if not (goes_on and isinstance(cause, _HALTED) and any(part.iterdir())):
                    delete(part)
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
    with exclusive(path) as work:
        try:
            _recover(path, work, finished=(path / last).exists())
            if resume and (path / RUN).is_file():
                check_same(path, asked, may_change)
                sweep(path)
                write_json(path / RUN, asked)
            else:
                _begin(path, work, asked, last, overwrite)
        except OSError as cause:
            with contextlib.suppress(OSError):
                _recover(path, work, finished=False)
            raise try_again(str(path), cause) from cause
        try:
            yield path
        except BaseException as cause:
            written = _size(path)
            if not _is_kept(path, cause):
                with contextlib.suppress(OSError):
                    _remove(path, work)
                    _recover(path, work, finished=False)
            _tell(path, cause, written)
            raise
        _remove(work / "old", work)


def settle(path: Path) -> None:
    """Remove what a process left beside a finished result that was killed at its very end.

    Raises:
        TryAgainError: another process is writing it.
    """
    with exclusive(path) as work:
        _recover(path, work, finished=True)


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


def _begin(path: Path, work: Path, asked: Mapping[str, Any], last: str, overwrite: bool) -> None:
    """Put a new run in the place of what was there, which is set aside."""
    check_free(path, RUN, overwrite=overwrite, last=last)
    new = work / "new"
    new.mkdir()
    write_json(new / RUN, asked)
    _set_aside(path, work)
    rename(new, path)


def _is_kept(path: Path, cause: BaseException) -> bool:
    """Whether a run that has failed has something worth going on with."""
    halted = isinstance(cause, _HALTED) and (path / CACHE).exists()
    return halted or (path / CHECKPOINTS).exists() or (path / HISTORY).exists()


def _set_aside(path: Path, work: Path) -> None:
    """Make room; of two earlier results the older one is kept, since only that was finished."""
    if not path.exists():
        return
    if (work / "old").exists() or not any(path.iterdir()):
        _remove(path, work)
    else:
        rename(path, work / "old")


def _recover(path: Path, work: Path, *, finished: bool) -> None:
    """Bring order to what a process left that was killed: there is a result at ``path`` if there ever was one."""
    for name in ("new", "gone", FILE):
        delete(work / name)
    old = work / "old"
    there = old.exists() or old.is_symlink()  # A relative link leads nowhere from here, but does again in its place.
    if there and not path.exists():
        rename(old, path)
    elif there and finished:
        _remove(old, work)


def _remove(path: Path, work: Path) -> None:
    """Remove a folder in such a way that no half of it is ever seen."""
    if path.exists() or path.is_symlink():
        delete(work / "gone")
        path.replace(work / "gone")  # Not flushed, as a full disk may not let it be.
        delete(work / "gone")


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
