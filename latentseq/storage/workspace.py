"""The hidden folder beside an output that is being written. It holds a lock and all unfinished work.

The workspace of ``OUT`` is ``.OUT.latentseq``. No other name beside an output is ever used. The file ``lock`` in it
begins with a mark. A folder of that name without the mark belongs to somebody else: it stays unchanged, and the
command ends with an error.
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
"""Name of the lock file. A running process holds its lock, and its content marks the folder as a workspace."""
MARK = b"A workspace of latentseq. It may be removed when no command is running.\n"
"""The first line of the lock file; the number of the process follows."""
FILE = "file"
"""Name of an output file that is being written."""
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS}
"""Numbers of errors of filesystems without locks."""


def workspace(path: Path) -> Path:
    """The path of the workspace of an output."""
    return path.with_name(f".{path.name}.latentseq")


@contextlib.contextmanager
def exclusive(path: Path) -> Iterator[Path]:
    """Reserve an output for this process. The lock of a process that has ended does not count.

    Args:
        path: the file or folder to write.

    Yields:
        The workspace. It is removed at the end if it is empty.

    Raises:
        UsageError: the name of the workspace is taken by something else.
        TryAgainError: another process is writing the output, or no lock can be created there.
    """
    work = workspace(path)
    try:
        work.parent.mkdir(parents=True, exist_ok=True)
        lock = _hold(work)
    except BlockingIOError as cause:
        raise TryAgainError(
            f"{path} is being written by another process ({_holder(work)}). Wait until it has ended, or choose "
            "another name."
        ) from cause
    except OSError as cause:
        raise try_again(str(path), cause) from cause
    try:
        yield work
    finally:
        _release(work, lock)


def write_output(path: Path, data: bytes) -> str:
    """Write a file that a user has named. Only one process at a time writes it.

    Args:
        path: the file; an earlier one is replaced.
        data: its content.

    Returns:
        The SHA-256 of the data, in hexadecimal.

    Raises:
        UsageError: the name of the workspace is taken by something else.
        TryAgainError: the disk is full, or another process is writing the file.
    """
    with exclusive(path) as work:
        delete(work / FILE)
        return write_bytes(path, data, temporary=work / FILE)


def delete(path: Path) -> None:
    """Remove a file, a folder or a link, if it exists. The target of a link stays."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _hold(work: Path) -> int:
    """Create the workspace, or take over that of a killed process, and return its open and locked file.

    Raises:
        BlockingIOError: another process holds the workspace.
        UsageError: the folder is no workspace.
        OSError: the workspace cannot be created.
    """
    while True:
        with contextlib.suppress(FileExistsError):
            work.mkdir(mode=0o700)
        try:
            file = _open_lock(work)
        except FileNotFoundError:  # The process that held it has removed it meanwhile.
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
    """Open the lock file. Nothing is created or written in a folder that is no workspace."""
    status = work.lstat()
    # In a folder that all may write to, such as /tmp, another user may have prepared a malicious workspace.
    owners = (os.geteuid(), work.parent.stat().st_uid)
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in owners:
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
    """Whether an open file still is the lock file. The process that held it may have removed it meanwhile."""
    try:
        return os.fstat(file).st_ino == lock.lstat().st_ino
    except FileNotFoundError:
        return False


def _sign(work: Path, file: int) -> None:
    """Write the mark and the number of this process into a new lock file; check the mark of an old one."""
    regular = stat.S_ISREG(os.fstat(file).st_mode)
    mark = os.pread(file, len(MARK), 0) if regular else b"-"
    number = f"{os.getpid():<20}".encode()
    if mark == MARK:
        with contextlib.suppress(OSError):  # The number is only information, and a full disk has no room for it.
            os.pwrite(file, number, len(MARK))
    elif mark or _names(work) != {LOCK}:
        raise _in_the_way(work)
    else:  # A single empty file is new, or its process was killed before it could write the mark.
        try:
            os.pwrite(file, MARK + number, 0)
            os.fsync(file)
        except OSError:
            with contextlib.suppress(OSError):
                (work / LOCK).unlink()
                work.rmdir()
            raise


def _release(work: Path, file: int) -> None:
    """Release a workspace, and remove it if it is empty."""
    with contextlib.suppress(OSError):
        if _names(work) == {LOCK}:
            (work / LOCK).unlink()  # Before the lock is released, so that a waiting process looks again.
            work.rmdir()
    os.close(file)


def _names(work: Path) -> set[str]:
    return {path.name for path in work.iterdir()}


def _in_the_way(work: Path) -> UsageError:
    return UsageError(
        f"{work} is in the way: latentseq keeps unfinished work under that name, but it was not written by "
        "latentseq, or belongs to another user. It stays unchanged. Move it away, or choose another output."
    )


def _holder(work: Path) -> str:
    """The process that holds a workspace, in words."""
    try:
        return f"number {int((work / LOCK).read_bytes()[len(MARK) :])}"
    except (OSError, ValueError):
        return "just started"
