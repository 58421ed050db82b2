"""What array files say of themselves, read so that nothing outside of them is opened and no claim is believed."""

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

from latentseq.errors import DataError, did_you_mean, listed

_HEADER = 16_384
"""Bytes at the start of an array that hold its header; NumPy takes none longer than 10,000."""
_LISTED, _SHOWN = 1000, 20  # Datasets that are looked for, and that a message names, at most.
_PARSING = Lock()  # NumPy parses headers as Python, which CPython 3.11 cannot do in two threads.
_GZIP, _LZF = h5py.h5z.FILTER_DEFLATE, 32000
_PACKERS: Mapping[int, int] = MappingProxyType({_GZIP: 1032, _LZF: 88})
"""Filters that pack, and how many times a byte can grow; szip, nbit and scaleoffset believe what the file claims."""
_OTHER_FILTERS = (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32)
_HARMLESS = 2**30
"""Bytes that a chunk may grow to whatever it claims."""


def header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether in Fortran order, type, and the byte at which the content starts, of an array in .npy format.

    Args:
        file: at its start; no more is read than a header takes.
    """
    # A header can say that it is 4 GB long, and NumPy would read as much as it says.
    start = io.BytesIO(file.read(_HEADER))
    version = np.lib.format.read_magic(start)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    with _PARSING:
        shape, by_column, dtype = read(start)
    return tuple(map(int, shape)), by_column, dtype, start.tell()


def npz_shapes(archive: zipfile.ZipFile, members: dict[str, zipfile.ZipInfo]) -> dict[str, tuple[int, ...]]:
    """What there is."""
    shapes = {}
    for name, member in islice(members.items(), _LISTED):
        with archive.open(member) as file:
            shapes[name] = header(file)[0]
    return shapes


def hdf5_dataset(path: Path, file: Any, key: str | None) -> Any:
    """The dataset, if its values are in this file and nowhere else.

    Args:
        path: the file, for errors.
        file: it, opened by h5py.
        key: the dataset's path inside of it.

    Raises:
        DataError: there is no such dataset, or it leads elsewhere, or goes through filters off the list.
    """
    found = file
    for part in (key or "").encode().split(b"/"):
        # Asked of the link: the group would follow it to see whether there is something, into another file even.
        if not (part and isinstance(found, h5py.Group) and found.id.links.exists(part)):
            raise no_such(path, key, _hdf5_shapes(file))
        if found.id.links.get_info(part).type != h5py.h5l.TYPE_HARD:
            raise _elsewhere(path, key, "a link")
        found = found[part]
    if not isinstance(found, h5py.Dataset):
        raise no_such(path, key, _hdf5_shapes(file))
    if found.external:
        raise _elsewhere(path, key, "stored in other files")
    if found.id.get_create_plist().get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED):
        raise _elsewhere(path, key, "a virtual dataset" if found.is_virtual else "stored in the file's own header")
    made = found.id.get_create_plist()
    filters = [made.get_filter(i)[0] for i in range(made.get_nfilters())]
    if set(filters) - {*_PACKERS, *_OTHER_FILTERS} or sum(each in _PACKERS for each in filters) > 1:
        raise DataError(
            f"{key!r} in {path} goes through the HDF5 filters {filters}; expected gzip or lzf at most once, shuffle "
            "and fletcher32. Others would load code, or unpack without end. Save it again with gzip, or unpacked."
        )
    return found


def check_inflation(path: Path, dataset: Any, lead: Sequence[int], start: int, stop: int) -> None:
    """Refuse chunks that unpack to far more than they claim: HDF5 gives them all the memory they take.

    Args:
        path: the file, for the error.
        dataset: what ``hdf5_dataset`` gave.
        lead: the index before the axis that is sliced.
        start: of the slice that is to be read.
        stop: of the slice.

    Raises:
        DataError: a chunk that would fill the memory.
    """
    made = dataset.id.get_create_plist()
    ratios = [_PACKERS[each] for i in range(made.get_nfilters()) if (each := made.get_filter(i)[0]) in _PACKERS]
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
                f"{path} has a chunk of {stored} bytes that unpacks to more than the {size} bytes it stands for; "
                "expected as many. Save it again in chunks of one picture."
            )


def _hdf5_shapes(file: Any) -> dict[str, tuple[int, ...]]:
    """What there is, without following a link."""
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, item: Any) -> bool | None:
        if isinstance(item, h5py.Dataset) and not item.is_virtual:
            shapes[name] = item.shape or ()
        return True if len(shapes) == _LISTED else None

    file.visititems(note)
    return shapes


def _elsewhere(path: Path, key: str | None, what: str) -> DataError:
    return DataError(
        f"{key!r} in {path} is {what}; expected a dataset whose values are in this file, in one piece or in chunks. "
        "Copy the values into a dataset of their own."
    )


def no_such(path: Path, key: str | None, shapes: dict[str, tuple[int, ...]]) -> DataError:
    """The error that says what can be asked for: names and shapes."""
    shown = [f"{name} {shape}" for name, shape in sorted(shapes.items())[:_SHOWN]]
    asked = (
        f"holds no array {key!r}. {did_you_mean(key, shapes)}" if key else "can hold many arrays, and none is named. "
    )
    return DataError(
        f"{path} {asked}It holds {listed(shown + ['others'] * (len(shapes) > _SHOWN))}. Name it with --array KEY."
    )
