"""The errors that latentseq raises on purpose.

Every message is written for the person who reads it: what is wrong, what was expected, what was received and
what to do. The class says what kind of trouble it is, and so which exit code the command line answers with.
"""

from collections.abc import Iterable
from difflib import get_close_matches


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


def listed(names: Iterable[str]) -> str:
    """The names in a sentence: ``a, b and c``; ``none`` where there are none."""
    *first, last = sorted(names) or ["none"]
    return f"{', '.join(first)} and {last}" if first else last


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint to append to a message: ``Did you mean X? `` or the empty string."""
    close = get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""
