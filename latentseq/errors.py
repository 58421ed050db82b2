"""The errors that latentseq raises on purpose.

Every message is written for the person who reads it: what is wrong, what was expected, what was received and
what to do. The class says what kind of trouble it is, and so which exit code the command line answers with.
"""

import errno
import os
import re
import signal
from collections.abc import Iterable
from difflib import get_close_matches

UNREAD = {
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.EAGAIN,
    errno.EBUSY,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.ENOTCONN,
    errno.ECONNRESET,
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.EREMOTEIO,
}
"""What the machine says where a file cannot be read now: that says nothing about the content of the file."""
NOT_NOW = {
    *UNREAD,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}
"""What the machine says where nothing is wrong with the request."""
_VAGUE = {errno.EIO, errno.ENOMEM, errno.EAGAIN}
"""What FFmpeg also says where a file is damaged."""
_NAMED = re.compile(r"\berrno = (\d+), error message|\(os error (\d+)\)")
"""How HDF5 and libraries in Rust name the number of an error in their text."""


TERMINATED = 128 + signal.SIGTERM
"""The exit code of a process that SIGTERM ended, and the code of the ``SystemExit`` that ends it."""


class LatentseqError(Exception):
    """Base of every error that latentseq raises on purpose."""

    exit_code = 1


class UsageError(LatentseqError):
    """What was asked for does not exist or does not fit: a name, an option, a range, an existing output."""

    exit_code = 2


class DataError(LatentseqError):
    """Data that cannot be used: unreadable, damaged, of the wrong shape, or made by another encoder."""

    exit_code = 65


class PluginError(LatentseqError):
    """A plugin that cannot be loaded, or that breaks its contract."""

    exit_code = 70


class TryAgainError(LatentseqError):
    """Nothing is wrong with the request; the machine could not do it now (disk full, read-only folder)."""

    exit_code = 75


def not_now(error: Exception) -> str | None:
    """What to tell of an error that says that the machine cannot do it now; None of any other."""
    short = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
    if short or type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's, and JAX's.
        return (
            f"There is not enough memory: {str(error).splitlines()[0] if str(error) else 'an array did not fit'}. "
            "What was finished is kept; close other programs, or ask for less at a time (--batch-size, --size), and "
            "run the same command again."
        )
    if isinstance(error, OSError) and error.errno in NOT_NOW:
        where = f" {error.filename}:" if error.filename else ""
        return f"The machine could not do it now:{where} {error.strerror}. Run the same command again when it can."
    return None


def unread(path: object, cause: object) -> TryAgainError | None:
    """The error to raise where a file could not be read now; None where the reason is in the file itself.

    This is the one place that tells the two apart. Every reader asks it before it calls a file damaged.

    Args:
        path: the file, for the message.
        cause: what was raised; the errors that it was raised from are looked at too.
    """
    number = None
    while isinstance(cause, BaseException) and number is None:
        if isinstance(cause, TryAgainError):
            return TryAgainError(str(cause))
        number, cause = _number(cause), cause.__cause__
    if number is None:
        return None
    return TryAgainError(
        f"{path} could not be read now: {os.strerror(number)}. Run the same command again; if it stays so, look "
        "after the disk, and copy the file again."
    )


def _number(error: BaseException) -> int | None:
    """Which of ``UNREAD`` an error is, by its attribute (Python's own and FFmpeg's have one) or by its text."""
    number = getattr(error, "errno", None)
    if number in _VAGUE and type(error).__module__ == "av.error":
        return None
    if number is None and (named := _NAMED.search(str(error))):
        number = int(named[1] or named[2])
    return number if number in UNREAD else None


def is_fault(error: BaseException) -> bool:
    """Whether somebody else's code failed: it raised an exception or called ``sys.exit``; no signal ended it."""
    return isinstance(error, Exception) or (isinstance(error, SystemExit) and error.code != TERMINATED)


def cause_of(error: BaseException) -> str:
    """What somebody else's code raised, in words; no full stop at the end."""
    if isinstance(error, SystemExit):
        return f"it ended the process by sys.exit({error.code!r}), where it should raise an exception"
    return f"{type(error).__name__}: {error}".rstrip(":. ")


def listed(names: Iterable[str]) -> str:
    """The names in a sentence: ``a, b and c``; ``none`` where there are none."""
    *first, last = sorted(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def printable(text: str) -> str:
    """Text that may hold a stranger's words, as a terminal can take it: what would steer it is shown as an escape."""
    shown = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return "".join(shown)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to append to a message: ``Did you mean X? `` or the empty string."""
    close = get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""


def count_of(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 frame`` or ``2 frames``; for nouns that take an s in the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
