"""The hidden folder beside an output that is being written: a lock, and what is not finished yet.

The workspace of ``OUT`` is ``.OUT.latentseq``. All that is not finished lies in it, so no other name beside an output
is ever touched. A file in it, ``lock``, begins with a mark. A folder of that name without the mark was made by
somebody else: it is left alone, and the command ends with a sentence that says so.
"""

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from latentseq.errors import TryAgainError, UsageError
from latentseq.storage.atomic import try_again, write_bytes

LOCK = "lock"
"""The file whose lock says that a process is at work, and whose content says that the folder is ours."""
MARK = b"A workspace of latentseq. It may be removed when no command is running.\n"
"""What the lock file begins with; the number of the process follows."""
FILE = "file"
"""An output of one file that is being written."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}


def workspace(path: Path) -> Path:
    """Where the workspace of an output is."""
    return path.with_name(f".{path.name}.latentseq")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[Path]:
    """Hold an output for this process alone; the lock of a process that is gone does not count.

    Args:
        path: a file or folder that is to be written.

    Yields:
        The workspace. At the end it is removed where nothing is left in it.

    Raises:
        UsageError: something of somebody else has the name of the workspace.
        TryAgainError: another process is writing the output, or no lock can be made there.
    """
    work = workspace(path)
    try:
        work.parent.mkdir(parents=True, exist_ok=True)
        lock = _hold(work)
    except BlockingIOError as cause:
        raise TryAgainError(
            f"{path} is being written by another process ({_holder(work)}). Wait until that is done, or choose "
            "another name."
        ) from cause
    except OSError as cause:
        raise try_again(str(path), cause) from cause
    try:
        yield work
    finally:
        _release(work, lock)


def write_output(path: Path, data: bytes) -> str:
    """Write a file that a user has named, one process at a time; what a killed process left of it is removed.

    Args:
        path: the file; an earlier one is replaced.
        data: its content.

    Returns:
        The SHA-256 of the data, in hexadecimal.

    Raises:
        UsageError: something of somebody else has the name of the workspace.
        TryAgainError: the disk is full, or another process is writing the file.
    """
    with exclusive(path) as work:
        delete(work / FILE)
        return write_bytes(path, data, temporary=work / FILE)


def delete(path: Path) -> None:
    """Remove a file, a folder or a link, if it is there; what a link leads to stays."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _hold(work: Path) -> int:
    """Make the workspace, or take over the one that a killed process left; returns its open and locked file.

    Raises:
        BlockingIOError: another process holds it.
        UsageError: it is not ours.
        OSError: it cannot be made.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            work.mkdir(mode=0o700)
        try:
            file = _open_lock(work)
        except FileNotFoundError:  # Its last holder has removed it meanwhile.
            continue
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as cause:
                if cause.errno not in _NO_LOCKS:
                    raise
            if _is_same(file, work / LOCK):
                _sign(work, file)
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)


def _open_lock(work: Path) -> int:
    """Open the lock file. In a folder of somebody else nothing is made and nothing is written."""
    about = work.lstat()
    # In a folder that all may write to, such as /tmp, somebody else may have made a workspace to lead us astray.
    owners = (os.geteuid(), work.parent.stat().st_uid)
    if not stat.S_ISDIR(about.st_mode) or about.st_uid not in owners:
        raise _in_the_way(work)
    names = _names(work)
    if names and LOCK not in names:
        raise _in_the_way(work)
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | (0 if names else os.O_CREAT)
    try:
        return os.open(work / LOCK, flags, 0o600)
    except OSError as cause:
        if cause.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # A link, a folder, a socket.
            raise _in_the_way(work) from cause
        raise


def _is_same(file: int, lock: Path) -> bool:
    """Whether an open file still is the lock file; its last holder may have removed it meanwhile."""
    try:
        return os.fstat(file).st_ino == lock.lstat().st_ino
    except FileNotFoundError:
        return False


def _sign(work: Path, file: int) -> None:
    """Put the mark and the number of this process into a new lock file; check the mark of an old one."""
    regular = stat.S_ISREG(os.fstat(file).st_mode)
    mark = os.pread(file, len(MARK), 0) if regular else b"-"
    number = f"{os.getpid():<20}".encode()
    if mark == MARK:
        with contextlib.suppress(OSError):  # The number is only told to others, and a full disk has no room for it.
            os.pwrite(file, number, len(MARK))
    elif mark or _names(work) != {LOCK}:
        raise _in_the_way(work)
    else:  # An empty file alone is a new one, or that of a process that was killed before it could write the mark.
        try:
            os.pwrite(file, MARK + number, 0)
            os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):
                (work / LOCK).unlink()
                work.rmdir()
            raise


def _release(work: Path, file: int) -> None:
    """Let go of a workspace; with the mark it stays where something is left in it."""
    with contextlib.suppress(OSError):
        if _names(work) == {LOCK}:
            (work / LOCK).unlink()  # Before it is let go of: whoever waits looks again.
            work.rmdir()
    os.close(file)


def _names(work: Path) -> set[str]:
    return {path.name for path in work.iterdir()}


def _in_the_way(work: Path) -> UsageError:
    return UsageError(
        f"{work} is in the way: latentseq keeps unfinished work under that name, but it was not made by latentseq, "
        "or belongs to another user. It is not touched. Move it away, or choose another output."
    )


def _holder(work: Path) -> str:
    """Who holds a workspace, in words."""
    try:
        return f"number {int((work / LOCK).read_bytes()[len(MARK) :])}"
    except (OSError, ValueError):
        return "just begun"
