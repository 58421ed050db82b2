"""Arrays in NumPy and HDF5 files as footage. They are read picture by picture and never as a whole."""

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

from latentseq.errors import DataError, LatentseqError, retry_error
from latentseq.media.arrayheader import check_inflation, hdf5_dataset, header, no_such, npz_shapes
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture
from latentseq.media.images import Still
from latentseq.media.layout import WHOLE, Layout, layout_of, usual
from latentseq.media.levels import WORD, Levels, check_depth, looked_at, to_bytes
from latentseq.media.preprocessing import check_pixels

ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".h5", ".hdf5"})
MAX_PICTURES = 50_000_000
"""Largest number of pictures in one array: 23 days of video.

A small file can claim any number of pictures, and their times take memory.
"""
_INFLATED = 1032
"""Largest factor by which zlib can expand a byte."""
_BLOCK = 64 * 2**20
"""Bytes of an HDF5 dataset that are kept in memory, because its chunks can only be read as a whole."""
_MAX_CHUNK = 2**30
"""Largest size of an HDF5 chunk in bytes."""


def is_array(path: Path) -> bool:
    """Whether a file has the suffix of an array."""
    return path.suffix.lower() in ARRAY_SUFFIXES


class ArrayFile(Footage):
    """The pictures in an array.

    The axes are recognised from the shape, or named by the user (``media.layout``). A fourth channel is opacity, and
    the picture is put on black. The array holds uint8, uint16, bool or floats; all are converted to 8 bits
    (``media.levels``).

    Attributes:
        key: path of the dataset inside the file; None for .npy, which holds only one array.
        layout: axes of the array.
    """

    kind = "array"

    def __init__(
        self, path: Path, key: str | None = None, axes: str | None = None, levels: Levels | None = None
    ) -> None:
        """Read the header; for 16 bits, also check the values of a few pictures.

        Args:
            path: path of the file.
            key: name of the dataset in an .npz or HDF5 file; ignored for .npy.
            axes: one letter for each axis; None to recognise the axes from the shape.
            levels: values of black and white for types other than uint8 and bool; by default 0..65535 for uint16 and
                0..1 for floats.

        Raises:
            DataError: the file cannot be read as an array or has no such dataset, its shape or type is not that of
                pictures, or the meaning of its axes or values is ambiguous.
        """
        self.path = path
        self.key = None if key is None or path.suffix.lower() == ".npy" else key.strip("/")
        self._name = str(path) if self.key is None else f"{self.key!r} in {path}"
        self._source: _Source | None = None
        source = self._open()
        try:
            self._shape = source.shape
            self._dtype = source.dtype
            self.layout = self._layout(axes)
            self._check_pieces(source)
            with _reading(path):
                source.check(self._name)
        finally:
            source.close()
        wide = self._dtype.kind == "u" and self._dtype.itemsize == 2
        self._levels = levels if wide or self._dtype.kind == "f" else None
        self.size = self.layout.picture[:2]
        self.gray = self.layout.picture[2] == 1
        self.detail = str(self._dtype)
        self.reading = self.layout.describe()
        count, frames = self.layout.pictures, self.layout.frames
        self.times = np.arange(count) / DEFAULT_FPS
        self.end = count / DEFAULT_FPS
        self.breaks = np.arange(frames, count, frames, dtype=np.int64)
        if wide:
            self._check_depth(count)
        if self._levels or wide:
            self.reading += f", values {self._levels or WORD} from black to white"

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``; floats out of range raise an error in ``Picture.frame``.

        Raises:
            DataError: the file is damaged, has changed, or can no longer be read.
        """
        for number, same in groupby(numbers.tolist()):
            picture = Still(partial(self._eight_bit, number, self._row(number)))
            for _ in same:
                yield picture

    def digest(self) -> str:
        """See ``Footage.digest``; it also depends on the dataset in the file, its axes and its range."""
        parts = [self.key] if self.key is not None else []
        parts += [self.layout.axes] if self.layout.axes != usual(self._shape) else []
        parts += [f"range {self._levels}"] if self._levels else []
        whole = super().digest()
        return hashlib.sha256(" ".join([whole, *parts]).encode()).hexdigest() if parts else whole

    def another(self) -> Self:
        """See ``Footage.another``."""
        other = super().another()
        other._source = None
        return other

    def close(self) -> None:
        """Close the file; the next ``walk`` opens it again."""
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

    def _layout(self, axes: str | None) -> Layout:
        """Determine the layout.

        Raises:
            DataError: the type or the shape is not that of pictures.
        """
        shape, dtype = self._shape, self._dtype
        if not (dtype.kind == "b" or (dtype.kind == "u" and dtype.itemsize <= 2) or dtype.kind == "f"):
            raise DataError(
                f"{self._name} is of type {dtype}; expected uint8, uint16, bool, or floats from 0 to 1. "
                "Convert it and save it again."
            )
        if min(shape, default=1) < 1:
            raise DataError(
                f"{self._name} has the shape {shape}, so it holds no values; expected no axis of length 0. "
                "Save it again with at least one picture."
            )
        layout = layout_of(shape, axes, self._name)
        if layout.pictures > MAX_PICTURES:
            raise DataError(
                f"{self._name} has the shape {layout.describe()}; expected at most {MAX_PICTURES} pictures. Save it "
                "again as several files."
            )
        check_pixels(self.path, *layout.picture[:2])
        return layout

    def _check_pieces(self, source: "_Source") -> None:
        """Refuse arrays that would have to be unpacked again for every picture.

        Raises:
            DataError: the pictures of a clip are scattered over a file that can only be read from start to end.
        """
        if (self.layout.in_pieces and not isinstance(source, _Npy)) or (source.packed and not self.layout.in_order):
            raise DataError(
                f"{self._name} has the axes {' '.join(self.layout.axes)}, in which the pictures of a clip are "
                "scattered over a file that can only be read from start to end; expected T H W or N T H W, with "
                "channels last or before H. Save the array as .npy, which can be read in any order."
            )

    def _check_depth(self, count: int) -> None:
        """Refuse pictures of 16 bits that would become black.

        Raises:
            DataError: no range is set, and no picture that was checked has values of more than 14 bits.
        """
        if self._levels is None:
            numbers = looked_at(count)
            most = max(int(self._row(number).max()) for number in numbers.tolist())
            self.close()
            check_depth(most, len(numbers), self._name)

    def _row(self, number: int) -> np.ndarray:
        """Read a picture as (h, w, c) in the type of the array."""
        if self._source is None:
            source = self._open()
            if (source.shape, source.dtype) != (self._shape, self._dtype):
                source.close()
                raise DataError(
                    f"{self._name} has changed: it was {self._dtype} of shape {self._shape} when it was opened, and "
                    f"is now {source.dtype} of shape {source.shape}. Open it again."
                )
            self._source = source
        try:
            with _reading(self.path):
                picture = self._source.read(self.layout.at(number), ahead=self.layout.in_order)
                return picture.transpose(self.layout.order).reshape(self.layout.picture)
        except DataError:
            self.close()  # After an error, the position in the stream is unknown.
            raise

    def _eight_bit(self, number: int, row: np.ndarray) -> np.ndarray:
        """Convert a picture (h, w, c) to uint8."""
        return to_bytes(row, self._levels, f"Picture {number} of {self._name}")


class _Source(ABC):
    """An array in a file whose header has been read.

    Attributes:
        shape: shape in the header.
        dtype: type in the header.
        packed: whether the array can only be read from its start.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    packed: bool = False
    _files: ExitStack

    @abstractmethod
    def check(self, name: str) -> None:
        """Check that the array is complete; ``name`` is for error messages.

        Raises:
            DataError: the array is cut short, or a part of it was never written.
        """

    def read(self, index: tuple[int | slice, ...], *, ahead: bool) -> np.ndarray:
        """Read a picture; damage may raise any kind of exception.

        Args:
            index: a number or ``WHOLE`` for each axis. Planes of a picture that are not stored together are read one
                by one.
            ahead: whether the pictures are likely to be read in the order in which they are stored.
        """
        first = index.index(WHOLE)
        if all(each == WHOLE for each in index[first:]):
            return self.row(index[:first], ahead=ahead)  # type: ignore[arg-type]
        planes = ((*index[:first], i, *index[first + 1 :]) for i in range(self.shape[first]))
        return np.stack([self.read(plane, ahead=ahead) for plane in planes])

    @abstractmethod
    def row(self, index: Sequence[int], *, ahead: bool) -> np.ndarray:
        """Read the part of the array at an index of its first axes; see ``read``."""

    def close(self) -> None:
        """Close the file."""
        self._files.close()

    def _check_bytes(self, name: str, available: int) -> None:
        needed = math.prod(self.shape) * self.dtype.itemsize
        if available < needed:
            raise DataError(
                f"{name} is cut short: {self.dtype} of shape {self.shape} takes {needed} bytes, and at most "
                f"{max(0, available)} are there. Copy or save the file again."
            )


class _Npy(_Source):
    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = ExitStack()
        self._array: np.ndarray | None = None
        with path.open("rb") as file:
            self.shape, self._by_column, self.dtype, self._offset = header(file)

    def check(self, name: str) -> None:
        self._check_bytes(name, self._path.stat().st_size - self._offset)

    def read(self, index: tuple[int | slice, ...], *, ahead: bool) -> np.ndarray:
        return self.row(index, ahead=ahead)

    def row(self, index: Sequence[int | slice], *, ahead: bool) -> np.ndarray:
        if self._array is None:
            mapped = np.memmap(self._path, self.dtype, "r", self._offset, self.shape, "F" if self._by_column else "C")
            self._array = np.asarray(mapped)  # Slicing np.memmap takes longer than copying its slices.
        return self._array[tuple(index)].copy()


class _Npz(_Source):
    def __init__(self, path: Path, key: str | None) -> None:
        with ExitStack() as stack:
            archive = stack.enter_context(zipfile.ZipFile(path))
            members = {m.filename[:-4]: m for m in archive.infolist() if m.filename.endswith(".npy")}
            if key not in members:
                raise no_such(path, key, npz_shapes(archive, members))
            member = members[key]
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise DataError(
                    f"{key!r} in {path} is compressed with a method that NumPy does not use; expected stored or "
                    "deflated data. Save it again with numpy.savez or numpy.savez_compressed."
                )
            self._stream = stack.enter_context(archive.open(member))
            self.shape, by_column, self.dtype, self._offset = header(self._stream)
            if by_column:
                raise DataError(
                    f"{key!r} in {path} is in Fortran order, in which a picture is scattered over the whole array; "
                    "expected C order. Convert it with numpy.ascontiguousarray and save it again."
                )
            self.packed = member.compress_type == zipfile.ZIP_DEFLATED
            # The header can claim any size, so the size of the file sets a limit.
            limit = min(member.compress_size, path.stat().st_size) * (_INFLATED if self.packed else 1)
            self._available = min(member.file_size, limit) - self._offset
            self._files = stack.pop_all()

    def check(self, name: str) -> None:
        self._check_bytes(name, self._available)

    def row(self, index: Sequence[int], *, ahead: bool) -> np.ndarray:
        shape = self.shape[len(index) :]
        size = math.prod(shape) * self.dtype.itemsize
        number = int(np.ravel_multi_index(tuple(index), self.shape[: len(index)])) if index else 0
        self._stream.seek(self._offset + number * size)
        data = self._stream.read(size)
        if len(data) < size:
            raise EOFError
        return np.frombuffer(data, self.dtype).reshape(shape)


class _Hdf5(_Source):
    def __init__(self, path: Path, key: str | None) -> None:
        with ExitStack() as stack:
            file = stack.enter_context(h5py.File(path, "r", rdcc_nbytes=_BLOCK))
            self._dataset = hdf5_dataset(path, file, key)
            self.shape = self._dataset.shape or ()
            self.dtype = self._dataset.dtype
            self._path = path
            self._block = np.empty(0)
            self._start: tuple[int, ...] = ()
            self._files = stack.pop_all()

    def check(self, name: str) -> None:
        stored, chunks = self._dataset.id.get_storage_size(), self._dataset.chunks
        if chunks is None:
            self._check_bytes(name, min(stored, self._path.stat().st_size))
            return
        size = math.prod(chunks) * self.dtype.itemsize
        if size > _MAX_CHUNK:
            raise DataError(
                f"{name} has chunks of shape {chunks}, {size} bytes each; expected at most {_MAX_CHUNK} bytes, "
                "because a chunk can only be read as a whole. Save it again in chunks of one picture."
            )
        needed = math.prod(-(-side // chunk) for side, chunk in zip(self.shape, chunks, strict=True))
        written = self._dataset.id.get_num_chunks()
        if written < needed:
            raise DataError(
                f"{name} is incomplete: {written} of its {needed} chunks were written. Write the missing pictures, "
                "or save only those that exist."
            )

    def row(self, index: Sequence[int], *, ahead: bool) -> np.ndarray:
        if not index:  # The array is a single picture.
            check_inflation(self._path, self._dataset, (), 0, self.shape[0])
            return self._dataset[...]
        *clip, frame = index
        rows = self._rows_at_once(len(clip)) if ahead else 1
        start = (*clip, frame - frame % rows)
        if start != self._start:
            check_inflation(self._path, self._dataset, clip, start[-1], start[-1] + rows)
            self._block = self._dataset[(*clip, slice(start[-1], start[-1] + rows))]
            self._start = start
        return self._block[frame - start[-1]].copy()  # A view would keep the whole block in memory.

    def _rows_at_once(self, axis: int) -> int:
        """Number of rows to read together, because chunks are unpacked as a whole, and few large reads are faster."""
        chunks, size = self._dataset.chunks, math.prod(self.shape[axis + 1 :]) * self.dtype.itemsize
        return max(1, min(chunks[axis] if chunks else 2**20 // size, _BLOCK // size))


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Raise DataError for damaged files, for which NumPy, zipfile and HDF5 raise exceptions of any kind."""
    try:
        yield
    except LatentseqError:
        raise
    except Exception as cause:
        text = str(cause).strip() or ("its end is missing" if isinstance(cause, EOFError) else type(cause).__name__)
        reason = shorten(text.splitlines()[0].rstrip("."), 200, placeholder=" ...")  # Some messages quote the file.
        raise retry_error(path, cause) or DataError(
            f"{path} cannot be read as an array: {reason}. Expected a NumPy file (.npy, .npz) or an HDF5 file (.h5, "
            ".hdf5) that is whole; copy or save it again."
        ) from cause
