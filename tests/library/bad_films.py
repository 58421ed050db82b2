"""Small films of every kind, and what can be done to them: cut off, damaged, patched, put together."""

import io
import struct
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from av.container import OutputContainer
from av.stream import Disposition
from ingesting import bars

COUNT = 24
SIZE = (24, 48)
FAST = (("deadline", "realtime"), ("cpu-used", "8"))
FRAGMENTED = (("movflags", "frag_keyframe+empty_moov"),)
KINDS = {
    "end.mp4": {},
    "start.mp4": {"container": (("movflags", "faststart"),)},
    "a.mkv": {"options": (("bf", "3"),)},
    "a.webm": {"codec": "libvpx-vp9", "options": FAST},
    "a.avi": {"codec": "mpeg4"},
}
"""The films that are cut off and damaged; H.264 in MP4 has frames that refer to later ones."""


class Made:
    """A file that was written."""

    data = b""


@contextmanager
def writing(name: str, options: Iterable[tuple[str, str]] = ()) -> Iterator[tuple[Made, OutputContainer]]:
    """A file that is written where it can be read again, which some containers do, and then kept in memory."""
    made = Made()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        with av.open(str(path), "w", options=dict(options)) as file:
            yield made, file
        made.data = path.read_bytes()


@cache
def film(
    name: str = "a.mp4",
    count: int = COUNT,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = SIZE,
    pixels: str = "yuv420p",
    options: tuple[tuple[str, str], ...] = (),
    container: tuple[tuple[str, str], ...] = (),
    keyframes: int = 8,
    fps: int = 25,
    times: tuple[int, ...] | None = None,
    aspect: Fraction | None = None,
    sound: str | None = None,
) -> bytes:
    """A film whose frame i shows the number i in bars.

    Args:
        name: its suffix says the container.
        times: of each frame in milliseconds, where they are not evenly spaced.
        aspect: how much wider than high a pixel is.
        sound: codec of a tone beside it; one frame of sound for each picture.
    """
    with writing(name, container) as (made, file):
        stream = file.add_stream(codec, rate=fps, options=dict(options))
        (stream.height, stream.width), stream.pix_fmt = size, pixels
        stream.codec_context.gop_size = keyframes
        if times:
            stream.codec_context.time_base = Fraction(1, 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        voice = file.add_stream(sound, rate=48000, layout="mono") if sound else None
        for i in range(count):
            h, w = size
            picture = np.repeat(bars(i, h, w)[..., None], 3, -1) if w % 12 == 0 else np.full((h, w, 3), 99, np.uint8)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            if times:
                frame.pts, frame.time_base = times[i], stream.codec_context.time_base
            file.mux(stream.encode(frame))
            if voice:
                file.mux(voice.encode(tone(i)))
        file.mux(stream.encode())
        if voice:
            file.mux(voice.encode())
    return made.data


def tone(number: int) -> av.AudioFrame:
    """1024 samples of sound."""
    frame = av.AudioFrame.from_ndarray(np.full((1, 1024), 0.1, np.float32), format="fltp", layout="mono")
    frame.sample_rate, frame.pts = 48000, 1024 * number
    return frame


@cache
def sound_alone(name: str, codec: str, cover: bytes = b"") -> bytes:
    """Sound without pictures, but perhaps one on the cover, which is a JPEG."""
    with writing(name) as (made, file):
        stream = file.add_stream(codec, rate=48000, layout="mono")
        if cover:
            pictures = file.add_stream("mjpeg", rate=1)
            pictures.height, pictures.width, pictures.pix_fmt = *SIZE, "yuvj420p"
            pictures.disposition = Disposition.attached_pic
            packet = av.Packet(cover)
            packet.pts, packet.dts, packet.stream = 0, 0, pictures
            file.mux(packet)
        for i in range(10):
            file.mux(stream.encode(tone(i)))
        file.mux(stream.encode())
    return made.data


def again(
    data: bytes,
    name: str,
    change: Callable[[int, av.Packet], bool | None] = lambda number, packet: None,
    container: Iterable[tuple[str, str]] = (),
) -> bytes:
    """A film put into a container again, packet by packet.

    Args:
        data: the film.
        name: its suffix says the container.
        change: is given each packet and its number, and changes it; what it gives False for is left out.
        container: options.
    """
    with av.open(io.BytesIO(data)) as old, writing(name, container) as (made, new):
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(packet for packet in old.demux(video=0) if packet.size):
            if change(number, packet) is not False:
                packet.stream = stream
                new.mux(packet)
    return made.data


def later(ticks: int) -> Callable[[int, av.Packet], None]:
    """Every packet so much later."""

    def change(number: int, packet: av.Packet) -> None:
        packet.pts += ticks
        packet.dts += ticks

    return change


def patched(data: bytes, at: int, other: bytes) -> bytes:
    """Other bytes at a place."""
    return data[:at] + other + data[at + len(other) :]


def flipped(data: bytes, start: int, stop: int, seed: int) -> bytes:
    """One bit in a stretch is the other way round."""
    random = np.random.default_rng(seed)
    changed = bytearray(data)
    changed[random.integers(start, stop)] ^= 1 << random.integers(8)
    return bytes(changed)


def zeroed(data: bytes, start: int, stop: int, seed: int) -> bytes:
    """A tenth of a stretch is zeros."""
    random = np.random.default_rng(seed)
    length = max(2, (stop - start) // 10)
    at = random.integers(start, stop - length)
    return patched(data, at, bytes(length))


def areas(name: str, data: bytes) -> dict[str, tuple[int, int]]:
    """Where in a film its header, its pictures and its index are."""
    if name == "end.mp4":
        table = data.rindex(b"stbl")
        return {
            "header": (data.rindex(b"moov"), table),
            "data": (40, data.rindex(b"moov")),
            "index": (table, len(data)),
        }
    if name == "start.mp4":
        table, data_at = data.index(b"stbl"), data.index(b"mdat")
        return {"header": (0, table), "index": (table, data_at), "data": (data_at, len(data))}
    if name == "a.avi":
        movie, index = data.index(b"movi"), data.rindex(b"idx1")
        return {"header": (0, movie), "data": (movie, index), "index": (index, len(data))}
    cluster, cues = data.index(b"\x1f\x43\xb6\x75"), data.rindex(b"\x1c\x53\xbb\x6b")
    return {"header": (0, cluster), "data": (cluster, cues), "index": (cues, len(data))}


def listed_end(data: bytes, cut: int) -> int | None:
    """Where the part that a cut goes through says that it ends; None where nothing is lost.

    In MP4 that is a box, in Matroska the whole, and in AVI the pictures: an index behind them can be done without.
    """
    if data[:4] == b"RIFF":
        movie = data.index(b"movi")
        end = movie + struct.unpack("<I", data[movie - 4 : movie])[0]
        if cut < movie - 8:  # Of what was read of it, the longest that is listed.
            return len(data)
        return end if cut < end else None
    if data[:4] == b"\x1a\x45\xdf\xa3":
        return len(data)
    at = 0
    while at + struct.unpack(">I", data[at : at + 4])[0] <= cut:
        at += struct.unpack(">I", data[at : at + 4])[0]
    return at + struct.unpack(">I", data[at : at + 4])[0]


def unchanged(data: bytes, number: int) -> bytes:
    """An AVI of MPEG-4 one of whose packets says that nothing has changed, which gives no frame."""
    start = [at for at in range(data.index(b"movi"), len(data)) if data[at : at + 4] == b"00dc"][number]
    (size,) = struct.unpack("<I", data[start + 4 : start + 8])
    end = start + 8 + size + size % 2
    # An inter-coded picture, in the same second, at so many of its 25 parts, not coded.
    bits = int(f"0101{number:05b}1001111", 2).to_bytes(2, "big")
    packet = b"00dc" + struct.pack("<I", 6) + b"\0\0\1\xb6" + bits
    rest = end - start - len(packet) - 8
    return data[:start] + packet + b"JUNK" + struct.pack("<I", rest) + bytes(rest) + data[end:]


def turned(data: bytes, matrix: tuple[int, int, int, int]) -> bytes:
    """An MP4 whose pictures are shown through a matrix: x' = a x + c y, y' = b x + d y."""
    a, b, c, d = (value << 16 for value in matrix)
    at = data.index(b"tkhd") + 4 + 40
    return patched(data, at, struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30))


def larger_vp8(data: bytes, side: int) -> bytes:
    """A WebM of VP8 each of whose keyframes says that it is a square of that side; the container says what it was."""
    parts = data.split(b"\x9d\x01\x2a")
    return b"\x9d\x01\x2a".join([parts[0], *(struct.pack("<HH", side, side) + part[4:] for part in parts[1:])])


def larger_jpeg(data: bytes, side: int) -> bytes:
    """An AVI of JPEGs, each of which says that it is a square of that side."""
    parts = data.split(b"\xff\xc0\x00\x11\x08")
    squares = [struct.pack(">HH", side, side) + part[4:] for part in parts[1:]]
    return b"\xff\xc0\x00\x11\x08".join([parts[0], *squares])


def larger_mpeg(data: bytes) -> bytes:
    """An MPEG stream whose sequences say that they are 16383 x 16383."""
    changed = bytearray(data)
    at = -1
    while (at := data.find(b"\0\0\1\xb3", at + 1)) >= 0:
        changed[at + 4 : at + 7] = b"\xff\xff\xff"
    while (at := data.find(b"\0\0\1\xb5\x14", at + 1)) >= 0:
        changed[at + 5] |= 1
        changed[at + 6] |= 0xE0
    return bytes(changed)
