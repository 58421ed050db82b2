"""Plain tensors by name in a safetensors file."""

from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from latentseq.errors import DataError, unread
from latentseq.storage.atomic import write_bytes
from latentseq.storage.reading import open_regular

_HEADER, _HEADER_A_TENSOR = 1 << 16, 512
"""Bytes of a safetensors header: of all, and of one array beside its name."""


_DTYPES: Mapping[str, str] = MappingProxyType(
    {"BOOL": "bool", "BF16": "bfloat16"}
    | {f"{kind[0].upper()}{bits}": f"{kind}{bits}" for kind in ("int", "uint", "float") for bits in (8, 16, 32, 64)}
)


def save_tensors(tensors: Mapping[str, np.ndarray], path: Path) -> str:
    """Write arrays to a safetensors file; returns its SHA-256. The same arrays give the same bytes."""
    return write_bytes(path, save({k: np.array(tensors[k], order="C") for k in sorted(tensors)}))


def load_tensors(
    path: Path, expected: Mapping[str, tuple[tuple[int, ...], str]], optional: Collection[str] = ()
) -> dict[str, np.ndarray]:
    """Read arrays, each of the shape and dtype that the configuration calls for.

    Args:
        path: a safetensors file.
        expected: shape and dtype by name.
        optional: names among them that a file may lack, because it was written before there were such arrays.

    Raises:
        DataError: unreadable, or other names, shapes or dtypes.
    """
    try:
        _check_header(path, expected)
        with safe_open(path, framework="numpy") as file:
            found = {key: _told(file.get_slice(key)) for key in file.keys()}  # noqa: SIM118  # It is no dict.
            for key in sorted({*found, *(expected.keys() - set(optional))}):
                if found.get(key) != expected.get(key):
                    raise DataError(
                        f"{path} does not fit the configuration beside it: {key} is {found.get(key, 'missing')}; "
                        f"expected {expected.get(key, 'no such array')}."
                    )
            return {key: file.get_tensor(key) for key in sorted(found)}
    except (OSError, SafetensorError, KeyError, ValueError) as cause:
        if later := unread(path, cause):
            raise later from cause
        raise DataError(f"{path} cannot be read: {cause}. Copy the folder again, or train again.") from cause


def _check_header(path: Path, expected: Mapping[str, Any]) -> None:
    """Refuse a header that is far longer than that of the expected arrays: reading it takes memory."""
    most = _HEADER + sum(_HEADER_A_TENSOR + 6 * len(key) for key in expected)
    with open_regular(path) as file:
        size = int.from_bytes(file.read(8), "little")
    if size > most:
        raise ValueError(f"its header says that it is {size} bytes long, expected at most {most}")


def _told(part: Any) -> tuple[tuple[int, ...], str]:
    """Shape and dtype of an array that is not read yet."""
    return tuple(part.get_shape()), _DTYPES.get(part.get_dtype(), part.get_dtype())
