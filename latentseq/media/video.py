"""Video files, read by frame number."""

import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from latentseq.errors import DataError
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
    """Whether a file's suffix is that of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


class VideoFile(Footage):
    """The frames of one video file, by number in the order in which they are shown.

    Building it reads the packets and decodes the first frame: what a file says of its own length is often wrong. The
    file is open from the first ``walk`` to ``close``, and a later one opens it again. A walk that goes on where the
    last one ended goes on decoding; any other starts at the keyframe before.
    """

    kind = "video"
    timed = True

    def __init__(self, path: Path):
        """Count the frames.

        Args:
            path: the file.

        Raises:
            DataError: it cannot be read as a video, holds no frames, or is cut short.
        """
        self.path = path
        self._shut()
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
            raise DataError(f"{path} holds no frames; expected a video of at least one. Copy or export it again.")
        first = self._frame(0)
        # Asked once: a frame that is asked for it refers to itself, and would stay in memory for long.
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
        twin = super().another()
        twin._shut()
        return twin

    def close(self) -> None:
        """Give the decoder back; the next ``walk`` opens the file again."""
        if self._container is not None:
            self._container.close()
        self._shut()

    def _shut(self) -> None:
        """The state of a file that is not open."""
        self._container: InputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._scalers: dict[Preprocessing, VideoReformatter] = {}
        self._cursor: Iterator[tuple[int, av.VideoFrame]] = iter(())
        self._next = 0  # The number of the frame that the cursor gives next.
        self._last: tuple[int, av.VideoFrame] | None = None  # A frame may be asked for again: one shown for long.

    def scale(self, frame: av.VideoFrame, preprocessing: Preprocessing) -> np.ndarray:
        """A decoded frame as (h, w, c) uint8."""
        h, w = preprocessing.scaled(*self._shape(frame))
        scaler = self._scalers.setdefault(preprocessing, VideoReformatter())
        wide, high = (h, w) if self._place.lying else (w, h)
        return preprocessing.place(self._place.upright(shown(frame, scaler, high, wide, gray=preprocessing.gray)))

    def _shape(self, frame: av.VideoFrame) -> tuple[int, int]:
        """(h, w) as a player shows it: upright, with square pixels."""
        h, w = frame.height, max(1, round(frame.width * self._aspect))
        return (w, h) if self._place.lying else (h, w)

    def _frame(self, number: int) -> av.VideoFrame:
        """The frame of a number, in the file's own count."""
        if self._last is not None and self._last[0] == number:
            return self._last[1]
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
        raise unread_now(self.path) or DataError(
            f"{self.path} is damaged at frame {number}: it lists {len(self.times)} frames, and this one cannot be "
            "decoded. Copy or export the file again."
        )

    def _advance(self, number: int) -> av.VideoFrame | None:
        """Move the cursor to just behind a frame; None where it does not come."""
        for at, frame in self._cursor:
            self._next = at + 1
            if at >= number:
                self._last = (at, frame)
                return frame if at == number else None
        self._next = len(self.times)
        return None

    def _decode(self, start: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """Frames with their numbers, from a keyframe on."""
        if start == 0:
            self.close()  # Opening it again is exact in every format; seeking to the first time is not.
        if self._container is None or self._stream is None:
            self._container = open_container(self.path)
            self._stream = video_stream(self._container, self.path)
        if start and self._pts is not None:
            with damage_ignored(self.path):  # What then comes is not what was asked for, and is refused.
                self._container.seek(int(self._pts[start]), stream=self._stream)
        frames = frames_of(self._container, self._stream)
        return enumerate(frames) if self._pts is None else _numbered(frames, self._pts)


class _Shown(NamedTuple):
    """A decoded frame, not yet made smaller."""

    file: VideoFile
    decoded: av.VideoFrame

    def frame(self, preprocessing: Preprocessing) -> np.ndarray:
        """See ``Picture.frame``."""
        return self.file.scale(self.decoded, preprocessing)


def _numbered(frames: Iterator[av.VideoFrame], pts: np.ndarray) -> Iterator[tuple[int, av.VideoFrame]]:
    """Frames with their numbers, by their times; a frame of no known time is left out."""
    for frame in frames:
        if frame.pts is not None:
            number = int(np.searchsorted(pts, frame.pts))
            if number < len(pts) and pts[number] == frame.pts:
                yield number, frame


class _Place(NamedTuple):
    """How a frame is brought upright: rows become columns where it lies on its side, then both may be reversed."""

    lying: bool
    upside_down: bool
    mirrored: bool

    def upright(self, pixels: np.ndarray) -> np.ndarray:
        """The frame (h, w, c) as it is shown."""
        pixels = pixels.swapaxes(0, 1) if self.lying else pixels
        return pixels[:: -1 if self.upside_down else 1, :: -1 if self.mirrored else 1]


def _place(frame: av.VideoFrame) -> _Place:
    """By the matrix that a frame has with it, of which only quarter turns and reflections count."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # Another kind of data, for which PyAV has no name.
        turns = round(frame.rotation / 90) % 4
        xx, xy, yx, yy = ((1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0))[turns]
    else:
        xx, xy, _, yx, yy = struct.unpack("5i", bytes(matrix)[:20]) if matrix else (1, 0, 0, 0, 1)  # type: ignore[call-overload]
    if abs(xy) + abs(yx) > abs(xx) + abs(yy):
        return _Place(True, xy < 0, yx < 0)
    return _Place(False, yy < 0, xx < 0)
