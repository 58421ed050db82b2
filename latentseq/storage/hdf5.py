"""What an HDF5 file of ours holds, without following anything in it that leads elsewhere."""

import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from latentseq.errors import DataError, LatentseqError, unread
from latentseq.storage.reading import open_regular, shown

MAX_ARRAYS = 1000
_AXES = 8


class Stored(NamedTuple):
    """Where an array lies in a file, in one piece; the first axis of ``shape`` are its rows."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype


def stored_arrays(path: Path) -> dict[str, Stored]:
    """The arrays of a file, by name: every one a plain dataset whose values are all in it.

    Nothing is read but headers. Links, groups, external and virtual datasets, filters and chunks are refused, and so
    are values that the file is too small for.

    Args:
        path: the file.

    Raises:
        DataError: it is unreadable, or holds something else.
    """
    try:
        with open_regular(path) as opened:
            size = os.fstat(opened.fileno()).st_size
        with h5py.File(path, "r") as file:
            return {name: _stored(path, file.id, name.encode(), size) for name in _names(path, file.id)}
    except LatentseqError:
        raise
    except Exception as cause:  # HDF5 has its own error for every kind of damage.
        raise unreadable(path, cause) from cause


def unreadable(path: Path, reason: object) -> LatentseqError:
    """The error that says why a shard cannot be read: a DataError, or a TryAgainError where it is not the shard's."""
    return unread(path, reason) or DataError(f"{path} cannot be read: {reason}. Make the folder again.")


def _names(path: Path, root: Any) -> list[str]:
    if root.get_num_objs() > MAX_ARRAYS:
        raise unreadable(path, f"it holds {root.get_num_objs()} arrays, expected at most {MAX_ARRAYS}")
    names: list[str] = []
    root.links.iterate(lambda name: names.append(name.decode()))
    return sorted(names)


def _stored(path: Path, root: Any, name: bytes, size: int) -> Stored:
    told = shown(name.decode())
    if root.links.get_info(name).type != h5py.h5l.TYPE_HARD:
        raise unreadable(path, f"{told} in it is a link, expected an array whose values are in this file")
    if h5py.h5o.get_info(root, name).type != h5py.h5o.TYPE_DATASET:
        raise unreadable(path, f"{told} in it is no array")
    dataset = h5py.h5d.open(root, name)
    made = dataset.get_create_plist()
    if made.get_external_count() or made.get_layout() == h5py.h5d.VIRTUAL:
        raise unreadable(path, f"{told} in it is stored in other files, expected its values in this file")
    dtype, shape = dataset.dtype, tuple(map(int, dataset.shape))
    if dtype.kind not in "buif" or dtype.itemsize > 8 or dtype.subdtype is not None:
        raise unreadable(path, f"{told} in it is of type {shown(str(dtype))}, expected numbers")
    if not 1 <= len(shape) <= _AXES:
        raise unreadable(path, f"{told} in it has {len(shape)} axes, expected 1 to {_AXES}")
    offset = dataset.get_offset()
    if made.get_layout() != h5py.h5d.CONTIGUOUS or made.get_nfilters() or (offset is None and math.prod(shape)):
        raise unreadable(path, f'"{told} in it is not {shape[0]} rows in one piece"')
    offset, needed = offset or 0, math.prod(shape) * dtype.itemsize
    if offset + needed > size or (needed and dataset.get_storage_size() != needed):
        raise unreadable(
            path, f"{told} in it claims {needed} bytes from byte {offset} on, and the file has {size} in all"
        )
    return Stored(offset, shape, dtype)
