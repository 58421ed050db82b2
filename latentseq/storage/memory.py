"""Compares the memory that a model needs with the memory of the machine."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from latentseq.errors import TryAgainError, retry_message

_SHAPE = "_shape"
"""Suffix of the keywords that hold the shape of one item."""
_AXES = 8
"""Maximum number of axes of a shape."""
_VALUE = 4
"""Size of a float32 in bytes."""


def check_memory(config: Mapping[str, Any], where: Path) -> None:
    """Refuse a model if a single item of one of its shapes does not fit into memory.

    Args:
        config: configuration of a plugin. Keys that end with ``_shape`` hold the shape of one item.
        where: folder of the model, for the message.

    Raises:
        TryAgainError: an item does not fit.
    """
    available = memory()
    for key, shape in config.items():
        if not (key.endswith(_SHAPE) and isinstance(shape, list) and len(shape) <= _AXES):
            continue
        if not all(type(side) is int for side in shape):  # The plugin reports invalid shapes.
            continue
        needed = _VALUE * math.prod(shape)
        if needed > available:
            raise _refusal(
                where, f"one item of {key} {shorten(str(shape), 60, placeholder=' …')} takes {_gib(needed)}"
            )


def memory_error(where: Path, cause: Exception) -> TryAgainError | None:
    """The error to raise if a model did not fit into memory; None for any other cause.

    Args:
        where: folder of the model.
        cause: exception while the model was built.
    """
    if isinstance(cause, OSError) or not retry_message(cause):
        return None
    # TensorFlow's message has the name of a function before the numbers, and the device after them.
    lines = re.sub(r"{{.*?}} *| on /job:.*", "", str(cause)).strip().splitlines() or ["an array did not fit"]
    return _refusal(where, shorten(lines[0].rstrip("."), 200, placeholder=" …"))


def memory() -> int:
    """Size of the memory of this machine in bytes."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _refusal(where: Path, what: str) -> TryAgainError:
    return TryAgainError(
        f"{where} does not fit into the memory of this machine, which has {_gib(memory())}: {what}. Use a machine "
        "with more memory, close other programs, or use a smaller model."
    )


def _gib(count: int) -> str:
    """A number of bytes in words, such as 1.5 GiB."""
    return f"{count / 2**30:.1f} GiB" if count < 2**80 else "more than 10^15 GiB"
