"""Writes labelled rows of video, or plain frames, to a file whose suffix decides the format.

``.mp4``, ``.gif`` and ``.webp`` hold an animation, ``.png`` holds a contact sheet, and ``.npz`` holds arrays. Rows
are encoded in memory first, so an incomplete file never appears. Plain frames are written directly, and the caller
writes them to a temporary folder. The same input gives the same bytes.
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
from latentseq.errors import DataError, UsageError, did_you_mean, join_names
from latentseq.media.footage import CLOCK
from latentseq.storage.workspace import write_output


class _Content(NamedTuple):
    """Content of a file; each format uses a part of it. See ``write``."""

    rows: Sequence[Row]
    border_at: int | None
    fps: float
    arrays: Mapping[str, np.ndarray]


def suffixes() -> tuple[str, ...]:
    """Suffixes that can be written, sorted."""
    return tuple(sorted(_ENCODERS))


def check_suffix(path: Path) -> str:
    """Suffix of a path in lower case.

    Raises:
        UsageError: the suffix is not one of ``suffixes()``.
    """
    suffix = path.suffix.lower()
    if suffix in _ENCODERS:
        return suffix
    problem = f"ends in {path.suffix!r}" if suffix else "has no suffix"
    hint = did_you_mean(_MEANT.get(suffix, suffix), _ENCODERS) if suffix else ""
    raise UsageError(
        f"{path.name} {problem}; expected one of {join_names(_ENCODERS)}. {hint}The suffix decides what is written: "
        "a video, a contact sheet (.png) or arrays (.npz)."
    )


def write(
    path: Path, rows: Sequence[Row], *, border_at: int | None, fps: float, arrays: Mapping[str, np.ndarray]
) -> str:
    """Write rows of video, or arrays, in the format of the suffix.

    Args:
        path: path of the file, which ends in one of ``suffixes()``; an existing file is replaced.
        rows: rows to draw in all formats except ``.npz``.
        border_at: number of the first generated frame; None if there is none.
        fps: frames per second of an animation. Formats that cannot show as many leave frames out, so that the speed
            is right.
        arrays: arrays for ``.npz`` by name, of any shape, and of any dtype except object.

    Returns:
        The SHA-256 of the file, in hexadecimal.

    Raises:
        UsageError: the suffix is not supported, the frame rate is not valid or is too low for the format, or there is
            nothing to draw.
        DataError: an array does not hold frames, the frames have different sizes, or an array holds objects.
        TryAgainError: the disk is full, or the folder cannot be written.
    """
    suffix = check_suffix(path)
    _check_rate(fps)
    return write_output(path, _ENCODERS[suffix](_Content(rows, border_at, fps, arrays)))


def write_frames(path: Path, chunks: Callable[[], Iterable[np.ndarray]], *, times: np.ndarray, fps: float) -> None:
    """Write plain frames as a video, without labels or border, and not enlarged.

    An MP4 takes as much memory as a chunk. A GIF and a WebP hold the whole clip, with one and three bytes per pixel.

    Args:
        path: path of the file to write, ending in .mp4, .gif or .webp. After an error, an incomplete file is left for
            the caller to remove.
        chunks: function that returns all frames from the first on, in arrays (t, h, w, c) uint8, where c is 1 or 3.
            It is called twice for a GIF.
        times: (n,) float64, second at which each frame appears, ascending from 0. Formats that cannot show as many
            frames per second leave some out, so that the speed is right.
        fps: average number of frames per second; the last frame is shown for 1 / fps.

    Raises:
        UsageError: the frame rate is not valid, or a frame is shown for longer than the format can store.
    """
    _check_rate(fps)
    clock = _Clock.of(times, fps)
    pictures = (np.ascontiguousarray(picture) for chunk in chunks() for picture in _rgb(chunk))
    with path.open("wb") as file:
        _MOVING[path.suffix](file, pictures, clock, lambda: _palette(chunks(), len(times)))


def encode_png(picture: np.ndarray) -> bytes:
    """Encode a picture (H, W, 3) uint8 as a PNG file."""
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
    """Times at which frames are shown.

    Attributes:
        times: (n + 1,) float64, second at which each frame appears, and at which the last one disappears.
        fps: frames per second, if the frames are evenly spaced; else None.
    """

    times: np.ndarray
    fps: float | None

    @classmethod
    def of(cls, times: np.ndarray, fps: float) -> Self:
        """The clock of frames that appear at ``times``; the last one is shown for 1 / ``fps``.

        Nearly even times are replaced by exactly even ones, because a container may have rounded them to
        milliseconds.
        """
        even = np.arange(len(times) + 1) / fps
        if np.allclose(times, even[:-1], rtol=0, atol=min(CLOCK, 0.25 / fps)):
            return cls(even, fps)
        return cls(np.append(times, times[-1] + 1 / fps), None)


def _mp4(file: IO[bytes], pictures: Iterator[np.ndarray], clock: _Clock, palette: Callable[[], np.ndarray]) -> None:
    gaps = np.diff(clock.times)
    _check_longest("MP4", "A frame", float(gaps.max()), 43_200)
    rate = _fraction(clock.fps or 1 / float(gaps[-1]))  # The last frame is shown for 1 / rate.
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
    """A frame rate as the fraction that files store, such as 30000/1001 or 1/3600."""
    return Fraction(fps).limit_denominator(1001) if fps >= 1 else 1 / Fraction(1 / fps).limit_denominator(1001)


def _check_rate(fps: float) -> None:
    if not (math.isfinite(fps) and fps > 0):
        raise UsageError(f"fps is {fps}; expected a number of frames per second above 0.")


def _check_longest(format: str, what: str, seconds: float, longest: float) -> None:
    """Refuse a duration that a format cannot store."""
    if seconds > longest:
        raise UsageError(
            f"{what} would be shown for {seconds:,.10g} s, and {format} can store at most {longest:,.10g} s. Choose "
            "another format, or a higher frame rate."
        )


def _video_encoder() -> Literal["libx264", "mpeg4"]:
    """H.264 if this build of FFmpeg can write it, else MPEG-4."""
    return "libx264" if "libx264" in av.codecs_available else "mpeg4"


def _set_up(stream: av.VideoStream, high: int, wide: int, *, tick: Fraction, even: bool) -> None:
    context = stream.codec_context
    context.time_base = tick
    # Every player supports yuv420p, but libx264 only accepts yuv444p for odd sizes.
    odd = stream.name == "libx264" and (high % 2 or wide % 2)
    stream.height = high
    stream.width = wide
    stream.pix_fmt = "yuv444p" if odd else "yuv420p"
    # Players guess the colours of files that do not state them.
    context.colorspace = Colorspace.ITU601
    context.color_range = ColorRange.MPEG
    context.flags |= Flags.bitexact
    # With one thread, the bytes do not depend on the number of cores.
    context.thread_count = 1
    if stream.name == "libx264":
        # The macroblock tree reads uninitialised memory, so the same input would sometimes give other bytes.
        stream.options = {"crf": "14", "preset": "medium", "mbtree": "0"}
    else:
        context.flags |= Flags.qscale
        context.global_quality = 2 * _QUANTISER
    if not even:
        context.max_b_frames = 0  # Reordered frames would get the durations of other frames.


def _gif(file: IO[bytes], pictures: Iterator[np.ndarray], clock: _Clock, palette: Callable[[], np.ndarray]) -> None:
    colours = palette()
    # GIF counts time in hundredths of a second, and browsers replace durations below two of them by ten. The last
    # index stands for pixels that have not changed since the frame before.
    table = colours.tobytes().ljust(3 * 256, b"\0")
    options = {"palette": table, "transparency": 255, "optimize": True, "disposal": 1}
    _animate(file, _indexed(pictures, colours), clock, "GIF", unit=10, least=2, longest=65_535, **options)


def _webp(file: IO[bytes], pictures: Iterator[np.ndarray], clock: _Clock, palette: Callable[[], np.ndarray]) -> None:
    # Enlarged frames consist of flat squares, which the lossless mode stores in fewer bytes than the lossy one.
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
    """Write an animation with Pillow, at the right speed.

    Args:
        file: file to write to.
        images: an image for each frame.
        clock: times at which the frames are shown.
        format: Pillow's name of the format.
        unit: unit of time of the format, in milliseconds.
        least: shortest duration that players respect, in units.
        longest: longest duration that the format can store, in units.
        options: options of the format.

    Raises:
        UsageError: a frame is shown for longer than ``longest``.
    """
    seconds = unit / 1000
    mask, next_time = np.zeros(len(clock.times) - 1, bool), -math.inf
    for i, time in enumerate(clock.times[:-1].tolist()):
        if time >= next_time:
            mask[i], next_time = True, time + least * seconds - 1e-9
    times = clock.times[:-1][mask]
    first, *rest = compress(images, mask.tolist())
    # End times are rounded instead of durations, so that rounding errors do not add up.
    ends = np.rint(np.append(times, max(clock.times[-1], times[-1] + least * seconds)) / seconds).astype(int)
    durations = np.diff(ends).tolist()
    # Pillow writes equal successive frames as one.
    runs = groupby(zip([first, *rest], durations, strict=True), key=lambda pair: pair[0].tobytes())
    maximum = max(sum(duration for _, duration in run) for _, run in runs)
    _check_longest(format, "A frame", maximum * seconds, longest * seconds)
    _check_longest(format, "The animation", int(ends[-1]) * seconds, _MOST_UNITS * seconds)
    durations = [unit * duration for duration in durations]
    first.save(file, format, save_all=True, append_images=rest, duration=durations, loop=0, **options)


def _palette(pieces: Iterable[np.ndarray], count: int, reserved: Sequence[tuple[int, int, int]] = ()) -> np.ndarray:
    """Choose a palette (n, 3) uint8, n < 256, for the whole animation, so that colours do not flicker.

    Args:
        pieces: arrays of frames (t, h, w, c).
        count: number of frames in all arrays.
        reserved: colours that come first in the palette.
    """
    free, sample = 255 - len(reserved), []
    for frames in pieces:
        every = max(1, count * math.prod(frames.shape[1:3]) // _PALETTE_PIXELS)
        sample.append(_rgb(frames).reshape(-1, 3)[::every])
    colours, counts = np.unique(np.concatenate(sample), axis=0, return_counts=True)
    if len(colours) > free:
        # Weighting by the square root of counts keeps the colours of small objects on a large background.
        pixels = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)
        image = Image.fromarray(pixels[None]).quantize(free, Image.Quantize.MEDIANCUT, kmeans=1)
        colours = np.array(image.getpalette(), np.uint8).reshape(-1, 3)[:free]
    return np.concatenate([np.array(reserved, np.uint8).reshape(-1, 3), colours])


def _indexed(pictures: Iterator[np.ndarray], palette: np.ndarray) -> Iterator[Image.Image]:
    """Convert each pixel to the nearest colour of the palette. Dithering would add moving noise and enlarge files.

    Each of the 2^24 colours is looked up once, when it first occurs. The result is exact, unlike that of Pillow.
    """
    missing, axis = 255, palette.astype(np.float32)
    nearest = np.full(1 << 24, missing, np.uint8)
    for picture in pictures:
        red, green, blue = np.moveaxis(picture.astype(np.uint32), -1, 0)
        codes = red << 16 | green << 8 | blue
        new = np.unique(codes[nearest[codes] == missing])
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
    # Unlike numpy.savez_compressed, this allows any name of an array, and never pickles.
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
"""Functions that write pictures (H, W, 3) uint8 by a clock; the palette is only computed if it is needed."""
_ENCODERS: Mapping[str, Callable[[_Content], bytes]] = MappingProxyType(
    {suffix: partial(_animation, suffix) for suffix in _MOVING} | {".png": _png, ".npz": _npz}
)
_MEANT: Mapping[str, str] = MappingProxyType(
    dict.fromkeys((".avi", ".m4v", ".mkv", ".mov", ".mpeg", ".mpg", ".webm"), ".mp4")
    | dict.fromkeys((".bmp", ".jpeg", ".jpg", ".tif", ".tiff"), ".png")
    | dict.fromkeys((".h5", ".npy"), ".npz")
)
"""Suffixes of other formats, and the suffix to suggest for each; by spelling alone, .mpg would suggest .png."""
_MOST_UNITS = (1 << 31) - 1
"""Largest duration of an animation that Pillow writes, in units of the format."""
_QUANTISER = 118
"""FFmpeg's FF_QP2LAMBDA, the factor by which it scales a quantiser."""
_PALETTE_PIXELS = 1_000_000
"""Number of pixels that a palette is chosen from."""
