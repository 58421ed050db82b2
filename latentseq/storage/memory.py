"""What a model asks of memory, compared with what the machine has: a lack of it is no damage."""

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

from latentseq.errors import TryAgainError, not_now

_SHAPE = "_shape"
_AXES = 8
_VALUE = 4
"""Bytes of a float32."""


def check_memory(config: Mapping[str, Any], where: Path) -> None:
    """Refuse shapes of which one item is larger than the memory of this machine.

    Args:
        config: of a plugin; keys that end with ``_shape`` are the shapes of an item.
        where: the folder that says it, for the error.

    Raises:
        TryAgainError: naming the shape, what it takes and what there is.
    """
    there = memory()
    for key, shape in config.items():
        if not (key.endswith(_SHAPE) and isinstance(shape, list) and len(shape) <= _AXES):
            continue
        if not all(type(side) is int for side in shape):  # The plugin says what is wrong with it.
            continue
        needed = _VALUE * math.prod(shape)
        if needed > there:
            raise _refusal(
                where, f"one item of {key} {shorten(str(shape), 60, placeholder=' …')} takes {_gib(needed)}"
            )


def lacking(where: Path, cause: Exception) -> TryAgainError | None:
    """What to tell where a model did not fit into memory; None where the cause is another.

    Args:
        where: the folder of the model.
        cause: what was raised while it was built.
    """
    if isinstance(cause, OSError) or not not_now(cause):
        return None
    # TensorFlow names its function before the numbers, and the device after them.
    first = re.sub(r"{{.*?}} *| on /job:.*", "", str(cause)).strip().splitlines() or ["an array did not fit"]
    return _refusal(where, shorten(first[0].rstrip("."), 200, placeholder=" …"))


def memory() -> int:
    """Bytes of memory that this machine has."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _refusal(where: Path, what: str) -> TryAgainError:
    return TryAgainError(
        f"{where} does not fit into the memory of this machine, which has {_gib(memory())}: {what}. Use a machine "
        "with more memory, close other programs, or use a smaller model."
    )


def _gib(count: int) -> str:
    """Bytes in words, as 1.5 GiB."""
    return f"{count / 2**30:.1f} GiB" if count < 2**80 else "more than 10^15 GiB"
