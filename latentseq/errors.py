"""The errors that latentseq raises on purpose.

Every message says what is wrong, what was expected, what was received and what to do. The class of an error decides
the exit code of the command line.
"""

import errno
import os
import re
import signal
from collections.abc import Iterable
from difflib import get_close_matches

READ_ERRORS = {
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
"""Numbers of errors that keep a file from being read now. They say nothing about the content of the file."""
MACHINE_ERRORS = {
    *READ_ERRORS,
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
"""Numbers of errors of the machine, for which the request is not to blame."""
_VAGUE = {errno.EIO, errno.ENOMEM, errno.EAGAIN}
"""Numbers of errors that FFmpeg also reports for damaged files."""
_NUMBER = re.compile(r"\berrno = (\d+), error message|\(os error (\d+)\)")
"""The number of an error in the messages of HDF5 and of libraries written in Rust."""
TERMINATED = 128 + signal.SIGTERM
"""The exit code of a process that SIGTERM ended, and the code of the ``SystemExit`` that ends it."""


class LatentseqError(Exception):
    """Base of every error that latentseq raises on purpose."""

    exit_code = 1


class UsageError(LatentseqError):
    """The request does not fit: an unknown name, a wrong option or range, an output that exists already."""

    exit_code = 2


class DataError(LatentseqError):
    """Data cannot be used: it is unreadable, damaged, of the wrong shape, or encoded by another encoder."""

    exit_code = 65


class PluginError(LatentseqError):
    """A plugin cannot be loaded, or breaks its contract."""

    exit_code = 70


class TryAgainError(LatentseqError):
    """The machine cannot do the work now (full disk, read-only folder), although the request is right."""

    exit_code = 75


def retry_message(error: Exception) -> str | None:
    """The message for an error of the machine; None for any other error."""
    out_of_memory = isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
    if out_of_memory or type(error).__name__ == "ResourceExhaustedError":  # The classes of TensorFlow and JAX.
        return (
            f"There is not enough memory: {str(error).splitlines()[0] if str(error) else 'an array did not fit'}. "
            "Finished work is kept. Close other programs, or use less memory (--batch-size, --size), and run the "
            "same command again."
        )
    if isinstance(error, OSError) and error.errno in MACHINE_ERRORS:
        where = f" {error.filename}:" if error.filename else ""
        return f"The machine could not do it now:{where} {error.strerror}. Run the same command again later."
    return None


def retry_error(path: object, cause: object) -> TryAgainError | None:
    """The error to raise if a file could not be read now; None if the file itself is the reason.

    Only this function tells the two apart. Every reader calls it before it calls a file damaged.

    Args:
        path: the file, for the message.
        cause: the exception. The exceptions that caused it are searched as well.
    """
    number = None
    while isinstance(cause, BaseException) and number is None:
        if isinstance(cause, TryAgainError):
            return TryAgainError(str(cause))
        number, cause = _number(cause), cause.__cause__
    if number is None:
        return None
    return TryAgainError(
        f"{path} could not be read now: {os.strerror(number)}. Run the same command again. If the error stays, check "
        "the disk and copy the file again."
    )


def _number(error: BaseException) -> int | None:
    """The number of an error if it is in ``READ_ERRORS``: from its attribute (Python, FFmpeg) or from its message."""
    number = getattr(error, "errno", None)
    if number in _VAGUE and type(error).__module__ == "av.error":
        return None
    if number is None and (match := _NUMBER.search(str(error))):
        number = int(match[1] or match[2])
    return number if number in READ_ERRORS else None


def is_fault(error: BaseException) -> bool:
    """Whether foreign code failed, by an exception or ``sys.exit``, and was not ended by a signal."""
    return isinstance(error, Exception) or (isinstance(error, SystemExit) and error.code != TERMINATED)


def cause_of(error: BaseException) -> str:
    """What foreign code raised, in words, without a full stop."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r}), but it should raise an exception"
    return f"{type(error).__name__}: {error}".rstrip(":. ")


def join_names(names: Iterable[str]) -> str:
    """The names in sorted order as part of a sentence: ``a, b and c``, or ``none``."""
    *first, last = sorted(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def printable(text: str) -> str:
    """Untrusted text that is safe to print: control characters are escaped, so that they cannot steer a terminal."""
    characters = (c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
    return "".join(characters)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A hint for a message: ``Did you mean X? ``, or the empty string if no name is similar."""
    matches = get_close_matches(name, list(names), n=1)
    return f"Did you mean {matches[0]!r}? " if matches else ""


def count_of(number: int, noun: str) -> str:
    """A number with its noun, such as ``1 frame`` or ``2 frames``; for nouns that take an s in the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
