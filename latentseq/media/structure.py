"""Checks that a video file is complete, from the parts of its container. Demuxers skip missing parts silently.

Containers are chains of parts that state their own length. The parts are followed from one to the next, and nothing
is decoded. MPEG streams do not state their length; among them, only transport streams, whose packets all have one
length, are checked.
"""

import math
import os
import re
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from latentseq.errors import DataError, retry_error


class Structure(NamedTuple):
    """Facts from the parts of a file.

    Attributes:
        pictures: number of video packets in the file; None if its parts do not say.
        sized: whether the file states its own length, and has it.
    """

    pictures: int | None = None
    sized: bool = False


def check_structure(path: Path) -> Structure:
    """Follow the parts of a file from its start to its end.

    Raises:
        DataError: the file is cut short, a part does not start where the one before ends, or the file cannot be
            opened.
    """
    if not path.is_file():
        raise DataError(f"{path} cannot be read as a video: expected a regular file. Check the path.")
    try:
        with path.open("rb") as file:
            parts = _Parts(path, file)
            start = parts.read(0, 400)
            return next((follow(parts) for begins, follow in _KINDS if begins(start)), Structure())
    except OSError as cause:
        wrong = DataError(f"{path} cannot be read as a video: {cause.strerror}. Check its rights.")
        raise retry_error(path, cause) or wrong from cause


class _Parts:
    """A file whose parts are read at any position."""

    def __init__(self, path: Path, file: BinaryIO):
        self._path = path
        self._file = file
        self.size = os.fstat(file.fileno()).st_size

    def read(self, at: int, count: int) -> bytes:
        """Read ``count`` bytes from position ``at``, or fewer at the end of the file."""
        self._file.seek(at)
        return self._file.read(count)

    def check_end(self, listed: int) -> None:
        """Check that a part, which ends at byte ``listed``, lies in the file.

        Raises:
            DataError: the file ends earlier.
        """
        if listed > self.size:
            raise DataError(
                f"{self._path} is cut short: it lists {listed} bytes, and {self.size} are there. "
                "Copy or download the file again."
            )

    def no_end(self) -> DataError:
        """The error for a file whose last part is missing."""
        return DataError(
            f"{self._path} is cut short: its last part is missing after {self.size} bytes. "
            "Copy or download the file again."
        )

    def damaged(self, at: int) -> DataError:
        """The error for a position at which no part starts."""
        return DataError(
            f"{self._path} is damaged at byte {at}: expected the next part of the file there. "
            "Copy or download the file again."
        )


_FULL = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf")
_FRAGMENTED = frozenset(
    b"ftyp styp moov moof mdat sidx ssix mfra emsg prft pdin meta udta free skip wide uuid mfhd tfhd tfdt trun sdtp "
    b"sbgp sgpd subs saiz saio senc pssh".split()
)


def _boxes(parts: _Parts) -> Structure:
    """Follow the boxes of MP4 and QuickTime: a length, a name, and content or more boxes.

    Only the frames of fragments are counted, because libavformat counts the others.
    """
    ends, at, fragmented, track = [parts.size], 0, False, b""
    videos: set[bytes] = set()
    runs: Counter[bytes] = Counter()
    while at < parts.size:
        while at >= ends[-1]:
            ends.pop()
        head = parts.read(at, 32)
        size, name, inside = int.from_bytes(head[:4], "big"), head[4:8], 8
        if size == 1:
            size, inside = int.from_bytes(head[8:16], "big"), 16
        fragmented = name == b"moof" or (fragmented and name != b"moov")
        if size == 0 and len(ends) == 1:
            break  # It goes on to the end of the file.
        if size < inside or len(head) < inside or (fragmented and name not in (*_FULL, *_FRAGMENTED)):
            if fragmented:
                raise parts.damaged(at)
            at = ends[-1]  # The rest of this box is not made of boxes, which is harmless.
            continue
        if name == b"mdat" or name in _FULL:
            parts.check_end(at + size)
        if name == b"tkhd":
            track = head[28:32] if head[8:9] == b"\1" else head[20:24]
        elif name == b"hdlr" and head[16:20] == b"vide":
            videos.add(track)
        elif name == b"tfhd":
            track = head[12:16]
        first, second = struct.unpack(">II", head[12:20].ljust(8, b"\0"))
        runs[track] += first if name == b"trun" else 0
        # A few bytes can list any number of samples, and libavformat would allocate memory for all of them.
        if runs.total() > parts.size or (name == b"stsz" and max(1, first) * second > parts.size):
            raise parts.damaged(at)
        if name in _FULL:
            ends.append(at + size)
            size = inside
        at += size
    return Structure(sum(runs[video] for video in videos) if runs.total() else None)


_SEGMENT, _TRACKS, _CLUSTER, _GROUP = 0x18538067, 0x1654AE6B, 0x1F43B675, 0xA0
_BLOCKS = (0xA1, 0xA3)
# The others are seek head, info, cues, attachments, chapters and tags; in clusters time, position, previous size,
# silent tracks and encrypted blocks; and anywhere empty space and checksums.
_KNOWN = frozenset({_TRACKS, _GROUP, *_BLOCKS, 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1941A469, 0x1043A770}) | {
    *(0x1254C367, 0xE7, 0xA7, 0xAB, 0x5854, 0xAF, 0xEC, 0xBF)
}
_BEFORE_BLOCKS = (0xE7, 0xA7, 0xAB, 0x5854)


def _elements(parts: _Parts) -> Structure:
    """Follow the elements of Matroska and WebM: a name, a length, and content or more elements."""
    _, size, at = _element(parts, 0)
    name, segment, at = _element(parts, at + (size or 0))
    if name != _SEGMENT:
        raise parts.damaged(at)
    end = parts.size if segment is None else at + segment
    parts.check_end(end)
    videos: dict[int, bool] = {}
    pictures, blocks, cluster = 0, 0, math.inf
    while at < end:
        if at > cluster:
            raise parts.damaged(at)
        if at == cluster:
            cluster = math.inf
        name, length, inside = _element(parts, at)
        if name == _CLUSTER:  # A cluster of unknown length ends at the start of the next one.
            blocks, cluster, at = 0, math.inf if length is None else inside + length, inside
            continue
        if length is None or name not in _KNOWN or (blocks and name in _BEFORE_BLOCKS):
            raise parts.damaged(at)
        if name == _TRACKS:
            videos = _tracks(parts, inside, inside + length)
        block = _block_of(parts, inside, inside + length) if name == _GROUP else inside
        if name == _GROUP or name in _BLOCKS:
            track = _number(parts.read(block, 8))[0]
            if videos and track not in videos:
                raise parts.damaged(at)
            pictures, blocks = pictures + videos.get(track, False), blocks + 1
        at = inside + length
    if at > end:
        parts.check_end(at)
        raise parts.damaged(end)
    return Structure(pictures, segment is not None)


def _element(parts: _Parts, at: int) -> tuple[int, int | None, int]:
    """Name and length of an element, and the start of its content; the length is None if it is unknown."""
    head = parts.read(at, 12)
    if len(head) < 2:
        raise parts.no_end()
    wide = 9 - head[0].bit_length()
    length, more = _number(head[wide:])
    if wide > 4 or not more:
        raise parts.damaged(at)
    unknown = length == (1 << 7 * more) - 1
    return int.from_bytes(head[:wide], "big"), None if unknown else length, at + wide + more


def _number(head: bytes) -> tuple[int, int]:
    """A number of variable length, and how many bytes it takes; (0, 0) if it is not valid."""
    wide = 9 - head[0].bit_length() if head else 9
    if wide > min(8, len(head)):
        return 0, 0
    return int.from_bytes(head[:wide], "big") & (1 << 7 * wide) - 1, wide


def _tracks(parts: _Parts, at: int, end: int) -> dict[int, bool]:
    """Whether each track is video, by its number."""
    tracks: dict[int, bool] = {}
    while at < end:
        name, length, inside = _element(parts, at)
        stop, facts = inside + (length or 0), {}
        while name == 0xAE and inside < stop:
            fact, length, content = _element(parts, inside)
            facts[fact] = int.from_bytes(parts.read(content, min(length or 0, 8)), "big")
            inside = content + (length or 0)
        if facts:
            tracks[facts.get(0xD7, 0)] = facts.get(0x83) == 1
        at = stop
    return tracks


def _block_of(parts: _Parts, at: int, end: int) -> int:
    """Start of the content of the block in a group."""
    start = at
    while at < end:
        name, length, inside = _element(parts, at)
        if name in _BLOCKS:
            return inside
        at = inside + (length or 0)
    raise parts.damaged(start)


def _chunks(parts: _Parts) -> Structure:
    """Follow the chunks of AVI: a name, a length, and content or more chunks. A missing index is harmless."""
    at, movie, listed = 0, 0, 0
    videos: list[bool] = []
    packets: Counter[int] = Counter()
    while at + 8 <= parts.size:
        name, size, kind = struct.unpack("<4sI4s", parts.read(at, 12).ljust(12, b"\0"))
        end = at + 8 + size
        if name in (b"RIFF", b"LIST"):
            listed = max(listed, end)
            if kind == b"movi":
                parts.check_end(end)
                movie = end if size else parts.size  # A recording that was never closed states no size.
            at = at + 12 if kind in (b"AVI ", b"AVIX", b"hdrl", b"strl", b"movi", b"rec ") else end + end % 2
            continue
        if name == b"strh":
            videos.append(kind == b"vids")
        elif name == b"idx1":
            movie = min(movie, at)
        elif at < movie:
            if end > movie or not (name[:2].isdigit() or name in (b"JUNK", b"junk") or name[:2] == b"ix"):
                raise parts.damaged(at)
            if name[:2].isdigit():
                if int(name[:2]) >= len(videos):
                    raise parts.damaged(at)
                packets[int(name[:2])] += size > 0 and name[2:] != b"pc"  # "pc" is a palette.
        elif name == bytes(4):
            break  # Only zeros follow.
        at = end + size % 2
    if not movie:
        parts.check_end(listed)
        raise parts.damaged(min(at, parts.size))
    return Structure(sum(packets[number] for number, is_video in enumerate(videos) if is_video), True)


def _pages(parts: _Parts) -> Structure:
    """Follow the pages of Ogg, the last of which is marked."""
    at, flags = 0, 0
    while at < parts.size:
        head = parts.read(at, 27 + 255)
        if len(head) < 27:
            raise parts.no_end()
        if head[:4] != b"OggS":
            raise parts.damaged(at)
        flags, count = head[5], head[26]
        at += 27 + count + sum(head[27 : 27 + count])
    parts.check_end(at)
    if not flags & 4:
        raise parts.no_end()
    return Structure(sized=True)


def _tags(parts: _Parts) -> Structure:
    """Follow the tags of Flash video, which hold sound, pictures or metadata, each followed by its length."""
    at = int.from_bytes(parts.read(5, 4), "big") + 4
    pictures = 0
    while at < parts.size:
        head = parts.read(at, 13).ljust(13, b"\0")
        if head[0] not in (8, 9, 18):
            raise parts.damaged(at)
        # A tag of H.264 can hold parameters instead of a picture. Tags of later codecs are not counted.
        pictures += head[0] == 9 and head[11] < 0x50 and (head[11] & 15 != 7 or head[12] == 1)
        at += 11 + int.from_bytes(head[1:4], "big") + 4
    parts.check_end(at)
    return Structure(pictures)


def _blocks(parts: _Parts) -> Structure:
    """Follow the blocks of GIF, the last of which is a semicolon."""

    def table(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    at, pictures = 13 + table(parts.read(10, 1)[0]), 0
    while True:
        head = parts.read(at, 10)
        if head[:1] == b";":
            return Structure(pictures, True)
        if head[:1] == b"," and len(head) == 10:
            at, pictures = at + 11 + table(head[9]), pictures + 1
        elif head[:1] == b"!":
            at += 2
        elif head:
            raise parts.damaged(at)
        while length := parts.read(at, 1):
            at += 1 + length[0]
            if not length[0]:
                break
        else:
            raise parts.no_end()


def _objects(parts: _Parts) -> Structure:
    """Windows Media: check the length of the file that one of its objects states, unless it is a live stream."""
    head = parts.read(0, 1 << 16)
    at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    if at >= 0 and len(head) >= at + 92 and not head[at + 88] & 1:
        parts.check_end(int.from_bytes(head[at + 40 : at + 48], "little"))
    return Structure(sized=True)


def _packets(parts: _Parts) -> Structure:
    """MPEG transport stream: check that it consists of packets of 188 bytes, or of 192 with a time in front."""
    if parts.size % (188 if parts.read(376, 1) == b"G" else 192):
        raise parts.no_end()
    return Structure()


_CHROMA = {b"mono": None, b"411": (4, 1), b"420": (2, 2), b"422": (2, 1), b"444": (1, 1)}
_SAMPLING = re.compile(rb"(mono|411|420|422|444)(alpha|jpeg|mpeg2|paldv)?p?(\d*)")


def _pictures(parts: _Parts) -> Structure:
    """Follow the pictures of YUV4MPEG2: a line that states their size, then each picture after a line of its own."""
    head = parts.read(0, 400).partition(b"\n")[0]
    facts = {word[:1]: word[1:] for word in head.split()[1:]}
    sampling = _SAMPLING.fullmatch(facts.get(b"C", b"420"))
    if sampling is None or not (facts.get(b"W", b"").isdigit() and facts.get(b"H", b"").isdigit()):
        return Structure()  # libavformat decides whether it accepts another kind.
    (kind, more, depth), w, h = sampling.groups(), int(facts[b"W"]), int(facts[b"H"])
    samples, chroma = w * h * (2 if more == b"alpha" else 1), _CHROMA[kind]
    if chroma:
        samples += 2 * -(-w // chroma[0]) * -(-h // chroma[1])
    size = samples * (2 if int(depth or 8) > 8 else 1)
    at, pictures = len(head) + 1, 0
    while at < parts.size:
        line = parts.read(at, 100).partition(b"\n")[0]
        if not line.startswith(b"FRAME"):
            raise parts.damaged(at)
        at, pictures = at + len(line) + 1 + size, pictures + 1
    parts.check_end(at)
    return Structure(pictures, True)


_KINDS: tuple[tuple[Callable[[bytes], bool], Callable[[_Parts], Structure]], ...] = (
    (lambda start: start[4:8] in (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip"), _boxes),
    (lambda start: start[:4] == b"\x1a\x45\xdf\xa3", _elements),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"AVI ", _chunks),
    (lambda start: start[:4] == b"OggS", _pages),
    (lambda start: start[:3] == b"FLV", _tags),
    (lambda start: start[:3] == b"GIF" and len(start) > 12, _blocks),
    (lambda start: start[:4] == b"\x30\x26\xb2\x75", _objects),
    (lambda start: start[:10] == b"YUV4MPEG2 ", _pictures),
    (lambda start: b"GGG" in (start[:377:188], start[4:389:192]), _packets),
)
