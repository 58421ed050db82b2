"""Headers of array files, read safely: no other file is opened, and no claim of a header is trusted."""

import io
import math
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import IO, Any

import h5py
import numpy as np

from latentseq.errors import DataError, did_you_mean, join_names

_HEADER = 16_384
"""Number of bytes to read for the header of an array; NumPy accepts at most 10,000."""
_LISTED, _SHOWN = 1000, 20
"""Maximum number of datasets that are listed, and that an error message names."""
_PARSING = Lock()  # NumPy parses headers as Python source, which CPython 3.11 cannot do in two threads at once.
_GZIP, _LZF = h5py.h5z.FILTER_DEFLATE, 32000
_PACKERS: Mapping[int, int] = MappingProxyType({_GZIP: 1032, _LZF: 88})
"""Compressing filters that are accepted, and the factor by which each can expand a byte.

szip, nbit and scaleoffset are left out, because they trust the sizes that the file claims.
"""
_OTHER_FILTERS = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
"""Filters that are accepted and do not compress."""
_HARMLESS = 2**30
"""Number of bytes that a chunk may always expand to."""


def header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Read the header of an array in .npy format.

    Args:
        file: file at its start; no more bytes are read than a header can take.

    Returns:
        The shape, whether the array is in Fortran order, its type, and the byte at which its content starts.
    """
    # A header can claim that it is 4 GB long, and NumPy would read all of that.
    start = io.BytesIO(file.read(_HEADER))
    version = np.lib.format.read_magic(start)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with _PARSING:
        shape, by_column, dtype = read(start)
    return tuple(map(int, shape)), by_column, dtype, start.tell()


def npz_shapes(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> dict[str, tuple[int, ...]]:
    """Shapes of the arrays in an .npz file by name, at most ``_LISTED``."""
    shapes = {}
    for name, member in islice(members.items(), _LISTED):
        with archive.open(member) as file:
            shapes[name] = header(file)[0]
    return shapes


def hdf5_dataset(path: Path, file: Any, key: str | None) -> Any:
    """Look up a dataset whose values are in this file and nowhere else.

    Args:
        path: path of the file for error messages.
        file: the file, opened by h5py.
        key: path of the dataset inside the file.

    Raises:
        DataError: there is no such dataset, its values are elsewhere, or it uses a filter that is not accepted.
    """
    item = file
    for part in (key or "").encode().split(b"/"):
        # Look at the links themselves, because a group would follow them, even into another file.
        if not (part and isinstance(item, h5py.Group) and item.id.links.exists(part)):
            raise no_such(path, key, _hdf5_shapes(file))
        if item.id.links.get_info(part).type != h5py.h5l.TYPE_HARD:
            raise _elsewhere(path, key, "a link")
        item = item[part]
    if not isinstance(item, h5py.Dataset):
        raise no_such(path, key, _hdf5_shapes(file))
    if item.external:
        raise _elsewhere(path, key, "stored in other files")
    properties = item.id.get_create_plist()
    if properties.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise _elsewhere(path, key, "a virtual dataset" if item.is_virtual else "stored in the file's own header")
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    if set(filters) - {*_PACKERS, *_OTHER_FILTERS} or sum(each in _PACKERS for each in filters) > 1:
        raise DataError(
            f"{key!r} in {path} goes through the HDF5 filters {filters}; expected gzip or lzf at most once, shuffle "
            "and fletcher32. Others could load code or fill the memory. Save it again with gzip, or uncompressed."
        )
    return item


def check_inflation(path: Path, dataset: Any, lead: Sequence[int], start: int, stop: int) -> None:
    """Refuse chunks that expand to far more than they claim, because HDF5 allocates whatever they need.

    Args:
        path: path of the file for error messages.
        dataset: dataset that ``hdf5_dataset`` returned.
        lead: index of the axes before the axis that is sliced.
        start: first row of the slice to be read.
        stop: row after the slice.

    Raises:
        DataError: a chunk would fill the memory.
    """
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(i)[0] for i in range(properties.get_nfilters())]
    ratios = [_PACKERS[each] for each in filters if each in _PACKERS]
    if not ratios:
        return
    chunks, axis = dataset.chunks, len(lead)
    firsts: list[Sequence[int]] = [[i - i % side] for i, side in zip(lead, chunks, strict=False)]
    firsts.append(range(start - start % chunks[axis], min(stop, dataset.shape[axis]), chunks[axis]))
    rest = zip(dataset.shape[axis + 1 :], chunks[axis + 1 :], strict=True)
    firsts += [range(0, side, chunk) for side, chunk in rest]
    size = math.prod(chunks) * dataset.dtype.itemsize
    for at in product(*firsts):
        stored = dataset.id.get_chunk_info_by_coord(at).size
        if stored * ratios[0] <= _HARMLESS:
            continue
        packed = dataset.id.read_direct_chunk(at)[1] if ratios[0] == _PACKERS[_GZIP] else b""
        if not packed or len(zlib.decompressobj().decompress(packed, size + 5)) > size + 4:
            raise DataError(
                f"{path} has a chunk of {stored} bytes that expands to more than the {size} bytes of its shape. "
                "Save it again in chunks of one picture."
            )


def _hdf5_shapes(file: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the datasets in an HDF5 file by path, at most ``_LISTED``; links are not followed."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset) and not item.is_virtual:
            shapes[name] = item.shape or ()
        return True if len(shapes) == _LISTED else None

    file.visititems(note)
    return shapes


def _elsewhere(path: Path, key: str | None, what: str) -> DataError:
    """The error for a dataset whose values are not in the file itself."""
    return DataError(
        f"{key!r} in {path} is {what}; expected a dataset whose values are in this file, in one piece or in chunks. "
        "Copy the values into a dataset of their own."
    )


def no_such(path: Path, key: str | None, shapes: dict[str, tuple[int, ...]]) -> DataError:
    """The error for a name that is missing or unknown. It lists the names and shapes of the arrays in the file."""
    names = [f"{name} {shape}" for name, shape in sorted(shapes.items())[:_SHOWN]]
    problem = (
        f"holds no array {key!r}. {did_you_mean(key, shapes)}" if key else "can hold many arrays, and none is named. "
    )
    return DataError(
        f"{path} {problem}It holds {join_names(names + ['others'] * (len(shapes) > _SHOWN))}. "
        "Name one with --array KEY."
    )
