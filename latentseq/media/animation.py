"""Image files that hold many pictures as footage: animated WebP and PNG, TIFF of many pages."""

import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, Self

import numpy as np
from PIL import Image

from latentseq.errors import DataError, unread
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture
from latentseq.media.images import IMAGE_TROUBLE, Still, image_size, open_image, plain, unreadable
from latentseq.media.preprocessing import check_pixels

_UNSAID = 0.1
"""Seconds that a frame of no duration is shown, as browsers do."""
_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 0b101


class Frames(NamedTuple):
    """What a file says of its pictures, before one is decoded.

    Attributes:
        total: how many there are, those included that are not shown.
        shown: the numbers of those that are shown, rising.
        durations: seconds of each of them; None where the file does not say.
    """

    total: int
    shown: list[int]
    durations: list[float] | None


def is_animation(path: Path) -> bool:
    """Whether a file is an image of several pictures to be shown, as its header says; a damaged file is none."""
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        return False
    try:
        return kind.has_many(path)
    except (DataError, *IMAGE_TROUBLE):
        return False


class Animation(Footage):
    """The pictures of one image file as they are shown: laid over one another, what is transparent on black.

    Decoders of animations go forward only. One is kept between walks: a walk that starts behind the last goes on
    decoding, any other starts at the first frame. The pages of a TIFF are found at once.
    """

    kind = "animation"

    def __init__(self, path: Path) -> None:
        """Count the pictures and read their durations, which decodes none.

        Args:
            path: the file.

        Raises:
            DataError: it cannot be read as an animation, is damaged, or is too large.
        """
        self.path = path
        self._image: Image.Image | None = None
        kind = _KINDS[path.suffix.lower()]
        self.size = image_size(path)
        with open_image(path) as image:
            if image.format != kind.format:
                raise DataError(
                    f"{path} is a file of {image.format}; expected one of {kind.format}, as its suffix says. "
                    "Rename it."
                )
            frames = kind.frames(path, image)
        if frames.durations is not None and len(frames.durations) != frames.total:
            raise DataError(
                f"{path} cannot be read as an animation: it lists {frames.total} frames and {len(frames.durations)} "
                "durations; expected one duration for each frame. Export it again."
            )
        self._shown, self.detail = frames.shown, kind.name
        self.seekable = not kind.overlaid  # Otherwise a frame is made from the one before.
        self.timed = frames.durations is not None
        if frames.durations is None:
            self.remark = (
                f"its {len(frames.shown)} pages do not say when they are shown; taken to be {DEFAULT_FPS:g} "
            )
            self.remark += "a second without --fps"
            self.detail += f", {self.remark}"
            ends = np.arange(1, len(frames.shown) + 1) / DEFAULT_FPS
        else:
            ends = np.cumsum([frames.durations[number] or _UNSAID for number in frames.shown])
        self.times, self.end = np.concatenate([[0.0], ends[:-1]]), float(ends[-1])

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``.

        Raises:
            DataError: a frame is damaged, or the file cannot be read any more.
        """
        for number, same in itertools.groupby(numbers.tolist()):
            picture = self._picture(number)
            for _ in same:
                yield picture

    def another(self) -> Self:
        """See ``Footage.another``."""
        other = super().another()
        other._image = None
        return other

    def close(self) -> None:
        """Give the decoder back; the next ``walk`` opens the file again."""
        if self._image is not None:
            self._image.close()
        self._image = None

    def _picture(self, number: int) -> Picture:
        """The frame of a number; it must be decoded now, for the decoder goes on to the next."""
        if self._image is None:
            self._image = open_image(self.path)
        try:
            self._image.seek(self._shown[number])
            image = plain(self._image)
        except IMAGE_TROUBLE as cause:
            self.close()  # It does not know any more where it is.
            raise unread(self.path, cause) or DataError(
                f"{self.path} is damaged at frame {number}: it lists {len(self.times)} frames, and this one cannot "
                "be decoded. Copy or export the file again."
            ) from cause
        return Still(lambda: image)


def _webp(path: Path, image: Image.Image) -> Frames:
    count = int(getattr(image, "n_frames", 1))
    return Frames(count, list(range(count)), _webp_durations(path))


def _is_animated_webp(path: Path) -> bool:
    with open_image(path) as image:  # By content: Pillow takes any image, whatever its suffix says.
        return image.format == "WEBP" and int(getattr(image, "n_frames", 1)) > 1


def _webp_durations(path: Path) -> list[float]:
    """Seconds of each frame, from the file's chunks: Pillow would have to decode every frame to say them.

    References:
        RFC 9649, sections 2.3 to 2.7: an ANMF chunk is a frame, and its bytes 12 to 14 are its duration.
    """
    found = []
    try:
        with path.open("rb") as file:
            _, length, _ = struct.unpack("<4sI4s", file.read(12))
            while file.tell() < 8 + length:
                name, size = struct.unpack("<4sI", file.read(8))
                after = file.tell() + size + size % 2
                if name == b"ANMF":
                    found.append(int.from_bytes(file.read(15)[12:], "little") / 1000)
                file.seek(after)
    except (OSError, struct.error) as cause:
        raise unreadable(path, cause) from cause
    return found


def _png(path: Path, image: Image.Image) -> Frames:
    """References: PNG (third edition), section 11.3.4: an fcTL chunk is a frame, with its delay as a fraction."""
    durations: list[float] = []
    hidden = False  # Where no fcTL comes before it, the image that others show instead is no frame.
    try:
        with path.open("rb") as file:
            for name, content in _png_chunks(file):
                if name == b"IDAT":
                    hidden |= not durations
                elif name == b"fcTL":
                    over, under = struct.unpack(">HH", content[20:24])
                    durations.append(over / (under or 100))
    except (OSError, struct.error) as cause:
        raise unreadable(path, cause) from cause
    count = int(getattr(image, "n_frames", 1))
    return Frames(count, list(range(hidden, count)), [0.0] * hidden + durations)


def _is_animated_png(path: Path) -> bool:
    with path.open("rb") as file:
        for name, content in _png_chunks(file):
            if name in (b"acTL", b"IDAT"):
                return name == b"acTL" and struct.unpack(">I", content[:4])[0] > 1
    return False


def _png_chunks(file: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of a PNG up to its end: their names, and the first bytes of each."""
    if file.read(8) != b"\x89PNG\r\n\x1a\n":
        return
    while head := file.read(8):
        size, name = struct.unpack(">I4s", head)
        after = file.tell() + size + 4
        yield name, file.read(min(size, 26))
        file.seek(after)


def _tiff(path: Path, image: Image.Image) -> Frames:
    """All pages but previews and masks.

    Raises:
        DataError: a page cannot be read, or two differ in size.
    """
    shown: list[int] = []
    first = (0, 0)
    try:
        count = int(getattr(image, "n_frames", 1))
        for number in range(count):
            image.seek(number)
            if not _is_page(image):
                continue
            check_pixels(path, image.height, image.width)
            first = first if shown else image.size
            if image.size != first:
                raise DataError(
                    f"{path} has a page of {first[1]} x {first[0]} (h x w) and, as page {number + 1}, one of "
                    f"{image.height} x {image.width}; expected one size in a clip. Save them as files of their own."
                )
            shown.append(number)
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause
    return Frames(count, shown, None)


def _has_many_pages(path: Path) -> bool:
    """Looks no further than the second page that is shown."""
    shown = 0
    with open_image(path) as image:
        if image.format != "TIFF":
            return False
        for number in itertools.count():
            try:
                image.seek(number)
            except EOFError:
                return False
            shown += _is_page(image)
            if shown > 1:
                return True
    return False


def _is_page(image: Image.Image) -> bool:
    """Whether the page of a TIFF that was sought is a picture of its own, no preview and no mask of another one."""
    return not image.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK  # type: ignore[attr-defined]


class _Kind(NamedTuple):
    """A format of image files that may hold many pictures; ``overlaid``: one is made from the one before."""

    format: str
    name: str
    overlaid: bool
    has_many: Callable[[Path], bool]
    frames: Callable[[Path, Image.Image], Frames]


_APNG = _Kind("PNG", "PNG", True, _is_animated_png, _png)
_PAGES = _Kind("TIFF", "TIFF", False, _has_many_pages, _tiff)
_KINDS = MappingProxyType(
    {
        ".apng": _APNG,
        ".png": _APNG,
        ".tif": _PAGES,
        ".tiff": _PAGES,
        ".webp": _Kind("WEBP", "WebP", True, _is_animated_webp, _webp),
    }
)
