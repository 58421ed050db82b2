"""Safe reading of untrusted files: only regular files of limited size, and every field is checked before use."""

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

from latentseq.errors import DataError, cause_of, join_names, retry_error

JSON_BYTES = 128 << 20
"""Maximum size of a JSON file: enough for a manifest with three million clips."""
JSON_PARTS = 4_000_000
"""Maximum number of objects and lists in a JSON file. In memory they take up to thirty times their size."""
JSON_DEPTH = 100
"""Maximum nesting of objects and lists: far below the limits of Python."""
SEAL = "seal"
"""The key under which a JSON object holds its own SHA-256."""
_DIGEST = re.compile("[0-9a-f]{64}")
"""A SHA-256 in hexadecimal."""


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading. Pipes and devices are refused without waiting for them.

    Raises:
        OSError: the file cannot be opened, or is no regular file.
        ValueError: the name is no valid file name.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError("expected a regular file")
    file = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError("expected a regular file")
    return file


def read_small(path: Path, most: int) -> bytes:
    """Read a regular file of at most ``most`` bytes.

    Raises:
        OSError: the file cannot be opened, is no regular file, or is larger.
        ValueError: the name is no valid file name.
    """
    with open_regular(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise OSError(f"it has more than {most} bytes")
    return data


def parse_json(data: bytes) -> Any:
    """Parse JSON in UTF-8. NaN and infinite numbers are refused.

    Raises:
        ValueError: the data is no JSON, has more than ``JSON_PARTS`` parts, or is nested deeper than ``JSON_DEPTH``.
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
    """Whether a JSON value is nested at most ``JSON_DEPTH`` levels deep."""
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
        what: description of the file, for the message.
        most: maximum size in bytes.

    Raises:
        DataError: the file is missing, too large, or no JSON object.
        TryAgainError: the file cannot be read now.
    """
    try:
        value = parse_json(read_small(path, most))
    except (OSError, ValueError) as cause:
        if later := retry_error(path, cause):
            raise later from cause
        reason = (cause.strerror if isinstance(cause, OSError) else None) or cause
        raise DataError(f"{path} cannot be read as {what}: {reason}.") from cause
    if not isinstance(value, dict):
        raise DataError(f"{path} cannot be read as {what}: it holds a {type(value).__name__}; expected an object.")
    return value


@contextlib.contextmanager
def as_written(path: Path) -> Iterator[None]:
    """Report a file of results as changed if the block, which uses its values, fails.

    Args:
        path: the file, or the folder of files.

    Raises:
        DataError: the block fails.
    """
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as cause:
        raise DataError(
            f"{path} is not as it was written: a value is missing or has another type ({cause_of(cause)}). Run the "
            "command that wrote it again."
        ) from cause


def seal(value: Mapping[str, Any]) -> str:
    """SHA-256 of the content of a JSON object, without its own ``seal``."""
    rest = {key: each for key, each in value.items() if key != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def check_seal(value: Mapping[str, Any], path: Path) -> None:
    """Compare a JSON object with its ``seal``, if it has one. Other checks come first, because they say more.

    Raises:
        DataError: the object was changed.
    """
    if SEAL in value and value[SEAL] != seal(value):
        raise DataError(
            f"{path} is not as it was written: the SHA-256 of its content is not its {SEAL!r}. Copy the folder "
            "again, or make it again."
        )


def is_plain(name: object, *, folders: bool = False) -> bool:
    """Whether a name can only lead to a file inside a folder.

    Args:
        name: name from an untrusted file.
        folders: allow files in folders below.
    """
    if not isinstance(name, str) or not 0 < len(name) < 1024 or not name.isprintable() or "\\" in name:
        return False
    parts = PurePosixPath(name).parts
    return str(PurePosixPath(name)) == name and not {"/", "..", "."} & set(parts) and (folders or len(parts) == 1)


def leads_out(folder: Path, name: str) -> bool:
    """Whether links lead from a plain name in a folder to a place outside that folder."""
    try:
        return not (folder / name).resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # The links form a circle.
        return True


class Fields:
    """The fields of an untrusted JSON object. Each method checks type and range before it returns a field."""

    def __init__(self, values: Any, path: Path, where: str = "") -> None:
        """Wrap an object.

        Args:
            values: the value, which must be an object.
            path: path of the file, for messages.
            where: the place in the file, such as ``shards[3]``.

        Raises:
            DataError: the value is no object.
        """
        self.path = path
        self.where = where
        self._values = values
        if not isinstance(values, dict):
            self.refuse(where or "the content", values, "an object")

    def require(self, *keys: str) -> None:
        """Refuse an object without some keys.

        Raises:
            DataError: a key is missing.
        """
        missing = [key for key in keys if key not in self._values]
        if missing:
            verb = "is" if len(missing) == 1 else "are"
            raise DataError(
                f"{self.path} cannot be used: {join_names(missing)} {verb} missing. Make the folder again."
            )

    def whole(self, key: str, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``.

        Raises:
            DataError: the field is something else.
        """
        value = self._values.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.refuse(key, value, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """A finite number above ``low``, and at most ``high``.

        Raises:
            DataError: the field is something else.
        """
        value = self._values.get(key)
        if not is_number(value) or not low < value <= high:
            self.refuse(key, value, f"a number above {low:g} and at most {high:g}")
        return value

    def text(self, key: str, most: int = 4096) -> str:
        """A text of at most ``most`` characters.

        Raises:
            DataError: the field is something else.
        """
        value = self._values.get(key)
        if not isinstance(value, str) or len(value) > most:
            self.refuse(key, value, f"text of at most {most} characters")
        return value

    def flag(self, key: str) -> bool:
        """True or false.

        Raises:
            DataError: the field is something else.
        """
        value = self._values.get(key)
        if not isinstance(value, bool):
            self.refuse(key, value, "true or false")
        return value

    def digest(self, key: str) -> str:
        """A SHA-256 in hexadecimal.

        Raises:
            DataError: the field is something else.
        """
        value = self._values.get(key)
        if not is_digest(value):
            self.refuse(key, value, "a SHA-256 in 64 hexadecimal digits")
        return value

    def shape(self, key: str, axes: tuple[int, ...], most: int) -> tuple[int, ...]:
        """The shape of an item: whole numbers above 0 whose product is at most ``most``.

        Args:
            key: name of the field.
            axes: allowed numbers of axes.
            most: maximum number of values in an item.

        Raises:
            DataError: the field is something else.
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
            DataError: the field is something else.
        """
        value = self._values.get(key)
        if not isinstance(value, list):
            self.refuse(key, value, "a list")
        return value

    def inner(self, key: str) -> Mapping[str, Any]:
        """An object.

        Raises:
            DataError: the field is something else.
        """
        value = self._values.get(key)
        if not isinstance(value, dict):
            self.refuse(key, value, "an object")
        return value

    def refuse(self, key: str, received: Any, expected: str) -> NoReturn:
        """Raise the error for an invalid field.

        Raises:
            DataError: always.
        """
        name = f"{self.where}.{key}" if self.where and key != self.where else key
        raise DataError(
            f"{self.path} cannot be used: {name} is {quote(received)}; expected {expected}. Make the folder again, "
            "or copy it again from its source."
        )


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e300  # A comparison works for whole numbers of any size.


def is_digest(value: object) -> bool:
    """Whether a JSON value is a SHA-256."""
    return isinstance(value, str) and bool(_DIGEST.fullmatch(value))


def quote(value: Any) -> str:
    """A value for a message: short, on one line, and in ASCII."""
    if isinstance(value, (list, dict)) and len(value) > 8:
        return f"{'a list' if isinstance(value, list) else 'an object'} of {len(value)}"
    return "nothing" if value is None else shorten(ascii(value)[:400], 80, placeholder=" …") or "a long text"


class _NotFiniteError(ValueError):
    """A number that is not finite."""


def _no_number(text: str) -> NoReturn:
    raise _NotFiniteError(f"it contains {text}, which is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _NotFiniteError(f"it contains {text[:20]}, which is too large a number")
    return value
