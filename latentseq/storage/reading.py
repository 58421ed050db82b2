"""Reading files that may be a stranger's: regular ones, no larger than is sane, every field checked before use."""

import contextlib
import hashlib
import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from textwrap import shorten
from typing import Any, NoReturn

from latentseq.errors import DataError, cause_of, listed, unread

JSON_BYTES = 128 << 20
"""Of a JSON file: a manifest that says start and end of three million clips."""
JSON_PARTS = 4_000_000
"""Objects and lists in it, which take up to thirty times their bytes in memory."""
JSON_DEPTH = 100
"""Objects and lists inside one another: far fewer than Python can write or walk through."""
SEAL = "seal"
"""The key of a JSON object under which its own SHA-256 is."""
_DIGEST = re.compile("[0-9a-f]{64}")


def open_regular(path: Path) -> io.BufferedReader:
    """Open a file to read; what is no regular file (a pipe, a device) is never waited for.

    Raises:
        OSError: it cannot be opened, or is something else.
        ValueError: no file can have that name.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("expected a regular file")
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("expected a regular file")
    return file


def read_small(path: Path, most: int) -> bytes:
    """All of a regular file that has to be small.

    Raises:
        OSError: it cannot be opened, is no regular file, or is larger.
        ValueError: no file can have that name.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"it has more than {most} bytes")
    return data


def parse_json(data: bytes) -> Any:
    """JSON in UTF-8; NaN and infinite numbers are none.

    Raises:
        ValueError: it is not JSON, or has more parts, or deeper ones, than anything that is written here.
    """
    if data.count(b"[") + data.count(b"{") > JSON_PARTS:
        raise ValueError(f"it has more than {JSON_PARTS} lists and objects")
    try:
        value = json.loads(data.decode(), parse_constant=_no_number, parse_float=_finite)
    except _NotFiniteError:
        raise
    except RecursionError as cause:
        raise ValueError("its lists and objects are nested too deeply") from cause
    except ValueError as cause:
        raise ValueError("it is not JSON") from cause
    if not is_shallow(value):
        raise ValueError("its lists and objects are nested too deeply")
    return value


def is_shallow(value: Any) -> bool:
    """Whether a JSON value has at most ``JSON_DEPTH`` lists and objects inside one another."""
    level = [value]
    for _ in range(JSON_DEPTH + 1):
        inner = (
            each.values() if isinstance(each, dict) else each for each in level if isinstance(each, (dict, list))
        )
        level = [value for values in inner for value in values if isinstance(value, (dict, list))]
        if not level:
            return True
    return False


def read_object(path: Path, what: str, most: int = JSON_BYTES) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: what it is, for an error.
        most: bytes that it may have.

    Raises:
        DataError: missing, too large, or not a JSON object.
        TryAgainError: it cannot be read now.
    """
    try:
        value = parse_json(read_small(path, most))
    except (OSError, ValueError) as cause:
        if later := unread(path, cause):
            raise later from cause
        reason = (cause.strerror if isinstance(cause, OSError) else None) or cause
        raise DataError(f"{path} cannot be read as {what}: {reason}.") from cause
    if not isinstance(value, dict):
        raise DataError(f"{path} cannot be read as {what}: it holds a {type(value).__name__}, expected an object.")
    return value


@contextlib.contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Refuse a file of results in whose values the block fails: somebody has changed them.

    Args:
        path: the file, or the folder of files.

    Raises:
        DataError: the block fails.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as cause:
        raise DataError(
            f"{path} is not as it was written: a value in it is missing or of another kind ({cause_of(cause)}). Run "
            "the command that wrote it again."
        ) from cause


def seal(value: Mapping[str, Any]) -> str:
    """SHA-256 over everything that a JSON object says, but for its own ``seal``."""
    rest = {key: each for key, each in value.items() if key != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_seal(value: Mapping[str, Any], path: Path) -> None:
    """Refuse what is not as it was written, where it says how that was; the last check, since it tells the least.

    Raises:
        DataError: it is another.
    """
    if SEAL in value and value[SEAL] != seal(value):
        raise DataError(
            f"{path} is not as it was written: what it says has another SHA-256 than its {SEAL!r}. Copy the folder "
            "again, or make it again."
        )


def is_plain(name: object, *, folders: bool = False) -> bool:
    """Whether a name is that of a file inside a folder, whatever is there.

    Args:
        name: from a manifest or an artifact.
        folders: whether it may lie in folders below.
    """
    if not isinstance(name, str) or not 0 < len(name) < 1024 or not name.isprintable() or "\\" in name:
        return False
    parts = PurePosixPath(name).parts
    return str(PurePosixPath(name)) == name and not {"/", "..", "."} & set(parts) and (folders or len(parts) == 1)


def leads_out(folder: Path, name: str) -> bool:
    """Whether links lead from a plain name in a folder to a place outside of it."""
    try:
        return not (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # Links in a circle.
        return True


class Fields:
    """The fields of a JSON object, each given out when it is of its type and in its range."""

    def __init__(self, values: Any, path: Path, where: str = "") -> None:
        """Take an object.

        Args:
            values: what should be an object.
            path: the file it is from, for errors.
            where: the place in the file, such as ``shards[3]``.

        Raises:
            DataError: it is no object.
        """
        self.path, self.where, self._values = path, where, values
        if not isinstance(values, dict):
            self.refuse(where or "all of it", values, "an object")

    def require(self, *keys: str) -> None:
        """Refuse an object that says too little.

        Raises:
            DataError: a key is missing.
        """
        missing = [key for key in keys if key not in self._values]
        if missing:
            raise DataError(
                f"{self.path} cannot be used: it says nothing of {listed(missing)}. Make the folder again."
            )

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``.

        Raises:
            DataError: it is none.
        """
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(key, value, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number above ``low``, and at most ``high``.

        Raises:
            DataError: it is none.
        """
        value = self._values.get(key)
        if not is_number(value) or not low < value <= high:
            self.refuse(key, value, f"a number above {low:g} and at most {high:g}")
        return value

    def text(self, key: str, most: int = 4096) -> str:
        """Text.

        Raises:
            DataError: it is none, or is longer than ``most``.
        """
        value = self._values.get(key)
        if not isinstance(value, str) or len(value) > most:
            self.refuse(key, value, f"text of at most {most} characters")
        return value

    def flag(self, key: str) -> bool:
        """True or false.

        Raises:
            DataError: it is neither.
        """
        value = self._values.get(key)
        if not isinstance(value, bool):
            self.refuse(key, value, "true or false")
        return value

    def digest(self, key: str) -> str:
        """A SHA-256.

        Raises:
            DataError: it is none.
        """
        value = self._values.get(key)
        if not is_digest(value):
            self.refuse(key, value, "a SHA-256 in 64 hexadecimal digits")
        return value

    def shape(self, key: str, axes: tuple[int, ...], most: int) -> tuple[int, ...]:
        """The shape of an item: whole numbers above 0, of so many axes, whose product is at most ``most``.

        Raises:
            DataError: it is none.
        """
        value = self._values.get(key)
        good = isinstance(value, list) and len(value) in axes
        if not good or not all(type(side) is int and 1 <= side <= most for side in value) or math.prod(value) > most:
            count = " or ".join(map(str, axes))
            self.refuse(key, value, f"a list of {count} whole numbers above 0, with a product of at most {most}")
        return tuple(value)

    def many(self, key: str) -> list[Any]:
        """A list.

        Raises:
            DataError: it is none.
        """
        value = self._values.get(key)
        if not isinstance(value, list):
            self.refuse(key, value, "a list")
        return value

    def inner(self, key: str) -> Mapping[str, Any]:
        """An object.

        Raises:
            DataError: it is none.
        """
        value = self._values.get(key)
        if not isinstance(value, dict):
            self.refuse(key, value, "an object")
        return value

    def refuse(self, key: str, received: Any, expected: str) -> NoReturn:
        """Say that a field is not what it has to be.

        Raises:
            DataError: always.
        """
        name = f"{self.where}.{key}" if self.where and key != self.where else key
        raise DataError(
            f"{self.path} cannot be used: {name} is {shown(received)}; expected {expected}. Make the folder again, "
            "or get it anew from where it came."
        )


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300  # No whole number is too large to be compared.


def is_digest(value: object) -> bool:
    """Whether a JSON value is a SHA-256."""
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def shown(value: Any) -> str:
    """A value as an error may quote it: short, and in one line."""
    if isinstance(value, (list, dict)) and len(value) > 8:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return "nothing" if value is None else shorten(ascii(value)[:400], 80, placeholder=" …") or "a long text"


class _NotFiniteError(ValueError):
    """A number that is none."""


def _no_number(text: str) -> NoReturn:
    raise _NotFiniteError(f"{text} in it is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotFiniteError(f"{text[:20]} in it is too large a number")
    return value
