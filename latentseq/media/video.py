"""Video files, read by frame number."""

import contextlib
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from latentseq.errors import DataError
from latentseq.media.preprocessing import Preprocessing, check_pixels

VIDEO_SUFFIXES = frozenset(
    {".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"}
)
# By name, because a text file may be a playlist that opens other files, whatever its suffix says.
_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif"
_FALLBACK_FPS = 25.0


def is_video(path: Path) -> bool:
    """Whether a file's suffix is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


class VideoFile:
    """The frames of one video file, by number in the order in which they are shown.

    Building it reads the packets and decodes nothing: what a file says of its own length is often wrong. The file
    is open from the first ``read`` to ``close``, and a later ``read`` opens it again. A read that goes on where the
    last one ended goes on decoding; any other starts at the keyframe before.

    Attributes:
        path: the file.
        preprocessing: what is done to every frame.
        length: how many frames there are, those skipped not counted.
        fps: frames a second, those skipped not counted; 25 where the file does not say.
    """

    def __init__(self, path: Path, preprocessing: Preprocessing):
        """Count the frames.

        Args:
            path: the file.
            preprocessing: size, fit, colour, and how many frames to skip.

        Raises:
            DataError: it cannot be read as a video, holds no frames, or is cut short.
        """
        self.path = path
        self.preprocessing = preprocessing
        self._reformatter = VideoReformatter()
        self._container: InputContainer | None = None
        self._cursor: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next = 0  # The number of the frame that the cursor gives next.
        with _open(path) as container:
            stream = _video_stream(container, path)
            check_pixels(path, stream.height, stream.width)
            rate = stream.average_rate
            self.fps = (float(rate) if rate else _FALLBACK_FPS) / preprocessing.skip
            self._times, self._keys = _index(container, path)
        self._frames = len(self._times) if self._times is not None else _count(path)
        if not self._frames:
            raise DataError(f"{path} holds no frames; expected a video of at least one. Copy or export it again.")
        self.length = preprocessing.kept(self._frames)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Frames ``start`` to ``stop``, those skipped not counted.

        Args:
            start: the first, from 0.
            stop: the one after the last, at most ``length``.

        Returns:
            (stop - start, h, w, c) uint8.

        Raises:
            DataError: the file is damaged there, or cannot be read any more.
        """
        frames = np.empty((stop - start, *self.preprocessing.frame_shape), np.uint8)
        for row, number in enumerate(range(start, stop)):
            frames[row] = self._picture(self._frame(number * self.preprocessing.skip))
        return frames

    def close(self) -> None:
        """Give the decoder back; the next ``read`` opens the file again."""
        if self._container is not None:
            self._container.close()
        self._container, self._cursor, self._next = None, iter(()), 0

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        """One pass of swscale from the decoder's own colours to (h, w, c) uint8."""
        h, w = self.preprocessing.scaled(frame.height, frame.width)
        pixels = "gray" if self.preprocessing.gray else "rgb24"
        small = self._reformatter.reformat(frame, width=w, height=h, format=pixels, interpolation="AREA")
        return self.preprocessing.place(small.to_ndarray().reshape(h, w, -1))

    def _frame(self, number: int) -> av.VideoFrame:
        """The frame of a number, in the file's own count."""
        key = bisect_right(self._keys, number) - 1
        if self._container is not None and self._keys[key] <= self._next <= number:
            frame = self._advance(number)
            if frame is not None:
                return frame
        # One keyframe is enough, but for streams whose key frames need those before, and containers that seek badly.
        for start in dict.fromkeys((self._keys[key], self._keys[max(0, key - 1)], 0)):
            self._cursor, self._next = self._decode(start), start
            frame = self._advance(number)
            if frame is not None:
                return frame
        raise DataError(
            f"{self.path} is damaged at frame {number}: it lists {self._frames} frames, and this one cannot be "
            "decoded. Copy or export the file again."
        )

    def _advance(self, number: int) -> av.VideoFrame | None:
        """Move the cursor to just behind a frame; None where it does not come."""
        for at, frame in self._cursor:
            self._next = at + 1
            if at >= number:
                return frame if at == number else None
        self._next = self._frames
        return None

    def _decode(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from a keyframe on."""
        if start == 0:
            self.close()  # Opening it again is exact in every format; seeking to the first time is not.
        if self._container is None:
            self._container = _open(self.path)
            _video_stream(self._container, self.path).thread_type = "AUTO"
        stream = _video_stream(self._container, self.path)
        if self._times is None:
            return enumerate(_frames(self._container, stream))
        if start:
            with contextlib.suppress(av.FFmpegError):  # What then comes is not what was asked for, and is refused.
                self._container.seek(int(self._times[start]), stream=stream)
        return _numbered(_frames(self._container, stream), self._times)


def _open(path: Path) -> InputContainer:
    """The container of a regular file in one of the formats that are video."""
    if not path.is_file():
        raise DataError(f"{path} cannot be read as a video: expected a regular file. Check the path.")
    try:
        return av.open(str(path.absolute()), options={"format_whitelist": _FORMATS})
    except (av.FFmpegError, OSError) as cause:
        # ArgumentError is how a format that is not on the list is refused.
        refused = isinstance(cause, (av.InvalidDataError, av.ArgumentError))
        reason = "its content is of no known video format, or its end is missing" if refused else cause.strerror
        raise DataError(
            f"{path} cannot be read as a video: {reason}. Expected a file such as MP4, MKV, WebM or AVI; "
            "copy or export it again, or remove it."
        ) from cause


def _video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """The stream that a player would show."""
    stream = container.streams.best("video")
    if not isinstance(stream, av.VideoStream):
        raise DataError(f"{path} holds no pictures; expected a video stream. Leave it out, or export it again.")
    return stream


def _index(container: InputContainer, path: Path) -> tuple[np.ndarray | None, list[int]]:
    """Times of all frames and numbers of the keyframes, from the packets alone.

    Returns:
        (n,) int64 in the stream's time base, rising, or None where packets do not say or share their times; and
        which of them decoding can start at, rising.
    """
    stream = _video_stream(container, path)
    times: list[int | None] = []
    keys: list[int | None] = []
    end = 0
    with contextlib.suppress(av.FFmpegError):  # A file that is cut off: what there is counts.
        for packet in container.demux(stream):
            if packet.size and not packet.is_discard and not _is_hidden(packet):
                times.append(packet.pts)
                end = max(end, (packet.pts or 0) + (packet.duration or 0))
                if packet.is_keyframe:
                    keys.append(packet.pts)
    known = sorted({time for time in times if time is not None})
    if known and "mp4" in container.format.name:
        _check_whole(path, stream, end - known[0])
    if len(known) < len(times):
        return None, [0]
    order = np.array(known, np.int64)
    return order, sorted({0, *np.searchsorted(order, np.array(keys, np.int64)).tolist()})


def _check_whole(path: Path, stream: av.VideoStream, span: int) -> None:
    """Compare the time that the packets span with what an MP4 says of itself.

    It knows its length, edits included. Its count of frames would not do: that has those in it which were edited
    away and are not there.
    """
    if not (stream.duration and stream.time_base and stream.average_rate):
        return
    if (stream.duration - span) * stream.time_base * stream.average_rate > 0.5:
        listed, there = (float(ticks * stream.time_base) for ticks in (stream.duration, span))
        raise DataError(
            f"{path} is cut short: it lists {listed:.2f} s of pictures, and {there:.2f} s are there. "
            "Copy or download the file again."
        )


def _is_hidden(packet: av.Packet) -> bool:
    """Whether it holds a frame that is only referred to and never shown, which VP8 has in packets of their own."""
    return packet.stream.codec_context.name == "vp8" and not bytes(packet)[0] >> 4 & 1


def _frames(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; a packet that cannot does not take those around it along."""
    with contextlib.suppress(av.FFmpegError):
        for packet in container.demux(stream):
            with contextlib.suppress(av.FFmpegError):
                yield from packet.decode()


def _numbered(frames: Iterator[av.VideoFrame], times: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their numbers, by their times; a frame of no known time is left out."""
    for frame in frames:
        if frame.pts is not None:
            number = int(np.searchsorted(times, frame.pts))
            if number < len(times) and times[number] == frame.pts:
                yield number, frame


def _count(path: Path) -> int:
    """How many frames there are where the packets do not say: by decoding them all."""
    with _open(path) as container:
        stream = _video_stream(container, path)
        stream.thread_type = "AUTO"
        return sum(1 for _ in _frames(container, stream))
