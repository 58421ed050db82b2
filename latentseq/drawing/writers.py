"""Labelled rows of video, or plain frames, written to a file: what is written follows from the suffix.

``.mp4``, ``.gif`` and ``.webp`` are the animation, ``.png`` the contact sheet, ``.npz`` the arrays. A closed set,
in one file. Rows are encoded in memory first, so a file is there whole or not at all; plain frames go into a folder
that their writer puts in its place when it is whole. The same input gives the same bytes.
"""

import io
import math
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from itertools import compress, groupby
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any, Literal, NamedTuple, Self, TypeAlias

import av
import numpy as np
from av.codec.context import Flags
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from latentseq.arrays import to_uint8
from latentseq.drawing.picture import COLOURS, Row, moments, sheet
from latentseq.errors import DataError, UsageError, did_you_mean, listed
from latentseq.media.footage import CLOCK
from latentseq.storage.workspace import write_output


class _Content(NamedTuple):
    """What is to be written; every format takes its part of it."""

    rows: Sequence[Row]
    border_at: int | None
    fps: float
    arrays: Mapping[str, np.ndarray]


def suffixes() -> tuple[str, ...]:
    """What a file may end in, sorted."""
    return tuple(sorted(_ENCODERS))


def check_suffix(path: Path) -> str:
    """The suffix of a path, in lower case.

    Raises:
        UsageError: none of ``suffixes()``.
    """
    suffix = path.suffix.lower()
    if suffix in _ENCODERS:
        return suffix
    ends = f"ends in {path.suffix!r}" if suffix else "has no suffix"
    hint = did_you_mean(_MEANT.get(suffix, suffix), _ENCODERS) if suffix else ""
    raise UsageError(
        f"{path.name} {ends}; expected one of {listed(_ENCODERS)}. {hint}The suffix says what is written: a video, "
        "a contact sheet (.png) or arrays (.npz)."
    )


def write(
    path: Path, rows: Sequence[Row], *, border_at: int | None, fps: float, arrays: Mapping[str, np.ndarray]
) -> str:
    """Write rows of video, or arrays, in the format that the suffix names.

    Args:
        path: a file that ends in one of ``suffixes()``; an earlier one is replaced.
        rows: the picture, for everything but ``.npz``.
        border_at: the first generated frame, None where there is none.
        fps: frames a second, for what moves. Formats that cannot show so many leave frames out: the speed is right.
        arrays: what ``.npz`` holds, by name, of any shape and dtype but object.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        UsageError: another suffix, a frame rate that is none or too low for the format, or rows with nothing to draw.
        DataError: frames that are no frames or of different sizes, or an array of objects.
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    suffix = check_suffix(path)
    _check_rate(fps)
    return write_output(path, _ENCODERS[suffix](_Content(rows, border_at, fps, arrays)))


def write_frames(path: Path, chunks: Callable[[], Iterable[np.ndarray]], *, times: np.ndarray, fps: float) -> None:
    """Write plain frames as a video: no label, no border, not enlarged.

    An MP4 takes as much memory as a chunk; a GIF and a WebP hold all of the clip, in one and in three bytes a pixel.

    Args:
        path: a file to make, ending in .mp4, .gif or .webp; a failure leaves a part of it for the caller to remove.
        chunks: gives the frames from the first on, (t, h, w, c) uint8 at a time, c 1 or 3; a GIF asks twice.
        times: (n,) float64, the second at which each frame comes on, rising from 0. Formats that cannot show so many
            frames a second leave some out: the speed is right.
        fps: frames a second, on average; the last one is shown for 1 / fps.

    Raises:
        UsageError: a frame rate that is none, or a frame that is shown for longer than the format can say.
    """
    _check_rate(fps)
    clock = _Clock.of(times, fps)
    pictures = (np.ascontiguousarray(picture) for chunk in chunks() for picture in _rgb(chunk))
    with path.open("wb") as file:
        _MOVING[path.suffix](file, pictures, clock, lambda: _palette(chunks(), len(times)))


def encode_png(picture: np.ndarray) -> bytes:
    """One picture (H, W, 3) uint8 as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _animation(suffix: str, content: _Content) -> bytes:
    buffer, pictures = io.BytesIO(), moments(content.rows, border_at=content.border_at)
    frames = [row.frames for row in content.rows]
    clock = _Clock.of(np.arange(max(row.start + len(row.frames) for row in content.rows)) / content.fps, content.fps)
    _MOVING[suffix](buffer, pictures, clock, lambda: _palette(frames, sum(map(len, frames)), COLOURS))
    return buffer.getvalue()


class _Clock(NamedTuple):
    """When frames are shown.

    Attributes:
        times: (n + 1,) float64, the second at which each comes on, and the last one goes.
        fps: frames a second, where that says it all.
    """

    times: np.ndarray
    fps: float | None

    @classmethod
    def of(cls, times: np.ndarray, fps: float) -> Self:
        """The clock of frames that come on at ``times``, and of which the last is shown for 1 / ``fps``.

        Even times are as exact as their rate is: a container may have rounded them to milliseconds.
        """
        even = np.arange(len(times) + 1) / fps
        if np.allclose(times, even[:-1], rtol=0, atol=min(CLOCK, 0.25 / fps)):
            return cls(even, fps)
        return cls(np.append(times, times[-1] + 1 / fps), None)


def _mp4(file: IO[bytes], pictures: Iterator[np.ndarray], clock: _Clock, palette: Callable[[], np.ndarray]) -> None:
    gaps = np.diff(clock.times)
    _check_longest("MP4", "A frame", float(gaps.max()), 43_200)
    rate = _fraction(clock.fps or 1 / float(gaps[-1]))  # The last frame is shown for one of these.
    tick = 1 / rate if clock.fps else Fraction(1, 30_000)
    with av.open(file, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(_video_encoder(), rate=rate)
        for i, picture in enumerate(pictures):
            if i == 0:
                _set_up(stream, *picture.shape[:2], tick=tick, even=clock.fps is not None)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base, frame.pts = tick, i if clock.fps else round(clock.times[i] / tick)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _fraction(fps: float) -> Fraction:
    """A frame rate as files have it, such as 30000/1001 or 1/3600."""
    return Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(1 / fps).limit_denominator(1001)


def _check_rate(fps: float) -> None:
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps is {fps}; expected a number of frames a second above 0.")


def _check_longest(format: str, what: str, seconds: float, longest: float) -> None:
    """Refuse a time that a format has no number for."""
    if seconds > longest:
        raise UsageError(
            f"{what} would be shown for {seconds:,.10g} s, and {format} can say at most {longest:,.10g} s. Choose "
            "another format, or a higher frame rate."
        )


def _video_encoder() -> Literal["libx264", "mpeg4"]:
    """H.264 where this build of FFmpeg can write it, MPEG-4 elsewhere."""
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"


def _set_up(stream: av.VideoStream, high: int, wide: int, *, tick: Fraction, even: bool) -> None:
    context = stream.codec_context
    context.time_base = tick
    # Every player knows the first; at an odd size libx264 takes the second only.
    odd = stream.name == "libx264" and (high % 2 or wide % 2)
    stream.height, stream.width, stream.pix_fmt = high, wide, "yuv444p" if odd else "yuv420p"
    # Said in the file, because players guess the colours of what is not.
    context.colorspace, context.color_range = Colorspace.ITU601, ColorRange.MPEG
    context.flags |= Flags.bitexact
    # One thread, so that the bytes do not depend on the number of cores.
    context.thread_count = 1
    if stream.name == "libx264":
        # Its macroblock tree reads memory that nothing was written to: now and then other bytes from the same input.
        stream.options = {"crf": "14", "preset": "medium", "mbtree": "0"}
    else:
        context.flags |= Flags.qscale
        context.global_quality = 2 * _QUANTISER
    if not even:
        context.max_b_frames = 0  # Frames that change places would get the durations of others.


def _gif(file: IO[bytes], pictures: Iterator[np.ndarray], clock: _Clock, palette: Callable[[], np.ndarray]) -> None:
    colours = palette()
    # Time is told in hundredths of a second, and browsers take less than two of them for ten. The last index stands
    # for what has not changed since the frame before.
    table = colours.tobytes().ljust(3 * 256, b"\0")
    options = {"palette": table, "transparency": 255, "optimize": True, "disposal": 1}
    _animate(file, _indexed(pictures, colours), clock, "GIF", unit=10, least=2, longest=65_535, **options)


def _webp(file: IO[bytes], pictures: Iterator[np.ndarray], clock: _Clock, palette: Callable[[], np.ndarray]) -> None:
    # Enlarged frames are flat squares, which the lossless mode stores in less than the lossy one.
    images = (Image.fromarray(picture) for picture in pictures)
    options = {"lossless": True, "quality": 30, "method": 1}
    _animate(file, images, clock, "WEBP", unit=1, least=11, longest=(1 << 24) - 1, **options)


def _animate(
    file: IO[bytes],
    images: Iterator[Image.Image],
    clock: _Clock,
    format: str,
    *,
    unit: int,
    least: int,
    longest: int,
    **options: Any,
) -> None:
    """Images that Pillow can animate, at the right speed.

    Args:
        file: where to.
        images: one for each frame.
        clock: when they are shown.
        format: Pillow's name of the format.
        unit: milliseconds in which the format tells time.
        least: the shortest duration that is played as written, in units.
        longest: the longest that can be written, in units.
        options: for the format.

    Raises:
        UsageError: a frame is shown for longer.
    """
    seconds = unit / 1000
    kept, next_one = np.zeros(len(clock.times) - 1, bool), -math.inf
    for i, time in enumerate(clock.times[:-1].tolist()):
        if time >= next_one:
            kept[i], next_one = True, time + least * seconds - 1e-9
    times = clock.times[:-1][kept]
    first, *rest = compress(images, kept.tolist())
    # The ends are rounded, not the durations: what one frame loses the next one gets, and the whole keeps time.
    ends = np.rint(np.append(times, max(clock.times[-1], times[-1] + least * seconds)) / seconds).astype(int)
    durations = np.diff(ends).tolist()
    # Equal frames in a row are written as one.
    same = groupby(zip([first, *rest], durations, strict=True), key=lambda pair: pair[0].tobytes())
    stays = max(sum(duration for _, duration in run) for _, run in same)
    _check_longest(format, "A frame", stays * seconds, longest * seconds)
    _check_longest(format, "The whole", int(ends[-1]) * seconds, _MOST_UNITS * seconds)
    durations = [unit * duration for duration in durations]
    first.save(file, format, save_all=True, append_images=rest, duration=durations, loop=0, **options)


def _palette(pieces: Iterable[np.ndarray], count: int, reserved: Sequence[tuple[int, int, int]] = ()) -> np.ndarray:
    """(n, 3) uint8, n < 256: one for the whole animation, so that colours do not flicker.

    Args:
        pieces: (t, h, w, c) frames at a time.
        count: how many frames there are in all.
        reserved: colours that have to be in it, first of all.
    """
    free, sample = 255 - len(reserved), []
    for frames in pieces:
        every = max(1, count * math.prod(frames.shape[1:3]) // _PALETTE_PIXELS)
        sample.append(_rgb(frames).reshape(-1, 3)[::every])
    colours, counts = np.unique(np.concatenate(sample), axis=0, return_counts=True)
    if len(colours) > free:
        # The square root lets a small red lamp keep its red against a large grey sky.
        weighed = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)
        cut = Image.fromarray(weighed[None]).quantize(free, Image.Quantize.MEDIANCUT, kmeans=1)
        colours = np.array(cut.getpalette(), np.uint8).reshape(-1, 3)[:free]
    return np.concatenate([np.array(reserved, np.uint8).reshape(-1, 3), colours])


def _indexed(pictures: Iterator[np.ndarray], palette: np.ndarray) -> Iterator[Image.Image]:
    """Every pixel as the nearest colour of the palette; dithering would make noise that moves, and larger files.

    Each of the 2^24 colours is looked for once, when it first occurs: exact, where Pillow's own is to 4 levels.
    """
    unknown, axis = 255, palette.astype(np.float32)
    nearest = np.full(1 << 24, unknown, np.uint8)
    for picture in pictures:
        red, green, blue = np.moveaxis(picture.astype(np.uint32), -1, 0)
        codes = red << 16 | green << 8 | blue
        new = np.unique(codes[nearest[codes] == unknown])
        for part in np.array_split(new, len(new) // 4096 + 1):
            colours = np.stack([part >> 16, part >> 8 & 255, part & 255], axis=1).astype(np.float32)
            nearest[part] = ((axis**2).sum(1) - 2 * colours @ axis.T).argmin(1)
        image = Image.fromarray(nearest[codes])
        image.putpalette(palette.tobytes())
        yield image


def _rgb(frames: np.ndarray) -> np.ndarray:
    return np.broadcast_to(to_uint8(frames), (*frames.shape[:3], 3))


def _png(content: _Content) -> bytes:
    return encode_png(sheet(content.rows, border_at=content.border_at))


def _npz(content: _Content) -> bytes:
    buffer = io.BytesIO()
    # As numpy.savez_compressed, but an array may have any name, and none is ever pickled.
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in content.arrays.items():
            array = np.asarray(array)
            if array.dtype.hasobject:
                raise DataError(f"Array {name!r} has dtype {array.dtype}; expected numbers or text.")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return buffer.getvalue()


_Moving: TypeAlias = Callable[[IO[bytes], Iterator[np.ndarray], _Clock, Callable[[], np.ndarray]], None]
_MOVING: Mapping[str, _Moving] = MappingProxyType({".mp4": _mp4, ".gif": _gif, ".webp": _webp})
"""Writes pictures (H, W, 3) uint8, shown by a clock; the palette is made where it is wanted."""
_ENCODERS: Mapping[str, Callable[[_Content], bytes]] = MappingProxyType(
    {suffix: partial(_animation, suffix) for suffix in _MOVING} | {".png": _png, ".npz": _npz}
)
_MEANT: Mapping[str, str] = MappingProxyType(
    dict.fromkeys((".avi", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".webm"), ".mp4")
    | dict.fromkeys((".bmp", ".jpeg", ".jpg", ".tif", ".tiff"), ".png")
    | dict.fromkeys((".h5", ".npy"), ".npz")
)
"""What people also write, and which of ours comes nearest; spelling alone would take .mpg for .png."""
_MOST_UNITS = (1 << 31) - 1
"""Of time in an animation that Pillow writes."""
_QUANTISER = 118
"""FFmpeg's FF_QP2LAMBDA: by how much it scales a quantiser."""
_PALETTE_PIXELS = 1_000_000
"""Enough to find the colours of a video by."""
