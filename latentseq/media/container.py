"""Containers of video and sound: opening them safely, and what their packets say without decoding."""

import contextlib
import itertools
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition

from latentseq.errors import UNREAD, DataError, TryAgainError
from latentseq.media.alpha import AlphaPlane, has_alpha_plane
from latentseq.media.footage import CLOCK, DEFAULT_FPS, keeps_rate, unread_now
from latentseq.media.preprocessing import MAX_PIXELS, check_pixels
from latentseq.media.structure import check_structure

# By name, because a text file may be a playlist that opens other files, whatever its suffix says.
_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif"
# Pictures without a container. Any content may look like them, so that the suffix has to say it as well.
_RAW = {
    **dict.fromkeys((".264", ".avc", ".h264"), "h264"),
    **dict.fromkeys((".265", ".h265", ".hevc"), "hevc"),
    ".y4m": "yuv4mpegpipe",
}
_SLACK = 0.1  # Seconds: a duration may count what lies before the first sample of sound, and is not there.
_EMPTY = 9  # Bytes: a packet of MPEG-4 that is smaller says that nothing has changed.
_TRIED = 8  # Frames decoded to see whether their times are those that the packets say.


class Index(NamedTuple):
    """What the packets of a video stream say.

    Attributes:
        pts: (n,) int64 in the stream's time base, rising, or None where packets do not say or share their times.
        keys: which frames decoding can start at, rising; 0 is one of them.
        times: (n,) float64 seconds, when each frame comes on, rising.
        end: the second at which the last one goes.
        rate: frames a second by the header; None where it says nothing, or the times of the frames contradict it.
        note: which frames of the file are not among them or not whole, in words.
    """

    pts: np.ndarray | None
    keys: list[int]
    times: np.ndarray
    end: float
    rate: float | None = None
    note: str = ""


class _Packets(NamedTuple):
    """The packets of a stream that are shown, and what is said of those beside them."""

    pts: list[int | None]
    keys: list[int]
    odd: dict[str, int]  # How many say that they are damaged, and how many are hidden, and not among these.
    empty: int  # How many say that nothing has changed, and give no frame.
    end: float  # Seconds.
    latest: float  # Of all streams.
    found: Counter[int]  # How many there are of each stream, those included that are not shown.
    backwards: bool  # Whether one is to be decoded before the one in front of it: several files in one.
    in_order: bool  # Whether they are shown in the order in which they are decoded.


def open_container(path: Path, **options: str) -> InputContainer:
    """The container of a regular file in one of the formats that are video.

    Args:
        path: the file.
        options: of libavformat.

    Raises:
        DataError: it cannot be read as one.
    """
    if not path.is_file():
        raise DataError(f"{path} cannot be read as a video: expected a regular file. Check the path.")
    formats = ",".join(filter(None, [_FORMATS, _RAW.get(path.suffix.lower())]))
    options |= {"format_whitelist": formats, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        # Titles are of no use here, and one in another encoding is no reason to refuse a file.
        return av.open(str(path.absolute()), options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError) as cause:
        if later := _unread(path, cause):
            raise later from cause
        # ArgumentError is how a format that is not on the list is refused.
        refused = isinstance(cause, (av.InvalidDataError, av.ArgumentError))
        reason = "its content is of no known video format, or its end is missing" if refused else cause.strerror
        raise DataError(
            f"{path} cannot be read as a video: {reason}. Expected a file such as MP4, MKV, WebM or AVI; "
            "copy or export it again, or remove it."
        ) from cause


def video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """The stream that a player would show, ready to be decoded.

    Raises:
        DataError: there is none, or it cannot be decoded.
    """
    films = _films(container)
    if not films:
        raise DataError(f"{path} holds no pictures; expected a video stream. Leave it out, or export it again.")
    best = container.streams.best("video")
    stream = min(films, key=lambda film: (film.codec_context is None, film is not best))
    if stream.codec_context is None:
        raise DataError(
            f"{path} is coded in a way that is not known here; expected a codec such as H.264, VP9, AV1 or MPEG-4. "
            "Convert it with another program."
        )
    # Damage that a decoder would paint over, it paints over differently from run to run.
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
    # Threads that work on several frames would give them later than the opacity that belongs to them.
    stream.thread_type = "SLICE" if has_alpha_plane(stream) else "AUTO"
    return stream


def stated_rate(container: InputContainer, stream: av.VideoStream) -> float | None:
    """Frames a second as the file says, if it does."""
    # The average of a stream without times is a default; what its own header says has become the guess.
    rate = stream.guessed_rate if is_untimed(container) else stream.average_rate
    return float(rate) if rate else None


def is_untimed(container: InputContainer) -> bool:
    """Whether a file is nothing but coded frames, without the times at which they are shown."""
    return container.format.name in ("h264", "hevc")


@contextlib.contextmanager
def damage_ignored(path: Path) -> Iterator[None]:
    """Go on behind the block where FFmpeg finds damage in it.

    Args:
        path: the file that is read in the block.

    Raises:
        TryAgainError: it is no damage; the file could not be read now.
    """
    try:
        yield
    except av.FFmpegError as cause:
        if later := _unread(path, cause):
            raise later from cause


def frames_of(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Every frame that can be decoded; a packet that cannot does not take those around it along."""
    return (frame for frame in _decoded(container, stream) if frame is not None)


def read_index(path: Path) -> Index:
    """Read all packets of a file, and compare what is there with what it says of itself.

    Raises:
        DataError: it cannot be read as a video, its frames are too large, it is cut short, or it is damaged.
    """
    index, says_durations = _read_index(path)
    if not len(index.times) or index.rate is None or keeps_rate(index.times, index.rate):
        return index
    end = index.end
    if len(index.times) > 2 and not says_durations and abs(end - float(index.times[-1]) - 1 / index.rate) <= CLOCK:
        # How long the last frame lasts is the header's word too: as long as most others do, then.
        gaps = np.diff(index.times)
        end = float(index.times[-1] + gaps[gaps <= 1.5 * np.median(gaps)].mean())
    return index._replace(rate=None, end=end)


def _read_index(path: Path) -> tuple[Index, bool]:
    """As ``read_index``, by the header's frame rate; and whether the file says how long each frame lasts."""
    structure = check_structure(path)
    with open_container(path, codec_whitelist="none") as container:  # Opening decodes frames, however large they are.
        stream = video_stream(container, path)
        check_pixels(path, stream.height, stream.width)
    with open_container(path) as container:
        stream = video_stream(container, path)
        rate = stated_rate(container, stream)
        frame, tick = 1 / (rate or DEFAULT_FPS), float(stream.time_base or 1)
        packets = _packets(container, stream, path, frame)
        found = sum(packets.found[film.index] for film in _films(container))
        if structure.pictures is not None and found < structure.pictures:
            raise _lost(path, structure.pictures, found)
        notes = [_edits(path, container, stream, packets), *(f"{n} {how}" for how, n in packets.odd.items() if n)]
        if not structure.sized:
            _check_length(path, container, stream, packets, frame)
        # AVI only says when packets are decoded; where frames change places, nobody knows which is shown when.
        guessed = container.format.name == "avi" and stream.codec_context.has_b_frames and packets.in_order
        says_durations = "mp4" in container.format.name or container.format.name == "gif"
    pts = np.array(sorted({time for time in packets.pts if time is not None}), np.int64)
    keys = np.searchsorted(pts, np.array(packets.keys, np.int64)).tolist()
    before = keys[0] if keys else 0  # Frames before the first keyframe: a recording can start anywhere.
    if before and packets.keys[0] != packets.pts[0] and _starts_with_key(path):
        before = 0  # What should be one is not.
    least = len([time for time in packets.pts if time is not None]) - before - packets.empty
    if guessed or packets.backwards or packets.empty or len(pts) < len(packets.pts) or not len(pts):
        return _counted(path, rate, frame, least, notes), False
    with open_container(path) as container:
        shown = [f.pts for f in itertools.islice(frames_of(container, video_stream(container, path)), _TRIED)]
    numbers = [bisect_left(pts, time) for time in shown if time is not None and time in pts]
    if len(numbers) < len(shown) or any(a >= b for a, b in itertools.pairwise(numbers)):
        return _counted(path, rate, frame, least, notes), False
    first = numbers[0] if numbers and numbers[0] <= before else 0
    starts = sorted({0, *(key - first for key in keys if key > first)})
    index = Index(pts[first:], starts, pts[first:] * tick, packets.end, rate, _notes(notes, first))
    return index, says_durations


def _unread(path: Path, cause: OSError | av.FFmpegError) -> TryAgainError | None:
    """The error to raise where a file could not be read now; None where FFmpeg speaks of damage."""
    return unread_now(path, cause) if cause.errno in UNREAD else None


def _films(container: InputContainer) -> list[av.VideoStream]:
    """Its video streams, without pictures that belong to sound."""
    return [film for film in container.streams.video if not film.disposition & Disposition.attached_pic]


def _packets(container: InputContainer, stream: av.VideoStream, path: Path, frame: float) -> _Packets:
    """Demux a file to its end; ``frame`` is how many seconds a frame lasts that does not say."""
    tick, codec = float(stream.time_base or 1), stream.codec_context.name
    pts: list[int | None] = []
    keys: list[int] = []
    decoded: list[int] = []
    delays: set[int] = set()
    found: Counter[int] = Counter()
    damaged, hidden, empty = 0, 0, 0
    end = latest = -math.inf
    try:
        for packet in _demuxed(container):
            found[packet.stream_index] += bool(packet.size)
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is not None and packet.time_base:
                latest = max(latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index:
                continue
            if codec == "vp8" and not bytes(packet)[0] >> 4 & 1:
                hidden += 1  # A frame that is only referred to and never shown has a packet of its own in VP8.
                continue
            pts.append(packet.pts)
            damaged += packet.is_corrupt
            empty += codec == "mpeg4" and packet.size < _EMPTY
            if packet.dts is not None:
                decoded.append(packet.dts)
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or frame / tick)) * tick)
                if packet.is_keyframe:
                    keys.append(packet.pts)
                if packet.dts is not None:
                    delays.add(packet.pts - packet.dts)
    except av.FFmpegError as cause:
        raise _unread(path, cause) or DataError(
            f"{path} is damaged after {max(0, latest):.2f} s: {cause.strerror}. Copy or download the file again."
        ) from cause
    backwards = any(a > b for a, b in itertools.pairwise(decoded))
    return _Packets(
        pts,
        keys,
        {"damaged": damaged, "hidden": hidden},
        empty,
        end,
        max(latest, end),
        found,
        backwards,
        len(delays) < 2,
    )


def _edits(path: Path, container: InputContainer, stream: av.VideoStream, packets: _Packets) -> str:
    """What an MP4's edit list leaves out of the frames that the file lists, in words."""
    listed, shown = stream.frames if "mp4" in container.format.name else 0, len(packets.pts)
    if shown >= listed:
        return ""
    with open_container(path, ignore_editlist="1") as whole:
        found = sum(packet.stream_index == stream.index and packet.size > 0 for packet in _demuxed(whole))
    if found < listed:
        raise _lost(path, listed, found)
    return f"{listed - shown} of {listed} frames edited away"


def _check_length(
    path: Path, container: InputContainer, stream: av.VideoStream, packets: _Packets, frame: float
) -> None:
    """Compare the seconds that the packets last with those that the file lists, where it does so."""
    listed, there = 0.0, packets.latest
    if "mp4" in container.format.name and not stream.frames:  # In fragments; others count their frames.
        tick = float(stream.time_base or 0)
        listed = (stream.duration or 0) * tick
        there = packets.end - min((time for time in packets.pts if time is not None), default=0) * tick
    elif container.format.name in ("flv", "matroska,webm"):
        listed = (container.duration or 0) / av.time_base
    if listed and listed - there > frame + _SLACK:
        raise DataError(
            f"{path} is cut short: it lists {listed:.2f} s, and {there:.2f} s are there. "
            "Copy or download the file again."
        )


def _counted(path: Path, rate: float | None, frame: float, least: int, notes: list[str]) -> Index:
    """The index of a file whose packets do not say: by decoding all of it, at least so many frames."""
    shown: list[float | None] = []
    before, fields = 0, False
    with open_container(path) as container:
        for picture in _decoded(container, video_stream(container, path)):
            if picture is not None:
                shown.append(picture.time)
                fields |= picture.interlaced_frame and container.format.name == "mpegts"
            elif shown:
                raise DataError(
                    f"{path} is damaged after frame {len(shown) - 1}: what follows cannot be decoded. "
                    "Copy or export the file again."
                )
            else:
                before += 1
    if len(shown) < (least / 2 if fields else least):  # A field may have a packet of its own.
        raise _lost(path, least, len(shown), "can be decoded")
    times = np.array([time for time in shown if time is not None], np.float64)
    if len(times) < len(shown) or (np.diff(times) <= 0).any():
        times = frame * np.arange(len(shown), dtype=np.float64)
    end = float(times[-1]) + frame if len(times) else 0.0
    return Index(None, [0], times, end, rate, _notes(notes, before))


def _decoded(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame | None]:
    """Every frame that can be decoded, and None for what cannot."""
    packets = _demuxed(container, stream)
    alpha = AlphaPlane(stream) if has_alpha_plane(stream) else None
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = alpha.decode(packet) if alpha else packet.decode()
        except av.EOFError:
            return
        except av.FFmpegError as cause:
            if later := _unread(Path(container.name), cause):
                raise later from cause
            yield None
        else:
            yield from frames


def _demuxed(container: InputContainer, *streams: av.VideoStream) -> Iterator[av.Packet]:
    """The packets of some streams, or of all."""
    with contextlib.suppress(IndexError):  # At the end, where a stream has appeared in the middle.
        yield from container.demux(*streams)


def _starts_with_key(path: Path) -> bool:
    """Whether the container, not what is in the packet, says that the first one is a keyframe."""
    with open_container(path, fflags="noparse") as container:
        return next((p.is_keyframe for p in _demuxed(container, video_stream(container, path)) if p.size), False)


def _notes(notes: list[str], before: int) -> str:
    """What is left out or damaged, in words."""
    return ", ".join(filter(None, [*notes, f"without {before} before the first keyframe" if before else ""]))


def _lost(path: Path, listed: int, found: int, how: str = "are there") -> DataError:
    """The error that frames are missing."""
    return DataError(
        f"{path} is damaged: it lists {listed} frames, and {found} {how}. Copy or download the file again."
    )
