"""Arrays in NumPy and HDF5 files as footage, read row by row and never whole."""

import hashlib
import math
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby
from pathlib import Path
from textwrap import shorten
from typing import Self

import h5py
import numpy as np

from latentseq.errors import DataError, LatentseqError, unread
from latentseq.media.arrayheader import check_inflation, hdf5_dataset, header, no_such, npz_shapes
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture
from latentseq.media.images import Still
from latentseq.media.preprocessing import check_pixels

ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".h5", ".hdf5"})
MAX_PICTURES = 50_000_000
"""Of one array: 23 days of video. A small file can claim any number, and their times take memory."""
_CHANNELS = (1, 3, 4)
_INFLATED = 1032
"""Times a byte can grow where zlib unpacks it."""
_BLOCK = 64 * 2**20  # Bytes of an HDF5 dataset that are kept, because its chunks can only be read whole.
_MAX_CHUNK = 2**30


def is_array(path: Path) -> bool:
    """Whether a file's suffix is that of an array."""
    return path.suffix.lower() in ARRAY_SUFFIXES


class ArrayFile(Footage):
    """The pictures in an array.

    Its axes are (frames, h, w), (frames, h, w, c), (clips, frames, h, w) or (clips, frames, h, w, c), where c is 1,
    3, or 4 with alpha, which is shown on black; four axes that end in 1, 3 or 4 are (frames, h, w, c). Its type is
    uint8, uint16, bool, or floats in [0, 1]; all become 8 bits.

    Attributes:
        key: the dataset's path inside the file; None for .npy, which holds one.
    """

    kind = "array"

    def __init__(self, path: Path, key: str | None = None) -> None:
        """Read the header.

        Args:
            path: the file.
            key: which dataset of an .npz or HDF5 file; of no meaning for .npy.

        Raises:
            DataError: it cannot be read as an array, has no such dataset, or has not this shape and type.
        """
        self.path = path
        self.key = None if key is None or path.suffix.lower() == ".npy" else key.strip("/")
        self._name = str(path) if self.key is None else f"{self.key!r} in {path}"
        self._source: _Source | None = None
        source = self._open()
        try:
            shape, dtype = self._shape, self._dtype = source.shape, source.dtype
            self._lead, picture = self._layout(shape, dtype)
            with _reading(path):
                source.check(self._name)
        finally:
            source.close()
        self._picture = picture
        self.size, self.gray, self.detail = picture[:2], picture[2] == 1, str(dtype)
        count, self._frames = math.prod(shape[: self._lead]), shape[self._lead - 1]
        self.times = np.arange(count) / DEFAULT_FPS
        self.end = count / DEFAULT_FPS
        self.breaks = np.arange(self._frames, count, self._frames, dtype=np.int64)

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``; floats out of range are found when their picture is asked for its frame.

        Raises:
            DataError: the file is damaged there, has changed, or cannot be read any more.
        """
        for number, same in groupby(numbers.tolist()):
            picture = Still(partial(self._eight_bit, number, self._row(number)))
            for _ in same:
                yield picture

    def digest(self) -> str:
        """See ``Footage.digest``; two datasets of one file differ."""
        whole = super().digest()
        return whole if self.key is None else hashlib.sha256(f"{whole} {self.key}".encode()).hexdigest()

    def another(self) -> Self:
        """See ``Footage.another``."""
        other = super().another()
        other._source = None
        return other

    def close(self) -> None:
        """Give the file back; the next ``walk`` opens it again."""
        if self._source is not None:
            self._source.close()
        self._source = None

    def _open(self) -> "_Source":
        if not self.path.is_file():
            raise DataError(f"{self.path} cannot be read as an array: expected a regular file. Check the path.")
        with _reading(self.path):
            match self.path.suffix.lower():
                case ".npy":
                    return _Npy(self.path)
                case ".npz":
                    return _Npz(self.path, self.key)
                case _:
                    return _Hdf5(self.path, self.key)

    def _layout(self, shape: tuple[int, ...], dtype: np.dtype) -> tuple[int, tuple[int, int, int]]:
        """How many axes stand before a picture's own, and its (h, w, c)."""
        if not (dtype.kind == "b" or (dtype.kind == "u" and dtype.itemsize <= 2) or dtype.kind == "f"):
            raise DataError(
                f"{self._name} is of type {dtype}; expected uint8, uint16, bool, or floats from 0 to 1. "
                "Convert it and save it again."
            )
        coloured = len(shape) in (4, 5) and shape[-1] in _CHANNELS
        lead = len(shape) - (3 if coloured else 2)
        if lead not in (1, 2):
            raise DataError(
                f"{self._name} has the shape {shape}; expected (frames, height, width), (clips, frames, height, "
                "width), or one of them with 1, 3 or 4 channels at the end. Reshape it and save it again."
            )
        if min(shape) < 1 or math.prod(shape[:lead]) > MAX_PICTURES:
            raise DataError(
                f"{self._name} has the shape {shape}, {math.prod(shape[:lead])} pictures of {shape[lead:]}; expected "
                f"1 to {MAX_PICTURES}, none of them empty. Save it again with some, or as several files."
            )
        check_pixels(self.path, *shape[lead : lead + 2])
        return lead, (*shape[lead : lead + 2], shape[-1] if coloured else 1)  # type: ignore[return-value]

    def _row(self, number: int) -> np.ndarray:
        """(h, w, c) of the array's own type."""
        if self._source is None:
            source = self._open()
            if (source.shape, source.dtype) != (self._shape, self._dtype):
                source.close()
                raise DataError(
                    f"{self._name} was {self._dtype} of shape {self._shape} when it was opened, and is now "
                    f"{source.dtype} of {source.shape}; expected it to stay as it was. Open it again."
                )
            self._source = source
        try:
            with _reading(self.path):
                index = divmod(number, self._frames) if self._lead == 2 else (number,)
                return self._source.row(index).reshape(self._picture)
        except DataError:
            self.close()  # A stream that failed does not know any more where it is.
            raise

    def _eight_bit(self, number: int, row: np.ndarray) -> np.ndarray:
        """(h, w, c) uint8 of a row."""
        if row.dtype == np.uint8:
            return row
        if row.dtype.kind == "b":
            return row.astype(np.uint8) * np.uint8(255)
        if row.dtype.kind == "u":
            return ((row.astype(np.uint32) + 128) // 257).astype(np.uint8)
        low, high = row.min(), row.max()
        if not (low >= 0 and high <= 1):  # Not the other way round, which would let NaN pass.
            raise DataError(
                f"Picture {number} of {self._name} has values from {low:.6g} to {high:.6g}; expected floats from 0 "
                "to 1. Scale the array, or save it as uint8."
            )
        return np.rint(row.astype(np.result_type(row.dtype, np.float32)) * 255).astype(np.uint8)


class _Source(ABC):
    """An array in a file, of which the header is read.

    Attributes:
        shape: as the header says.
        dtype: as the header says.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    _files: ExitStack

    @abstractmethod
    def check(self, name: str) -> None:
        """Raise DataError where the array is cut short, or a part of it was never written."""

    @abstractmethod
    def row(self, index: Sequence[int]) -> np.ndarray:
        """The picture at (frame,) or (clip, frame); what is raised for damage may be of any kind."""

    def close(self) -> None:
        """Give the file back."""
        self._files.close()

    def _check_bytes(self, name: str, there: int) -> None:
        needed = math.prod(self.shape) * self.dtype.itemsize
        if there < needed:
            raise DataError(
                f"{name} is cut short: {self.dtype} of shape {self.shape} takes {needed} bytes, and at most "
                f"{max(0, there)} are there. Copy or save the file again."
            )


class _Npy(_Source):
    def __init__(self, path: Path) -> None:
        self._path, self._files = path, ExitStack()
        self._array: np.ndarray | None = None
        with path.open("rb") as file:
            self.shape, self._by_column, self.dtype, self._offset = header(file)

    def check(self, name: str) -> None:
        self._check_bytes(name, self._path.stat().st_size - self._offset)

    def row(self, index: Sequence[int]) -> np.ndarray:
        if self._array is None:
            mapped = np.memmap(self._path, self.dtype, "r", self._offset, self.shape, "F" if self._by_column else "C")
            self._array = np.asarray(mapped)  # Slices of NumPy's subclass take longer than their copies.
        return self._array[tuple(index)].copy()


class _Npz(_Source):
    def __init__(self, path: Path, key: str | None) -> None:
        with ExitStack() as opened:
            archive = opened.enter_context(zipfile.ZipFile(path))
            members = {m.filename[:-4]: m for m in archive.infolist() if m.filename.endswith(".npy")}
            if key not in members:
                raise no_such(path, key, npz_shapes(archive, members))
            member = members[key]
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(
                    f"{key!r} in {path} is compressed in a way that NumPy does not use; expected it stored or "
                    "deflated. Save it again with numpy.savez or numpy.savez_compressed."
                )
            self._stream = opened.enter_context(archive.open(member))
            self.shape, by_column, self.dtype, self._offset = header(self._stream)
            if by_column:
                raise DataError(
                    f"{key!r} in {path} is in Fortran order, in which a picture is scattered over the whole array; "
                    "expected C order. Save numpy.ascontiguousarray of it."
                )
            packed = min(member.compress_size, path.stat().st_size)
            grown = packed * (_INFLATED if member.compress_type == zipfile.ZIP_DEFLATED else 1)
            self._there = min(member.file_size, grown) - self._offset
            self._files = opened.pop_all()

    def check(self, name: str) -> None:
        self._check_bytes(name, self._there)

    def row(self, index: Sequence[int]) -> np.ndarray:
        shape = self.shape[len(index) :]
        size = math.prod(shape) * self.dtype.itemsize
        number = int(np.ravel_multi_index(tuple(index), self.shape[: len(index)]))
        self._stream.seek(self._offset + number * size)
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        return np.frombuffer(data, self.dtype).reshape(shape)


class _Hdf5(_Source):
    def __init__(self, path: Path, key: str | None) -> None:
        with ExitStack() as opened:
            file = opened.enter_context(h5py.File(path, "r", rdcc_nbytes=_BLOCK))
            self._dataset = hdf5_dataset(path, file, key)
            self.shape, self.dtype = self._dataset.shape or (), self._dataset.dtype
            self._path, self._block = path, np.empty(0)
            self._start: tuple[int, ...] = ()
            self._files = opened.pop_all()

    def check(self, name: str) -> None:
        stored, chunks = self._dataset.id.get_storage_size(), self._dataset.chunks
        if chunks is None:
            self._check_bytes(name, min(stored, self._path.stat().st_size))
            return
        size = math.prod(chunks) * self.dtype.itemsize
        if size > _MAX_CHUNK:
            raise DataError(
                f"{name} has chunks of {chunks}, {size} bytes each; expected at most {_MAX_CHUNK}, for each is read "
                "whole. Save it again in chunks of one picture."
            )
        needed = math.prod(-(-side // chunk) for side, chunk in zip(self.shape, chunks, strict=True))
        written = self._dataset.id.get_num_chunks()
        if written < needed:
            raise DataError(
                f"{name} is not all there: {written} of its {needed} chunks were written. Write it to the end, or "
                "save only the pictures that there are."
            )

    def row(self, index: Sequence[int]) -> np.ndarray:
        *clip, frame = index
        rows = self._rows_at_once(len(clip))
        start = (*clip, frame - frame % rows)
        if start != self._start:
            check_inflation(self._path, self._dataset, clip, start[-1], start[-1] + rows)
            self._block = self._dataset[(*clip, slice(start[-1], start[-1] + rows))]
            self._start = start
        return self._block[frame - start[-1]].copy()  # One picture that is kept shall not keep them all.

    def _rows_at_once(self, axis: int) -> int:
        """Rows that are read together: a chunk can only be unpacked whole, and a read costs more than its bytes."""
        chunks, size = self._dataset.chunks, math.prod(self.shape[axis + 1 :]) * self.dtype.itemsize
        return max(1, min(chunks[axis] if chunks else 2**20 // size, _BLOCK // size))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise DataError for what NumPy, zipfile and HDF5 raise on damaged files: it is of any kind, listed nowhere."""
    try:
        yield
    except LatentseqError:
        raise
    except Exception as cause:
        said = str(cause).strip() or ("its end is missing" if isinstance(cause, EOFError) else type(cause).__name__)
        reason = shorten(said.splitlines()[0].rstrip("."), 200, placeholder=" ...")  # Some quote the file itself.
        raise unread(path, cause) or DataError(
            f"{path} cannot be read as an array: {reason}. Expected a NumPy file (.npy, .npz) or an HDF5 file (.h5, "
            ".hdf5) that is whole; copy or save it again."
        ) from cause
