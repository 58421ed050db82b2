"""Containers of video and sound: opens them safely, and reads an index of their packets."""

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

from latentseq.errors import READ_ERRORS, DataError, TryAgainError, count_of
from latentseq.media.alpha import AlphaPlane, has_alpha_plane
from latentseq.media.footage import CLOCK, DEFAULT_FPS, keeps_rate, unread_now
from latentseq.media.preprocessing import MAX_PIXELS, check_pixels
from latentseq.media.structure import check_structure

_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg,gif"
"""Accepted formats. Others are refused, because a text file could be a playlist that opens other files."""
_RAW = {
    **dict.fromkeys((".264", ".avc", ".h264"), "h264"),
    **dict.fromkeys((".265", ".h265", ".hevc"), "hevc"),
    ".y4m": "yuv4mpegpipe",
}
"""Formats of pictures without a container, by suffix. Any content may look like them, so the suffix has to agree."""
_SLACK = 0.1
"""Seconds by which a stated duration may be too long: it can include time before the first sample of sound."""
_EMPTY = 9
"""Bytes: a smaller packet of MPEG-4 means that nothing has changed."""
_TRIED = 8
"""Number of frames that are decoded to compare their times with those of the packets."""


class Index(NamedTuple):
    """Frames of a video stream, as its packets describe them.

    Attributes:
        pts: (n,) int64, presentation time of each frame in the stream's time base, ascending; None if packets have no
            times or share them.
        keys: numbers of the frames at which decoding can start, ascending; the first is 0.
        times: (n,) float64, second at which each frame appears, ascending.
        end: second at which the last frame disappears.
        rate: frames per second by the header; None if it states none, or if the times of the frames contradict it.
        note: description of frames that are left out or damaged.
    """

    pts: np.ndarray | None
    keys: list[int]
    times: np.ndarray
    end: float
    rate: float | None = None
    note: str = ""


class _Packets(NamedTuple):
    """The packets of a stream that are shown, and facts about the other packets of the file.

    Attributes:
        pts: presentation time of each packet in the stream's time base.
        keys: presentation times of the keyframes.
        odd: number of packets that are damaged, and of packets that are hidden; hidden ones are left out of ``pts``.
        empty: number of packets that say that nothing has changed, and give no frame.
        end: second at which the stream ends.
        latest: second at which the last of all streams ends.
        totals: number of packets of each stream, including those that are not shown.
        backwards: whether decoding times decrease, as when several files are joined into one.
        in_order: whether packets are shown in the order in which they are decoded.
    """

    pts: list[int | None]
    keys: list[int]
    odd: dict[str, int]
    empty: int
    end: float
    latest: float
    totals: Counter[int]
    backwards: bool
    in_order: bool


def open_container(path: Path, **options: str) -> InputContainer:
    """Open a file in one of the accepted video formats.

    Args:
        path: path of a regular file.
        options: options for libavformat.

    Raises:
        DataError: the file cannot be read as a video.
    """
    if not path.is_file():
        raise DataError(f"{path} cannot be read as a video: expected a regular file. Check the path.")
    formats = ",".join(filter(None, [_FORMATS, _RAW.get(path.suffix.lower())]))
    options |= {"format_whitelist": formats, "protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        # A title in an unknown encoding is no reason to refuse a file.
        return av.open(str(path.absolute()), options=options, metadata_errors="replace")
    except (av.FFmpegError, OSError) as cause:
        if later := _unread(path, cause):
            raise later from cause
        # FFmpeg raises ArgumentError for a format that is not on the list.
        is_unknown = isinstance(cause, (av.InvalidDataError, av.ArgumentError))
        reason = "its content is of no known video format, or its end is missing" if is_unknown else cause.strerror
        raise DataError(
            f"{path} cannot be read as a video: {reason}. Expected a file such as MP4, MKV, WebM or AVI; "
            "copy or export it again, or remove it."
        ) from cause


def video_stream(container: InputContainer, path: Path) -> av.VideoStream:
    """The video stream that a player would show, ready to be decoded.

    Raises:
        DataError: the file has no video stream, or it cannot be decoded.
    """
    films = _films(container)
    if not films:
        raise DataError(f"{path} has no video stream; expected one. Leave the file out, or export it again.")
    best = container.streams.best("video")
    stream = min(films, key=lambda film: (film.codec_context is None, film is not best))
    if stream.codec_context is None:
        raise DataError(
            f"{path} has a video codec that is not supported; expected one such as H.264, VP9, AV1 or MPEG-4. "
            "Convert it with another program."
        )
    # A decoder that conceals damage does so differently from run to run, so it has to report damage.
    stream.codec_context.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}
    # Threads that work on several frames would return them later than their opacity.
    stream.thread_type = "SLICE" if has_alpha_plane(stream) else "AUTO"
    return stream


def stated_rate(container: InputContainer, stream: av.VideoStream) -> float | None:
    """Frames per second by the file's own statement; None if it states none."""
    # For a stream without times, the average is a default, and the guess comes from the stream's header.
    rate = stream.guessed_rate if is_untimed(container) else stream.average_rate
    return float(rate) if rate else None


def is_untimed(container: InputContainer) -> bool:
    """Whether a file consists only of coded frames, without presentation times."""
    return container.format.name in ("h264", "hevc")


@contextlib.contextmanager
def damage_ignored(path: Path) -> Iterator[None]:
    """Leave a block that reads a file without an error if FFmpeg finds damage.

    Raises:
        TryAgainError: the file could not be read now, which is not damage.
    """
    try:
        yield
    except av.FFmpegError as cause:
        if later := _unread(path, cause):
            raise later from cause


def frames_of(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """Decode all intact frames; damaged packets are skipped."""
    return (frame for frame in _decoded(container, stream) if frame is not None)


def read_index(path: Path) -> Index:
    """Read all packets of a file, and compare them with the statements in its headers.

    Raises:
        DataError: the file cannot be read as a video, its frames are too large, or it is cut short or damaged.
    """
    index, says_durations = _read_index(path)
    if not len(index.times) or index.rate is None or keeps_rate(index.times, index.rate):
        return index
    end = index.end
    if len(index.times) > 2 and not says_durations and abs(end - float(index.times[-1]) - 1 / index.rate) <= CLOCK:
        # The duration of the last frame also comes from the header, which is wrong, so take that of most frames.
        gaps = np.diff(index.times)
        end = float(index.times[-1] + gaps[gaps <= 1.5 * np.median(gaps)].mean())
    return index._replace(rate=None, end=end)


def _read_index(path: Path) -> tuple[Index, bool]:
    """The index with the frame rate of the header, and whether the file states the duration of each frame."""
    structure = check_structure(path)
    with open_container(path, codec_whitelist="none") as container:  # Opening decodes frames, however large they are.
        stream = video_stream(container, path)
        check_pixels(path, stream.height, stream.width)
    with open_container(path) as container:
        stream = video_stream(container, path)
        rate = stated_rate(container, stream)
        frame, tick = 1 / (rate or DEFAULT_FPS), float(stream.time_base or 1)
        packets = _packets(container, stream, path, frame)
        total = sum(packets.totals[film.index] for film in _films(container))
        if structure.pictures is not None and total < structure.pictures:
            raise _lost(path, structure.pictures, total)
        notes = [_edits(path, container, stream, packets), *(f"{n} {how}" for how, n in packets.odd.items() if n)]
        if not structure.sized:
            _check_length(path, container, stream, packets, frame)
        # AVI only states decoding times; if frames are reordered, their presentation times are unknown.
        guessed = container.format.name == "avi" and stream.codec_context.has_b_frames and packets.in_order
        says_durations = "mp4" in container.format.name or container.format.name == "gif"
    pts = np.array(sorted({time for time in packets.pts if time is not None}), np.int64)
    keys = np.searchsorted(pts, np.array(packets.keys, np.int64)).tolist()
    before = keys[0] if keys else 0  # Frames before the first keyframe, since a recording can start anywhere.
    if before and packets.keys[0] != packets.pts[0] and _starts_with_key(path):
        before = 0  # The first packet should be a keyframe and is damaged.
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
    """The error for a file that could not be read now; None if FFmpeg reports damage."""
    return unread_now(path, cause) if cause.errno in READ_ERRORS else None


def _films(container: InputContainer) -> list[av.VideoStream]:
    """The video streams of a file, without cover pictures of sound."""
    return [film for film in container.streams.video if not film.disposition & Disposition.attached_pic]


def _packets(container: InputContainer, stream: av.VideoStream, path: Path, frame: float) -> _Packets:
    """Demux a file to its end; ``frame`` is the duration in seconds of a frame that states none."""
    tick, codec = float(stream.time_base or 1), stream.codec_context.name
    pts: list[int | None] = []
    keys: list[int] = []
    decoded: list[int] = []
    delays: set[int] = set()
    totals: Counter[int] = Counter()
    damaged, hidden, empty = 0, 0, 0
    end = latest = -math.inf
    try:
        for packet in _demuxed(container):
            totals[packet.stream_index] += bool(packet.size)
            if not packet.size or packet.is_discard:
                continue
            if packet.pts is not None and packet.time_base:
                latest = max(latest, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream_index != stream.index:
                continue
            if codec == "vp8" and not bytes(packet)[0] >> 4 & 1:
                hidden += 1  # In VP8, a reference frame that is never shown has a packet of its own.
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
        totals,
        backwards,
        len(delays) < 2,
    )


def _edits(path: Path, container: InputContainer, stream: av.VideoStream, packets: _Packets) -> str:
    """Describe in words how many frames the edit list of an MP4 leaves out; empty if none.

    Raises:
        DataError: frames are missing from the file.
    """
    listed, shown = stream.frames if "mp4" in container.format.name else 0, len(packets.pts)
    if shown >= listed:
        return ""
    with open_container(path, ignore_editlist="1") as whole:
        total = sum(packet.stream_index == stream.index and packet.size > 0 for packet in _demuxed(whole))
    if total < listed:
        raise _lost(path, listed, total)
    return f"{listed - shown} of {listed} frames edited away"


def _check_length(
    path: Path, container: InputContainer, stream: av.VideoStream, packets: _Packets, frame: float
) -> None:
    """Compare the duration of the packets with the one that the file states, if it states one.

    Raises:
        DataError: the packets end too early.
    """
    listed, present = 0.0, packets.latest
    if "mp4" in container.format.name and not stream.frames:  # A fragmented file does not count its frames.
        tick = float(stream.time_base or 0)
        listed = (stream.duration or 0) * tick
        present = packets.end - min((time for time in packets.pts if time is not None), default=0) * tick
    elif container.format.name in ("flv", "matroska,webm"):
        listed = (container.duration or 0) / av.time_base
    if listed and listed - present > frame + _SLACK:
        raise DataError(
            f"{path} is cut short: it lists {listed:.2f} s, and {present:.2f} s are there. "
            "Copy or download the file again."
        )


def _counted(path: Path, rate: float | None, frame: float, least: int, notes: list[str]) -> Index:
    """The index of a file whose packets do not suffice, from decoding all of it.

    Raises:
        DataError: the file is damaged, or has fewer than ``least`` frames.
    """
    shown: list[float | None] = []
    before, fields = 0, False
    with open_container(path) as container:
        for picture in _decoded(container, video_stream(container, path)):
            if picture is not None:
                shown.append(picture.time)
                fields |= picture.interlaced_frame and container.format.name == "mpegts"
            elif shown:
                raise DataError(
                    f"{path} is damaged after frame {len(shown) - 1}: the rest cannot be decoded. "
                    "Copy or export the file again."
                )
            else:
                before += 1
    if len(shown) < (least / 2 if fields else least):  # In a transport stream, a field can have its own packet.
        raise _lost(path, least, len(shown), "decoded")
    times = np.array([time for time in shown if time is not None], np.float64)
    if len(times) < len(shown) or (np.diff(times) <= 0).any():
        times = frame * np.arange(len(shown), dtype=np.float64)
    end = float(times[-1]) + frame if len(times) else 0.0
    return Index(None, [0], times, end, rate, _notes(notes, before))


def _decoded(container: InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame | None]:
    """Decode every frame; None stands for a damaged packet."""
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
    """The packets of the given streams, or of all streams."""
    with contextlib.suppress(IndexError):  # PyAV raises it at the end if a stream has appeared in the middle.
        yield from container.demux(*streams)


def _starts_with_key(path: Path) -> bool:
    """Whether the first packet is a keyframe according to the container, without looking into the packet."""
    with open_container(path, fflags="noparse") as container:
        return next((p.is_keyframe for p in _demuxed(container, video_stream(container, path)) if p.size), False)


def _notes(notes: list[str], before: int) -> str:
    """Join the descriptions of frames that are left out or damaged."""
    return ", ".join(filter(None, [*notes, f"without {before} before the first keyframe" if before else ""]))


def _lost(path: Path, listed: int, present: int, verb: str = "found") -> DataError:
    """The error for missing frames."""
    frames = count_of(listed, "frame")
    return DataError(
        f"{path} is damaged: it lists {frames}, and {present} can be {verb}. Copy or download the file again."
    )
