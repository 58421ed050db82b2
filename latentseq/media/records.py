"""TFRecord files whose records are clips, as ``tf.train.SequenceExample``, read and written without TensorFlow.

A file is a sequence of records. A record is the length of its data in eight bytes, the checksum of the length, the
data and the checksum of the data. The data is a message. Its context features are ``height``, ``width``, ``channels``
(int64), ``fps`` (float) and, if the clip has a split, ``split`` (bytes). Its feature lists are ``frames`` (bytes,
each frame is h * w * c uint8) and a list of floats for each side stream, under the stream's name.
"""

import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from latentseq.arrays import Clip
from latentseq.errors import DataError, count_of, retry_error
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture
from latentseq.media.images import Still
from latentseq.media.preprocessing import check_pixels

RECORD_SUFFIXES = frozenset({".tfrecord", ".tfrecords"})
MAX_RECORD = 2**31 - 1
"""Largest size of a message in bytes, a limit of protobuf."""
_PACKAGE = "latentseq.records"
_MESSAGES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "BytesList": {"value": "bytes*"},
        "FloatList": {"value": "float*"},
        "Int64List": {"value": "int64*"},
        "Feature": {"bytes_list": "BytesList", "float_list": "FloatList", "int64_list": "Int64List"},
        "FeatureEntry": {"key": "string", "value": "Feature"},
        "Features": {"feature": "FeatureEntry*"},
        "FeatureList": {"feature": "Feature*"},
        "FeatureListEntry": {"key": "string", "value": "FeatureList"},
        "FeatureLists": {"feature_list": "FeatureListEntry*"},
        "SequenceExample": {"context": "Features", "feature_lists": "FeatureLists"},
    }
)
"""TensorFlow messages: their fields, numbered from 1. A star marks a repeated field; a map is a list of entries."""


class _Layout(NamedTuple):
    """Shape (h, w, c) of the frames, and frame rate, which all records of a file share; None without a frame rate."""

    shape: tuple[int, int, int]
    fps: float | None


def is_records(path: Path) -> bool:
    """Whether a file has the suffix of a TFRecord."""
    return path.suffix.lower() in RECORD_SUFFIXES


def record_size(length: int, frame_shape: tuple[int, int, int], streams: Mapping[str, int]) -> int:
    """Upper bound of the bytes that a clip takes in a file.

    Args:
        length: number of frames.
        frame_shape: (h, w, c) of the frames.
        streams: width of each side stream, by name.
    """
    lists = [math.prod(frame_shape), *(4 * width for width in streams.values())]
    return 1024 + length * sum(size + 32 for size in lists)


def write_records(path: Path, clips: Iterable[Iterable[Clip]], *, fps: float, split: str | None = None) -> None:
    """Write clips to a TFRecord file. One clip is in memory at a time.

    Args:
        path: path of the file to write. After an error, an incomplete file is left for the caller to remove.
        clips: clips, each in pieces of frames (t, h, w, c) uint8 and streams (t, f), of at most ``MAX_RECORD`` bytes.
        fps: frames per second.
        split: train, validation or test, or None.
    """
    with path.open("wb") as file:
        for pieces in clips:
            data = _message(pieces, fps, split)
            length = struct.pack("<Q", len(data))
            for part in (length, _checksum(length), data, _checksum(data)):
                file.write(part)


class Records(Footage):
    """The pictures in a TFRecord file that ``write_records`` or TensorFlow wrote. Each record is a clip.

    Side streams and splits are ignored. One record is in memory at a time.
    """

    kind = "records"

    def __init__(self, path: Path) -> None:
        """Read all records once.

        Args:
            path: path of the file.

        Raises:
            DataError: the file is not a TFRecord, is cut short or damaged, or its messages have another content.
        """
        self.path = path
        self._places: list[tuple[int, int]] = []  # Offset and length of the data of each record.
        self._current: tuple[int, list[bytes]] | None = None  # Number and frames of the record in memory.
        counts, layout = [], None
        with self._open() as file:
            for number, (at, length) in enumerate(self._framing(file)):
                message = self._parse(file, number, at, length)
                record_layout = self._layout(message, number)
                layout = layout or record_layout
                self._check_same(record_layout, layout, number)
                self._places.append((at, length))
                counts.append(len(self._frames(message, number, layout.shape)))
        if layout is None:
            raise self._unreadable("it is empty")
        self._shape = layout.shape
        self.size = layout.shape[:2]
        self.gray = layout.shape[2] == 1
        self.timed = layout.fps is not None
        fps = layout.fps or DEFAULT_FPS
        self._ends = np.cumsum(counts)
        total = int(self._ends[-1])
        self.times = np.arange(total) / fps
        self.end = total / fps
        self.breaks = self._ends[:-1].astype(np.int64)
        self.detail = f"uint8 in {count_of(len(counts), 'record')}"

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``.

        Raises:
            DataError: the file is damaged, has changed, or can no longer be read.
        """
        for number, same in groupby(numbers.tolist()):
            record = int(np.searchsorted(self._ends, number, side="right"))
            frame = self._record(record)[number - int(self._ends[record])]  # The index counts from the record's end.
            picture = Still(np.frombuffer(frame, np.uint8).reshape(self._shape).copy)
            for _ in same:
                yield picture

    def close(self) -> None:
        """See ``Footage.close``."""
        self._current = None

    def _record(self, number: int) -> list[bytes]:
        """The frames of a record."""
        if self._current is None or self._current[0] != number:
            self._current = None  # Frees the memory before the next record is read.
            with self._open() as file:
                message = self._parse(file, number, *self._places[number])
            self._current = number, self._frames(message, number, self._shape)
        return self._current[1]

    def _open(self) -> BinaryIO:
        if not self.path.is_file():
            raise DataError(f"{self.path} cannot be read as a TFRecord: expected a regular file. Check the path.")
        try:
            return self.path.open("rb")
        except OSError as cause:
            reason = cause.strerror or "it cannot be opened"
            raise retry_error(self.path, cause) or self._unreadable(reason) from cause

    def _framing(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        """Offset and length of the data of each record."""
        size, at, number = os.fstat(file.fileno()).st_size, 0, 0
        while at < size:
            file.seek(at)
            header, check = file.read(8), file.read(4)
            if len(check) == 4 and check == _checksum(header):
                length = struct.unpack("<Q", header)[0]
                if at + length + 16 > size:
                    raise self._unreadable(f"it is cut short within record {number}")
                yield at + 12, length
                at, number = at + length + 16, number + 1
            elif not number:
                raise self._unreadable("its content is not a TFRecord, or is compressed")
            elif len(check) < 4:
                raise self._unreadable(f"it is cut short within record {number}")
            else:
                raise self._unreadable(f"record {number} is damaged: the checksum of its length does not fit")

    def _parse(self, file: BinaryIO, number: int, at: int, length: int) -> Any:
        file.seek(at)
        data = file.read(length)
        if file.read(4) != _checksum(data):
            raise self._unreadable(f"record {number} is damaged: the checksum of its data does not fit")
        try:
            return _sequence_example().FromString(data)
        except DecodeError as cause:
            raise self._unreadable(f"record {number} is not a tf.train.SequenceExample") from cause

    def _layout(self, message: Any, number: int) -> _Layout:
        context = {entry.key: entry.value for entry in message.context.feature}
        sides = []
        for name in ("height", "width", "channels"):
            values = context[name].int64_list.value if name in context else []
            if len(values) != 1 or values[0] < 1:
                raise self._unreadable(f"the context of record {number} has no whole number {name!r} above 0")
            sides.append(int(values[0]))
        h, w, c = sides
        if c not in (1, 3, 4):
            raise self._unreadable(f"record {number} has {c} channels; expected 1, 3 or 4")
        check_pixels(self.path, h, w)
        if "fps" not in context:
            return _Layout((h, w, c), None)
        rates = context["fps"].float_list.value
        if len(rates) != 1 or not 0 < rates[0] < math.inf:
            raise self._unreadable(f"record {number} has an 'fps' that is not a frame rate")
        return _Layout((h, w, c), float(f"{rates[0]:.7g}"))  # Undoes the rounding to 32 bits.

    def _check_same(self, layout: _Layout, first: _Layout, number: int) -> None:
        if layout != first:
            expected, received = (
                f"{'x'.join(map(str, shape))} at {fps} frames per second" for shape, fps in (first, layout)
            )
            raise self._unreadable(
                f"record 0 is {expected}, and record {number} is {received}; expected the same for all records"
            )

    def _frames(self, message: Any, number: int, shape: tuple[int, int, int]) -> list[bytes]:
        lists = {entry.key: entry.value.feature for entry in message.feature_lists.feature_list}
        frames = [b"".join(feature.bytes_list.value) for feature in lists.get("frames", [])]
        if not frames:
            raise self._unreadable(f"record {number} has no feature list 'frames', or an empty one")
        for i, frame in enumerate(frames):
            if len(frame) != math.prod(shape):
                raise self._unreadable(
                    f"frame {i} of record {number} has {len(frame)} bytes; expected {math.prod(shape)}, the pixels "
                    f"of {'x'.join(map(str, shape))}"
                )
        return frames

    def _unreadable(self, reason: str) -> DataError:
        return DataError(
            f"{self.path} cannot be read as a TFRecord: {reason}. Expected clips as tf.train.SequenceExample, as "
            "latentseq export --format tfrecord writes them; copy or export it again, or remove it."
        )


def _message(pieces: Iterable[Clip], fps: float, split: str | None) -> bytes:
    """Serialize a clip as a message."""
    message = _sequence_example()()
    lists: dict[str, Any] = {}
    for frames, streams in pieces:
        if not lists:
            for name, side in zip(("height", "width", "channels"), frames.shape[1:], strict=True):
                _add(message.context.feature, name).int64_list.value.append(side)
            _add(message.context.feature, "fps").float_list.value.append(fps)
            if split is not None:
                _add(message.context.feature, "split").bytes_list.value.append(split.encode())
            lists = {name: _add(message.feature_lists.feature_list, name) for name in ("frames", *streams)}
        for frame in frames:
            lists["frames"].feature.add().bytes_list.value.append(frame.tobytes())
        for name, rows in streams.items():
            for row in rows:
                lists[name].feature.add().float_list.value.extend(row.tolist())
    return message.SerializeToString(deterministic=True)


def _add(entries: Any, key: str) -> Any:
    """Add an entry to a map, and return its value."""
    return entries.add(key=key).value


def _checksum(data: bytes) -> bytes:
    """Masked CRC-32C of data as four bytes, as TFRecord defines it."""
    crc = google_crc32c.value(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


@cache
def _sequence_example() -> Any:
    """The message class. It has a descriptor pool of its own, so it cannot collide with TensorFlow's."""
    kinds = descriptor_pb2.FieldDescriptorProto
    scalars = {"bytes": kinds.TYPE_BYTES, "float": kinds.TYPE_FLOAT, "int64": kinds.TYPE_INT64}
    scalars["string"] = kinds.TYPE_STRING
    file = descriptor_pb2.FileDescriptorProto(name="records.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
            descriptor = message.field.add(name=field, number=number, label=label)
            kind = kind.removesuffix("*")
            descriptor.type = scalars.get(kind, kinds.TYPE_MESSAGE)
            if kind not in scalars:
                descriptor.type_name = f".{_PACKAGE}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.SequenceExample"))
