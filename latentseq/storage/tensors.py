"""Reads and writes named arrays in safetensors files."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from latentseq.errors import DataError, retry_error
from latentseq.storage.atomic import write_bytes
from latentseq.storage.reading import open_regular

_HEADER_BYTES = 1 << 16
"""Maximum size of a header without its arrays."""
_ARRAY_BYTES = 512
"""Maximum size of the entry of one array in a header, without the name."""
_DTYPES: Mapping[str, str] = MappingProxyType(
    {"BOOL": "bool", "BF16": "bfloat16"}
    | {f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)}
)
"""Name of each dtype in safetensors -> name in NumPy."""


def save_tensors(tensors: Mapping[str, np.ndarray], path: Path) -> str:
    """Write arrays to a safetensors file and return its SHA-256. Equal arrays give equal bytes."""
    return write_bytes(path, save({k: np.array(tensors[k], order="C") for k in sorted(tensors)}))


def load_tensors(
    path: Path, expected: Mapping[str, tuple[tuple[int, ...], str]], optional: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Read arrays from a safetensors file, and check their names, shapes and dtypes.

    Args:
        path: the file.
        expected: name of each array -> shape and dtype.
        optional: names of arrays that older files may lack.

    Raises:
        DataError: the file is unreadable, or a name, a shape or a dtype differs.
        TryAgainError: the file cannot be read now.
    """
    try:
        _check_header(path, expected)
        with safe_open(path, framework="numpy") as file:
            stored = {key: _describe(file.get_slice(key)) for key in file.keys()}  # noqa: SIM118  # It is no dict.
            for key in sorted({*stored, *(expected.keys() - set(optional))}):
                if stored.get(key) != expected.get(key):
                    raise DataError(
                        f"{path} does not fit the configuration beside it: {key} is {stored.get(key, 'missing')}; "
                        f"expected {expected.get(key, 'no such array')}."
                    )
            return {key: file.get_tensor(key) for key in sorted(stored)}
    except (OSError, SafetensorError, KeyError, ValueError) as cause:
        if later := retry_error(path, cause):
            raise later from cause
        raise DataError(f"{path} cannot be read: {cause}. Copy the folder again, or train again.") from cause


def _check_header(path: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a header that is much longer than the expected arrays need, because reading it takes memory."""
    most = _HEADER_BYTES + sum(_ARRAY_BYTES + 6 * len(key) for key in expected)
    with open_regular(path) as file:
        size = int.from_bytes(file.read(8), "little")
    if size > most:
        raise ValueError(f"its header claims {size} bytes; expected at most {most}")


def _describe(array: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an array, from the header."""
    return tuple(array.get_shape()), _DTYPES.get(array.get_dtype(), array.get_dtype())
