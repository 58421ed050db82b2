"""Safe reading of the headers of an HDF5 file: links, filters and external data are refused."""

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from latentseq.errors import DataError, LatentseqError, retry_error
from latentseq.storage.reading import open_regular, quote

MAX_ARRAYS = 1000
"""Maximum number of arrays in a file."""
_AXES = 8
"""Maximum number of axes of an array."""


class StoredArray(NamedTuple):
    """The place of an array in a file.

    Attributes:
        offset: position of the first value in the file, in bytes. The values are contiguous.
        shape: (rows, ...).
        dtype: type of the values.
    """

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


def stored_arrays(path: Path) -> dict[str, StoredArray]:
    """Find the arrays of a file, by name. Only headers are read.

    Each array must be a plain dataset whose values are contiguous and in this file. Links, groups, external and
    virtual datasets, filters and chunks are refused, and so are arrays that are larger than the file.

    Args:
        path: the file.

    Raises:
        DataError: the file is unreadable, or holds something else.
        TryAgainError: the file cannot be read now.
    """
    try:
        with open_regular(path) as opened:
            size = os.fstat(opened.fileno()).st_size
        with h5py.File(path, "r") as file:
            return {name: _stored(path, file.id, name.encode(), size) for name in _names(path, file.id)}
    except LatentseqError:
        raise
    except Exception as cause:  # HDF5 raises many types of errors for damaged files.
        raise unreadable(path, cause) from cause


def unreadable(path: Path, reason: object) -> LatentseqError:
    """The error to raise for a shard that cannot be read; a TryAgainError if the shard is not to blame."""
    return retry_error(path, reason) or DataError(f"{path} cannot be read: {reason}. Make the folder again.")


def _names(path: Path, root: Any) -> list[str]:
    if root.get_num_objs() > MAX_ARRAYS:
        raise unreadable(path, f"it holds {root.get_num_objs()} arrays; expected at most {MAX_ARRAYS}")
    names: list[str] = []
    root.links.iterate(lambda name: names.append(name.decode()))
    return sorted(names)


def _stored(path: Path, root: Any, name: bytes, size: int) -> StoredArray:
    label = quote(name.decode())
    if root.links.get_info(name).type != h5py.h5l.TYPE_HARD:
        raise unreadable(path, f"{label} is a link; expected an array whose values are in this file")
    if h5py.h5o.get_info(root, name).type != h5py.h5o.TYPE_DATASET:
        raise unreadable(path, f"{label} is no array")
    dataset = h5py.h5d.open(root, name)
    layout = dataset.get_create_plist()
    if layout.get_external_count() or layout.get_layout() == h5py.h5d.VIRTUAL:
        raise unreadable(path, f"{label} is stored in other files; expected its values in this file")
    dtype, shape = dataset.dtype, tuple(map(int, dataset.shape))
    if dtype.kind not in "buif" or dtype.itemsize > 8 or dtype.subdtype is not None:
        raise unreadable(path, f"{label} has type {quote(str(dtype))}; expected numbers")
    if not 1 <= len(shape) <= _AXES:
        raise unreadable(path, f"{label} has {len(shape)} axes; expected 1 to {_AXES}")
    offset = dataset.get_offset()
    if layout.get_layout() != h5py.h5d.CONTIGUOUS or layout.get_nfilters() or (offset is None and math.prod(shape)):
        raise unreadable(path, f"{label} is not stored as one block of {shape[0]} rows")
    offset, needed = offset or 0, math.prod(shape) * dtype.itemsize
    if offset + needed > size or (needed and dataset.get_storage_size() != needed):
        raise unreadable(
            path, f"{label} claims {needed} bytes from byte {offset} on, but the file has only {size} bytes"
        )
    return StoredArray(offset, shape, dtype)
