"""Output folders that appear only when they are complete, and run folders that can be resumed.

Only one process at a time writes an output. Its workspace (``storage.workspace``) may hold ``part``, the folder that
is being written; ``new``, a run that starts; ``old``, an earlier result that was set aside; and ``gone``, a folder
that is being removed.
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from latentseq.errors import MACHINE_ERRORS, TryAgainError, UsageError
from latentseq.storage.atomic import read_json, rename, sweep, try_again, write_json
from latentseq.storage.inside import check_inside
from latentseq.storage.workspace import FILE, delete, exclusive

RUN = "run.json"
"""The options of a run. The file marks a run folder from the start, as artifact.json marks a finished one."""
HISTORY = "history.csv"
"""The numbers of a run. The file exists after the first epoch of training."""
CHECKPOINTS = "checkpoints"
"""The checkpoints of a run. The folder exists from the first minute of training until the end."""
CACHE = "cache"
"""Frames or latents that a run decodes or encodes for itself."""
_INTERRUPTIONS = (KeyboardInterrupt, SystemExit, MemoryError, OSError, TryAgainError)
"""Exceptions that interrupt a command although nothing is wrong with it."""


@contextlib.contextmanager
def output_folder(path: Path, marker: str, *, overwrite: bool = False, resumable: bool = False) -> Iterator[Path]:
    """Provide a folder to write into, which appears at ``path`` only if the block ends without an error.

    Args:
        path: path of the result.
        marker: name of the file that marks an earlier result. Only a folder with this file is overwritten.
        overwrite: replace an earlier result.
        resumable: keep the folder of an interrupted block. The next block checks whether it can continue from it.

    Yields:
        A folder in the workspace. It is removed if the block fails, unless the block was interrupted and is
        ``resumable``.

    Raises:
        UsageError: ``path`` exists.
        TryAgainError: ``path`` cannot be written now.
    """
    with exclusive(path) as work:
        part = work / "part"
        try:
            _recover(path, work, finished=True)
            check_free(path, marker, overwrite=overwrite)
            if not resumable:
                delete(part)
            part.mkdir(exist_ok=True)
            sweep(part)
            yield part
            _set_aside(path, work)
            rename(part, path)
            _remove(work / "old", work)
        except BaseException as cause:
            written = _size(part)
            with contextlib.suppress(OSError):  # The first error is the one to report.
                _recover(path, work, finished=False)
                if not (resumable and isinstance(cause, _INTERRUPTIONS) and any(part.iterdir())):
                    delete(part)
            _raise_try_again(path, cause, written)
            raise


@contextlib.contextmanager
def run_folder(
    path: Path,
    options: Mapping[str, Any],
    *,
    last: str,
    may_change: Collection[str] = (),
    overwrite: bool = False,
    resume: bool = False,
) -> Iterator[Path]:
    """Provide a folder that is visible while it is being filled, such as that of a training run.

    Args:
        path: the folder.
        options: options of the run, as JSON; the content of its ``run.json``.
        last: name of the file that is written last. It marks a finished run.
        may_change: names of options that may differ when the run is resumed.
        overwrite: replace an earlier result. It is set aside until the new run is finished.
        resume: continue an unfinished run, if there is one.

    Yields:
        ``path``, with only a ``run.json``, or as the unfinished run left it. If the block fails after training has
        started, the run stays and can be resumed; otherwise the earlier result is restored.

    Raises:
        UsageError: ``path`` exists, or is a run with other options.
        TryAgainError: ``path`` cannot be written now, or another process is writing it.
    """
    with exclusive(path) as work:
        try:
            _recover(path, work, finished=(path / last).exists())
            if resume and (path / RUN).is_file():
                check_same(path, options, may_change)
                sweep(path)
                write_json(path / RUN, options)
            else:
                _begin(path, work, options, last, overwrite)
        except OSError as cause:
            with contextlib.suppress(OSError):
                _recover(path, work, finished=False)
            raise try_again(str(path), cause) from cause
        try:
            yield path
        except BaseException as cause:
            written = _size(path)
            if not _is_resumable(path, cause):
                with contextlib.suppress(OSError):
                    _remove(path, work)
                    _recover(path, work, finished=False)
            _raise_try_again(path, cause, written)
            raise
        _remove(work / "old", work)


def settle(path: Path) -> None:
    """Clean up next to a finished result whose process was killed at the very end.

    Raises:
        TryAgainError: another process is writing the result.
    """
    with exclusive(path) as work:
        _recover(path, work, finished=True)


def check_same(path: Path, options: Mapping[str, Any], may_change: Collection[str] = ()) -> None:
    """Refuse to resume a run that was started with other options.

    Args:
        path: folder of the run.
        options: options of the command now, as JSON.
        may_change: names of options that may differ.

    Raises:
        UsageError: an option differs.
        DataError: the options of the run cannot be read, or the folder contains a link.
    """
    check_inside(path)
    before = read_json(path / RUN, "the options of a run")
    for key in sorted({*before, *options} - set(may_change)):
        if before.get(key) != options.get(key):
            name, was, now = _difference(key, before.get(key), options.get(key))
            raise UsageError(
                f"{path} is a run with other options: {name} was {was!r}, and is {now!r} now. "
                "Repeat the original command, choose another folder, or replace the run with --overwrite."
            )


def _difference(name: str, was: Any, now: Any) -> tuple[str, Any, Any]:
    """Name and values of the first difference; inside mappings the name is dotted."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in sorted({*was, *now}):
            if was.get(key) != now.get(key):
                return _difference(f"{name}.{key}", was.get(key), now.get(key))
    return name, was, now


def check_free(path: Path, marker: str | None, *, overwrite: bool = False, last: str | None = None) -> None:
    """Refuse to overwrite a file or folder.

    Args:
        path: the file or folder to write.
        marker: for a folder, the name of the file that marks an earlier result; None for a file.
        overwrite: allow the replacement of an earlier result.
        last: for a run that can be resumed, the name of the file that marks a finished run.

    Raises:
        UsageError: ``path`` exists and must not be overwritten.
    """
    if not path.name:
        raise UsageError(f"{path} is the current folder, which cannot be replaced. Name a new folder.")
    above = next(p for p in path.absolute().parents if p.exists())
    if not above.is_dir():
        raise UsageError(f"{path} cannot be written: {above} is a file, not a folder. Choose another name.")
    if not path.exists() or (marker and path.is_dir() and not any(path.iterdir())):
        return
    ours = (path / marker).is_file() if marker else path.is_file()
    if not overwrite:
        if ours and last and not (path / last).exists():
            raise UsageError(
                f"{path} holds an unfinished run. Continue it with the same command and --resume, choose another "
                "name, or replace it with --overwrite."
            )
        raise UsageError(f"{path} exists already. Choose another name, or replace it with --overwrite.")
    if not ours:
        raise UsageError(
            f"{path} exists and was not written by this command (it holds no {marker}), so it is not replaced. "
            "Choose another name, or remove it yourself."
            if marker
            else f"{path} is a folder; expected a file or a free name. Choose another name."
        )


def _begin(path: Path, work: Path, options: Mapping[str, Any], last: str, overwrite: bool) -> None:
    """Start a new run at ``path``; an earlier result is set aside."""
    check_free(path, RUN, overwrite=overwrite, last=last)
    new = work / "new"
    new.mkdir()
    write_json(new / RUN, options)
    _set_aside(path, work)
    rename(new, path)


def _is_resumable(path: Path, cause: BaseException) -> bool:
    """Whether a failed run has work to continue from."""
    interrupted = isinstance(cause, _INTERRUPTIONS) and (path / CACHE).exists()
    return interrupted or (path / CHECKPOINTS).exists() or (path / HISTORY).exists()


def _set_aside(path: Path, work: Path) -> None:
    """Set an earlier result aside. Of two earlier results the older one stays, because only that was finished."""
    if not path.exists():
        return
    if (work / "old").exists() or not any(path.iterdir()):
        _remove(path, work)
    else:
        rename(path, work / "old")


def _recover(path: Path, work: Path, *, finished: bool) -> None:
    """Clean up after a killed process, and restore the earlier result if ``path`` does not exist."""
    for name in ("new", "gone", FILE):
        delete(work / name)
    old = work / "old"
    exists = old.exists() or old.is_symlink()  # A relative link may be broken here, but valid in its old place.
    if exists and not path.exists():
        rename(old, path)
    elif exists and finished:
        _remove(old, work)


def _remove(path: Path, work: Path) -> None:
    """Remove a folder; it disappears from ``path`` at once."""
    if path.exists() or path.is_symlink():
        delete(work / "gone")
        path.replace(work / "gone")  # Without a flush, which may fail on a full disk.
        delete(work / "gone")


def _size(folder: Path) -> int:
    """Total size of the files in a folder in bytes, as far as they can be read."""
    size = 0
    with contextlib.suppress(OSError):
        for path in folder.rglob("*"):
            size += path.lstat().st_size
    return size


def _raise_try_again(path: Path, cause: BaseException, written: int) -> None:
    """Convert an error of the machine. The number of bytes written shows how much room is needed at least."""
    if isinstance(cause, OSError) and cause.errno in MACHINE_ERRORS:
        raise try_again(f"{path} ({written} bytes so far)", cause) from cause
