"""Which numbers are black and which white, where a picture is not of 8 bits."""

import re
from typing import NamedTuple

import numpy as np

from latentseq.errors import DataError, UsageError

_BITS = (8, 10, 12, 14)
"""That are stored in 16 bits."""
_NUMBER = r"([+-]?\d+(?:\.\d+)?)"
LOOKED_AT = 8
"""Pictures of a file whose values are looked at before it is taken."""


class Levels(NamedTuple):
    """The values of black and white."""

    low: float
    high: float

    def __str__(self) -> str:
        """As ``--range`` takes it."""
        return f"{self.low:.15g}..{self.high:.15g}"


UNIT, WORD = Levels(0, 1), Levels(0, 65535)
"""Of floats, and of 16 bits."""


def parse_range(text: str) -> Levels:
    """The values of ``--range``.

    Raises:
        UsageError: it is no range.
    """
    found = re.fullmatch(rf"{_NUMBER}\.\.{_NUMBER}", str(text).strip())
    levels = Levels(float(found[1]), float(found[2])) if found else UNIT
    if not found or levels.low >= levels.high:
        raise UsageError(
            f"--range is {text!r}; expected the values of black and white, the lower one first, such as 0..4095 for "
            "12 bits, 0..1 or -1..1."
        )
    return levels


def to_bytes(values: np.ndarray, levels: Levels | None, name: str) -> np.ndarray:
    """Values of any type as 8 bits.

    Args:
        values: of any shape: uint8 and bool, which have no other range; wider integers; floats.
        levels: of black and white; 0..65535 for integers and 0..1 for floats where None.
        name: of the picture, for the error.

    Returns:
        The same shape, uint8.

    Raises:
        DataError: values outside of the range, or that are not finite.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    low, high = levels or (UNIT if values.dtype.kind == "f" else WORD)
    least, most = values.min(), values.max()
    if not (least >= low and most <= high):  # Not the other way round, which would let NaN pass.
        expected = f"{'floats' if values.dtype.kind == 'f' else 'values'} from {low:.15g} to {high:.15g}"
        expected += ", as --range says" if levels else ""
        raise DataError(
            f"{name} has values from {least:.6g} to {most:.6g}; expected {expected}. "
            "Say the values of black and white with --range, such as --range 0..255 (in commands other than ingest "
            "--data-set range=0..255)."
        )
    wide = values.astype(np.result_type(values.dtype, np.float64 if values.dtype.kind != "f" else np.float32))
    return np.rint((wide - low) * (255 / (high - low))).astype(np.uint8)


def check_depth(most: int, count: int, name: str) -> None:
    """Refuse 16 bits of which only the lowest are used: they would be dark or black.

    Args:
        most: the highest value that was seen.
        count: of the pictures that were looked at.
        name: of the file, for the error.

    Raises:
        DataError: it is below 2 ** 14, and more than 0.
    """
    bits = next((bits for bits in _BITS if most < 2**bits), None)
    if bits is None or most <= 0:
        return
    seen = "the picture that was looked at has" if count == 1 else f"the {count} pictures that were looked at have"
    raise DataError(
        f"{name} has 16 bits, of which white is 65535, and {seen} values of at most {most}: it would be dark or "
        f"black. Say the values of black and white: --range 0..{2**bits - 1} if it has {bits} bits, or --range "
        f"0..65535 if it is meant to be dark (in commands other than ingest --data-set range=0..{2**bits - 1})."
    )


def looked_at(count: int) -> np.ndarray:
    """Numbers of the pictures to look at, evenly spread: (m,) int64."""
    return np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64))
