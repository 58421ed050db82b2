"""Values of black and white in pictures that do not have 8 bits."""

import re
from typing import NamedTuple

import numpy as np

from latentseq.errors import DataError, UsageError

_BITS = (8, 10, 12, 14)
"""Bit depths that are often stored in 16 bits."""
_NUMBER = r"([+-]?\d+(?:\.\d+)?)"
LOOKED_AT = 8
"""Number of pictures in a file whose values are checked before the file is accepted."""


class Levels(NamedTuple):
    """The values of black and white."""

    low: float
    high: float

    def __str__(self) -> str:
        """The text that ``--range`` accepts, such as ``0..4095``."""
        return f"{self.low:.15g}..{self.high:.15g}"


UNIT, WORD = Levels(0, 1), Levels(0, 65535)
"""Default values of black and white for floats, and for 16 bits."""


def parse_range(text: str) -> Levels:
    """Parse the value of ``--range``.

    Raises:
        UsageError: the text is not a range.
    """
    match = re.fullmatch(rf"{_NUMBER}\.\.{_NUMBER}", str(text).strip())
    levels = Levels(float(match[1]), float(match[2])) if match else UNIT
    if not match or levels.low >= levels.high:
        raise UsageError(
            f"--range is {text!r}; expected the values of black and white, the lower one first, such as 0..4095 for "
            "12 bits, 0..1 or -1..1."
        )
    return levels


def to_bytes(values: np.ndarray, levels: Levels | None, name: str) -> np.ndarray:
    """Convert values of any type to 8 bits.

    Args:
        values: array of any shape, of uint8, bool, wider integers or floats.
        levels: values of black and white; by default 0..65535 for integers and 0..1 for floats. They do not apply
            to uint8 and bool.
        name: name of the picture for error messages.

    Returns:
        uint8 of the same shape.

    Raises:
        DataError: a value lies outside the range or is not finite.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype.kind == "b":
        return values.astype(np.uint8) * np.uint8(255)
    low, high = levels or (UNIT if values.dtype.kind == "f" else WORD)
    least, most = values.min(), values.max()
    if not (least >= low and most <= high):  # A test for values outside the range would let NaN pass.
        expected = f"{'floats' if values.dtype.kind == 'f' else 'values'} from {low:.15g} to {high:.15g}"
        expected += ", as --range says" if levels else ""
        raise DataError(
            f"{name} has values from {least:.6g} to {most:.6g}; expected {expected}. "
            "Set the values of black and white with --range, such as --range 0..255 (in commands other than ingest: "
            "--data-set range=0..255)."
        )
    wide = values.astype(np.result_type(values.dtype, np.float64 if values.dtype.kind != "f" else np.float32))
    return np.rint((wide - low) * (255 / (high - low))).astype(np.uint8)


def check_depth(most: int, count: int, name: str) -> None:
    """Refuse pictures of 16 bits that only use the lowest bits, because they would become dark or black.

    Args:
        most: highest value in the pictures that were checked.
        count: number of pictures that were checked.
        name: name of the file for error messages.

    Raises:
        DataError: the highest value is above 0 and below 2 ** 14.
    """
    bits = next((bits for bits in _BITS if most < 2**bits), None)
    if bits is None or most <= 0:
        return
    checked = "the picture that was checked has" if count == 1 else f"the {count} pictures that were checked have"
    raise DataError(
        f"{name} has 16 bits, in which white is 65535, but {checked} values of at most {most}: it would become dark "
        f"or black. Set the values of black and white: --range 0..{2**bits - 1} if it has {bits} bits, or --range "
        f"0..65535 if it is meant to be dark (in commands other than ingest: --data-set range=0..{2**bits - 1})."
    )


def looked_at(count: int) -> np.ndarray:
    """Numbers of the pictures to check, evenly spread over ``count`` pictures: (m,) int64."""
    return np.unique(np.linspace(0, count - 1, min(count, LOOKED_AT)).astype(np.int64))
