"""Video files as footage, read by frame number."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from latentseq.errors import DataError, count_of
from latentseq.media.audio import has_sound
from latentseq.media.container import damage_ignored, frames_of, is_untimed, open_container, read_index, video_stream
from latentseq.media.footage import Footage, Picture, unread_now
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.screen import remark, shown

VIDEO_SUFFIXES = frozenset(
    {
        *(".264", ".265", ".3g2", ".3gp", ".asf", ".avc", ".avi", ".f4v", ".flv", ".gif", ".h264", ".h265"),
        *(".hevc", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".qt", ".ts"),
        *(".vob", ".webm", ".wmv", ".y4m"),
    }
)


def is_video(path: Path) -> bool:
    """Whether a file has the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


class VideoFile(Footage):
    """The frames of a video file, numbered in the order in which they are shown.

    The constructor reads all packets and decodes the first frame, because files often state a wrong length. The file
    is open from the first ``walk`` to ``close``, and a later ``walk`` opens it again. A walk that starts where the
    last one ended continues decoding; any other walk starts at the keyframe before its first frame.
    """

    kind = "video"
    timed = True

    def __init__(self, path: Path):
        """Count the frames.

        Args:
            path: path of the file.

        Raises:
            DataError: the file cannot be read as a video, holds no frames, or is cut short.
        """
        self.path = path
        self._reset()
        self._pts, self._keys, self.times, self.end, self.rate, note = read_index(path)
        with open_container(path) as container:
            stream = video_stream(container, path)
            codec, pixels = stream.codec_context.name, stream.codec_context.pix_fmt or ""
            self._aspect = float(stream.sample_aspect_ratio or 1)
            self.gray = pixels.startswith(("gray", "mono"))
            self.sound = has_sound(container)
            untimed = "no times of its own: taken to be evenly spaced" if is_untimed(container) else ""
        self.seekable = self._pts is not None
        if not len(self.times):
            raise DataError(f"{path} holds no frames; expected at least one. Copy or export the file again.")
        first = self._frame(0)
        # Only one frame is asked for its side data, because that makes a frame refer to itself and stay in memory.
        self._place = _place(first)
        self.size = self._shape(first)
        self.remark = "; ".join(filter(None, [remark(first), untimed]))
        self.detail = ", ".join(filter(None, [f"{codec} {pixels}", note, self.remark]))
        self.close()

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``."""
        for number in numbers.tolist():
            yield _Shown(self, self._frame(number))

    def another(self) -> Self:
        """See ``Footage.another``."""
        other = super().another()
        other._reset()
        return other

    def close(self) -> None:
        """Close the decoder; the next ``walk`` opens the file again."""
        if self._container is not None:
            self._container.close()
        self._reset()

    def _reset(self) -> None:
        """Set the state of a file that is not open."""
        self._container: InputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._scalers: dict[Preprocessing, VideoReformatter] = {}
        self._cursor: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next = 0  # Number of the frame that the cursor returns next.
        self._last: tuple[int, av.VideoFrame] | None = None  # A frame that is shown for long is requested repeatedly.

    def scale(self, frame: av.VideoFrame, preprocessing: Preprocessing) -> np.ndarray:
        """Convert a decoded frame to (h, w, c) uint8."""
        h, w = preprocessing.scaled(*self._shape(frame))
        scaler = self._scalers.setdefault(preprocessing, VideoReformatter())
        wide, high = (h, w) if self._place.lying else (w, h)
        return preprocessing.place(self._place.upright(shown(frame, scaler, high, wide, gray=preprocessing.gray)))

    def _shape(self, frame: av.VideoFrame) -> tuple[int, int]:
        """Size (h, w) of a frame as a player shows it: upright, with square pixels."""
        h, w = frame.height, max(1, round(frame.width * self._aspect))
        return (w, h) if self._place.lying else (h, w)

    def _frame(self, number: int) -> av.VideoFrame:
        """Decode the frame of a number."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
        key = bisect_right(self._keys, number) - 1
        if self._container is not None and self._keys[key] <= self._next <= number:
            frame = self._advance(number)
            if frame is not None:
                return frame
        # One keyframe is usually enough. Some streams need the one before, and some containers seek badly.
        for start in dict.fromkeys((self._keys[key], self._keys[max(0, key - 1)], 0)):
            self._cursor = self._decode(start)
            self._next = start
            frame = self._advance(number)
            if frame is not None:
                return frame
        raise unread_now(self.path) or DataError(
            f"{self.path} is damaged at frame {number}: it lists {count_of(len(self.times), 'frame')}, and this one "
            "cannot be decoded. Copy or export the file again."
        )

    def _advance(self, number: int) -> av.VideoFrame | None:
        """Move the cursor past a frame and return the frame; None if it does not occur."""
        for at, frame in self._cursor:
            self._next = at + 1
            if at >= number:
                self._last = (at, frame)
                return frame if at == number else None
        self._next = len(self.times)
        return None

    def _decode(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Decode frames from a keyframe on, each with its number."""
        if start == 0:
            self.close()  # Opening the file again is exact in every format; seeking to the first time is not.
        if self._container is None or self._stream is None:
            self._container = open_container(self.path)
            self._stream = video_stream(self._container, self.path)
        if start and self._pts is not None:
            with damage_ignored(self.path):  # After damage, frames of other numbers follow, and are refused.
                self._container.seek(int(self._pts[start]), stream=self._stream)
        frames = frames_of(self._container, self._stream)
        return enumerate(frames) if self._pts is None else _numbered(frames, self._pts)


class _Shown(NamedTuple):
    """A decoded frame that is not scaled yet."""

    file: VideoFile
    decoded: av.VideoFrame

    def frame(self, preprocessing: Preprocessing) -> np.ndarray:
        """See ``Picture.frame``."""
        return self.file.scale(self.decoded, preprocessing)


def _numbered(frames: Iterator[av.VideoFrame], pts: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
    """Number frames by their times; frames whose time is not in the index are left out."""
    for frame in frames:
        if frame.pts is not None:
            number = int(np.searchsorted(pts, frame.pts))
            if number < len(pts) and pts[number] == frame.pts:
                yield number, frame


class _Place(NamedTuple):
    """Orientation of a frame.

    Attributes:
        lying: whether the frame lies on its side, so that rows and columns are exchanged first.
        upside_down: whether the rows are reversed then.
        mirrored: whether the columns are reversed then.
    """

    lying: bool
    upside_down: bool
    mirrored: bool

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """Turn a frame (h, w, c) upright."""
        pixels = pixels.swapaxes(0, 1) if self.lying else pixels
        return pixels[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


def _place(frame: av.VideoFrame) -> _Place:
    """Read the orientation from the display matrix of a frame; only quarter turns and reflections count."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # The frame has a kind of side data for which PyAV has no name.
        turns = round(frame.rotation / 90) % 4
        xx, xy, yx, yy = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[turns]
    else:
        xx, xy, _, yx, yy = struct.unpack("5i", bytes(matrix)[:20]) if matrix else (1, 0, 0, 0, 1)  # type: ignore[call-overload]
    if abs(xy) + abs(yx) > abs(xx) + abs(yy):
        return _Place(True, xy < 0, yx < 0)
    return _Place(False, yy < 0, xx < 0)
