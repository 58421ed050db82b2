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
from latentseq.media.layout import WHOLE, Layout, layout_of, usual
from latentseq.media.levels import WORD, Levels, check_depth, looked_at, to_bytes
from latentseq.media.preprocessing import check_pixels

ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".h5", ".hdf5"})
MAX_PICTURES = 50_000_000
"""Of one array: 23 days of video. A small file can claim any number, and their times take memory."""
_INFLATED = 1032
"""Times a byte can grow where zlib unpacks it."""
_BLOCK = 64 * 2**20  # Bytes of an HDF5 dataset that are kept, because its chunks can only be read whole.
_MAX_CHUNK = 2**30


def is_array(path: Path) -> bool:
    """Whether a file's suffix is that of an array."""
    return path.suffix.lower() in ARRAY_SUFFIXES


class ArrayFile(Footage):
    """The pictures in an array.

    Which axis is what is recognised from the shape, or said by the user (``media.layout``); a fourth channel is
    alpha, which is shown on black. Its type is uint8, uint16, bool, or floats; all become 8 bits (``media.levels``).

    Attributes:
        key: the dataset's path inside the file; None for .npy, which holds one.
        layout: its axes.
    """

    kind = "array"

    def __init__(
        self, path: Path, key: str | None = None, axes: str | None = None, levels: Levels | None = None
    ) -> None:
        """Read the header, and of 16 bits a few pictures.

        Args:
            path: the file.
            key: which dataset of an .npz or HDF5 file; of no meaning for .npy.
            axes: a letter for each axis; recognised from the shape where None.
            levels: the values of black and white of what is not of 8 bits; 0..65535 for uint16, and 0..1 for floats,
                where None.

        Raises:
            DataError: it cannot be read as an array, has no such dataset, has not this shape and type, or its axes
                or its values can be meant in more than one way.
        """
        self.path = path
        self.key = None if key is None or path.suffix.lower() == ".npy" else key.strip("/")
        self._name = str(path) if self.key is None else f"{self.key!r} in {path}"
        self._source: _Source | None = None
        source = self._open()
        try:
            self._shape, self._dtype = source.shape, source.dtype
            self.layout = self._layout(axes)
            self._check_pieces(source)
            with _reading(path):
                source.check(self._name)
        finally:
            source.close()
        wide = self._dtype.kind == "u" and self._dtype.itemsize == 2
        self._levels = levels if wide or self._dtype.kind == "f" else None
        self.size, self.gray = self.layout.picture[:2], self.layout.picture[2] == 1
        self.detail, self.reading = str(self._dtype), self.layout.told()
        count, frames = self.layout.pictures, self.layout.frames
        self.times = np.arange(count) / DEFAULT_FPS
        self.end = count / DEFAULT_FPS
        self.breaks = np.arange(frames, count, frames, dtype=np.int64)
        if wide:
            self._check_depth(count)
        if self._levels or wide:
            self.reading += f", values {self._levels or WORD} from black to white"

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
        """See ``Footage.digest``; two datasets of one file differ, and one that is read in two ways."""
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

    def _layout(self, axes: str | None) -> Layout:
        """How it is read.

        Raises:
            DataError: a type or a shape that is no video.
        """
        shape, dtype = self._shape, self._dtype
        if not (dtype.kind == "b" or (dtype.kind == "u" and dtype.itemsize <= 2) or dtype.kind == "f"):
            raise DataError(
                f"{self._name} is of type {dtype}; expected uint8, uint16, bool, or floats from 0 to 1. "
                "Convert it and save it again."
            )
        if min(shape, default=1) < 1:
            raise DataError(
                f"{self._name} has the shape {shape}, in which there is nothing; expected no axis of length 0. "
                "Save it again with some pictures."
            )
        layout = layout_of(shape, axes, self._name)
        if layout.pictures > MAX_PICTURES:
            raise DataError(
                f"{self._name} has the shape {layout.told()}; expected at most {MAX_PICTURES} pictures. Save it "
                "again as several files."
            )
        check_pixels(self.path, *layout.picture[:2])
        return layout

    def _check_pieces(self, source: "_Source") -> None:
        """Refuse what would be unpacked again and again for every picture.

        Raises:
            DataError: the pictures of a clip are scattered over what can only be read from start to end.
        """
        if (self.layout.in_pieces and not isinstance(source, _Npy)) or (source.packed and not self.layout.in_order):
            raise DataError(
                f"{self._name} has the axes {' '.join(self.layout.axes)}, in which the pictures of a clip are "
                "scattered over a file that is read from start to end; expected T H W or N T H W, with channels last "
                "or before H. Save the array as .npy, which can be read anywhere."
            )

    def _check_depth(self, count: int) -> None:
        """Refuse 16 bits that would come out black.

        Raises:
            DataError: none of a few pictures has values of more than 14 bits, and no range was given.
        """
        if self._levels is None:
            numbers = looked_at(count)
            most = max(int(self._row(number).max()) for number in numbers.tolist())
            self.close()
            check_depth(most, len(numbers), self._name)

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
                picture = self._source.read(self.layout.at(number), ahead=self.layout.in_order)
                return picture.transpose(self.layout.order).reshape(self.layout.picture)
        except DataError:
            self.close()  # A stream that failed does not know any more where it is.
            raise

    def _eight_bit(self, number: int, row: np.ndarray) -> np.ndarray:
        """(h, w, c) uint8 of a row."""
        return to_bytes(row, self._levels, f"Picture {number} of {self._name}")


class _Source(ABC):
    """An array in a file, of which the header is read.

    Attributes:
        shape: as the header says.
        dtype: as the header says.
        packed: whether it can only be read from its start on.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    packed: bool = False
    _files: ExitStack

    @abstractmethod
    def check(self, name: str) -> None:
        """Raise DataError where the array is cut short, or a part of it was never written."""

    def read(self, index: tuple[int | slice, ...], *, ahead: bool) -> np.ndarray:
        """A picture; what is raised for damage may be of any kind.

        Args:
            index: numbers, and ``WHOLE`` for the picture's own axes; planes that lie apart are read one by one.
            ahead: whether the next picture will be the one behind it.
        """
        first = index.index(WHOLE)
        if all(each == WHOLE for each in index[first:]):
            return self.row(index[:first], ahead=ahead)  # type: ignore[arg-type]
        planes = ((*index[:first], i, *index[first + 1 :]) for i in range(self.shape[first]))
        return np.stack([self.read(plane, ahead=ahead) for plane in planes])

    @abstractmethod
    def row(self, index: Sequence[int], *, ahead: bool) -> np.ndarray:
        """What lies behind the first axes, in one piece; see ``read``."""

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

    def read(self, index: tuple[int | slice, ...], *, ahead: bool) -> np.ndarray:
        return self.row(index, ahead=ahead)

    def row(self, index: Sequence[int | slice], *, ahead: bool) -> np.ndarray:
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
            self.packed = member.compress_type == zipfile.ZIP_DEFLATED
            self._there = min(member.file_size, grown) - self._offset
            self._files = opened.pop_all()

    def check(self, name: str) -> None:
        self._check_bytes(name, self._there)

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

    def row(self, index: Sequence[int], *, ahead: bool) -> np.ndarray:
        if not index:  # One picture is all there is.
            check_inflation(self._path, self._dataset, (), 0, self.shape[0])
            return self._dataset[...]
        *clip, frame = index
        rows = self._rows_at_once(len(clip)) if ahead else 1
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
