"""Image files that hold many pictures, as footage: animated WebP, animated PNG, and TIFF with several pages."""

import hashlib
import itertools
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, NamedTuple, Self

import numpy as np
from PIL import Image

from latentseq.errors import DataError, count_of, retry_error
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture
from latentseq.media.images import IMAGE_TROUBLE, Still, image_size, is_wide, open_image, plain, unreadable
from latentseq.media.levels import WORD, Levels, check_depth, looked_at
from latentseq.media.preprocessing import check_pixels

_DEFAULT_DURATION = 0.1
"""Seconds for which a frame of duration 0 is shown; browsers use the same value."""
_SUBFILE_TYPE, _REDUCED_OR_MASK = 254, 0b101


class Frames(NamedTuple):
    """What a file says about its pictures, before any is decoded.

    Attributes:
        total: number of pictures in the file, including those that are not shown.
        shown: numbers of the pictures that are shown, in ascending order.
        durations: duration of each picture in seconds; None if the file does not say.
    """

    total: int
    shown: list[int]
    durations: list[float] | None


def is_animation(path: Path) -> bool:
    """Whether the header of an image file says that it shows several pictures; False for a damaged file."""
    kind = _KINDS.get(path.suffix.lower())
    if kind is None:
        return False
    try:
        return kind.has_many(path)
    except (DataError, *IMAGE_TROUBLE):
        return False


class Animation(Footage):
    """The pictures of one image file as they are shown: drawn over one another, with transparent parts on black.

    Decoders of animations only go forward. The decoder stays open between walks. A walk that starts after the end of
    the last one continues decoding; any other walk starts again at the first frame. Pages of a TIFF are read
    directly.
    """

    kind = "animation"

    def __init__(self, path: Path, levels: Levels | None = None) -> None:
        """Count the pictures and read their durations, without decoding any.

        Args:
            path: path of the image file.
            levels: values of black and white for pages with more than 8 bits; by default 0..65535 for integers and
                0..1 for floats.

        Raises:
            DataError: the file cannot be read as an animation, is damaged, is too large, or has pages of 16 bits
                that would become black.
        """
        self.path = path
        self._image: Image.Image | None = None
        kind = _KINDS[path.suffix.lower()]
        self.size = image_size(path)
        with open_image(path) as image:
            if image.format != kind.format:
                raise DataError(
                    f"{path} is a {image.format} file; expected {kind.format}, because of its suffix. Rename it."
                )
            frames = kind.frames(path, image)
            wide = is_wide(image.mode)
            if wide and levels is None and image.mode != "F":
                pages = [frames.shown[i] for i in looked_at(len(frames.shown)).tolist()]
                check_depth(max(_most(path, image, page) for page in pages), len(pages), str(path))
        self._levels = levels if wide else None
        if wide:
            self.reading = f"{kind.name} of more than 8 bits, values {levels or WORD} from black to white"
        if frames.durations is not None and len(frames.durations) != frames.total:
            raise DataError(
                f"{path} cannot be read as an animation: it lists {count_of(frames.total, 'frame')} and "
                f"{count_of(len(frames.durations), 'duration')}; expected one duration for each frame. "
                "Export it again."
            )
        self._shown = frames.shown
        self.detail = kind.name
        self.seekable = not kind.overlaid  # In an overlaid format, decoding a frame needs the frames before it.
        self.timed = frames.durations is not None
        if frames.durations is None:
            self.remark = (
                f"its {len(frames.shown)} pages do not say when they are shown; taken to be {DEFAULT_FPS:g} "
            )
            self.remark += "a second without --fps"
            self.detail += f", {self.remark}"
            ends = np.arange(1, len(frames.shown) + 1) / DEFAULT_FPS
        else:
            ends = np.cumsum([frames.durations[number] or _DEFAULT_DURATION for number in frames.shown])
        self.times = np.concatenate([[0.0], ends[:-1]])
        self.end = float(ends[-1])

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``.

        Raises:
            DataError: a frame is damaged, or the file can no longer be read.
        """
        for number, same in itertools.groupby(numbers.tolist()):
            picture = self._picture(number)
            for _ in same:
                yield picture

    def digest(self) -> str:
        """See ``Footage.digest``; the range of values counts as content."""
        digest = super().digest()
        return hashlib.sha256(f"{digest} range {self._levels}".encode()).hexdigest() if self._levels else digest

    def another(self) -> Self:
        """See ``Footage.another``."""
        other = super().another()
        other._image = None
        return other

    def close(self) -> None:
        """Close the decoder; the next ``walk`` opens the file again."""
        if self._image is not None:
            self._image.close()
        self._image = None

    def _picture(self, number: int) -> Picture:
        """Decode one frame. It is decoded immediately, because the decoder moves on to the next one."""
        if self._image is None:
            self._image = open_image(self.path)
        try:
            self._image.seek(self._shown[number])
            image = plain(self._image, self._levels, str(self.path))
        except IMAGE_TROUBLE as cause:
            self.close()  # After an error, the position of the decoder is unknown.
            raise retry_error(self.path, cause) or DataError(
                f"{self.path} is damaged at frame {number}: it lists {count_of(len(self.times), 'frame')}, and this "
                "one cannot be decoded. Copy or export the file again."
            ) from cause
        return Still(lambda: image)


def _most(path: Path, image: Image.Image, page: int) -> int:
    """Highest value in a page of 16 bits."""
    try:
        image.seek(page)
        return int(np.asarray(image).max())
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause


def _webp(path: Path, image: Image.Image) -> Frames:
    count = int(getattr(image, "n_frames", 1))
    return Frames(count, list(range(count)), _webp_durations(path))


def _is_animated_webp(path: Path) -> bool:
    with open_image(path) as image:  # The suffix may be wrong, and Pillow opens any image, so check its format.
        return image.format == "WEBP" and int(getattr(image, "n_frames", 1)) > 1


def _webp_durations(path: Path) -> list[float]:
    """Duration of each frame in seconds, read from the file's chunks. Pillow would decode every frame for that.

    References:
        RFC 9649, sections 2.3 to 2.7: an ANMF chunk is a frame, and its bytes 12 to 14 are its duration.
    """
    durations = []
    try:
        with path.open("rb") as file:
            _, length, _ = struct.unpack("<4sI4s", file.read(12))
            while file.tell() < 8 + length:
                name, size = struct.unpack("<4sI", file.read(8))
                after = file.tell() + size + size % 2
                if name == b"ANMF":
                    durations.append(int.from_bytes(file.read(15)[12:], "little") / 1000)
                file.seek(after)
    except (OSError, struct.error) as cause:
        raise unreadable(path, cause) from cause
    return durations


def _png(path: Path, image: Image.Image) -> Frames:
    """Read which pictures of an animated PNG are shown, and for how long.

    References:
        PNG (third edition), section 11.3.4: an fcTL chunk is a frame, and gives its delay as a fraction.
    """
    durations: list[float] = []
    hidden = False  # The first image is for viewers without animation if no fcTL chunk comes before it.
    try:
        with path.open("rb") as file:
            for name, content in _png_chunks(file):
                if name == b"IDAT":
                    hidden |= not durations
                elif name == b"fcTL":
                    numerator, denominator = struct.unpack(">HH", content[20:24])
                    durations.append(numerator / (denominator or 100))
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
    """The name and the first bytes of each chunk of a PNG file, up to its end."""
    if file.read(8) != b"\x89PNG\r\n\x1a\n":
        return
    while head := file.read(8):
        size, name = struct.unpack(">I4s", head)
        after = file.tell() + size + 4
        yield name, file.read(min(size, 26))
        file.seek(after)


def _tiff(path: Path, image: Image.Image) -> Frames:
    """List all pages except previews and masks.

    Raises:
        DataError: a page cannot be read, or the sizes of two pages differ.
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
                    f"{path} has a page of {first[1]} x {first[0]} (h x w), and its page {number + 1} is "
                    f"{image.height} x {image.width}; expected one size in a clip. Save pages of different sizes in "
                    "different files."
                )
            shown.append(number)
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause
    return Frames(count, shown, None)


def _has_many_pages(path: Path) -> bool:
    """Whether a TIFF has more than one page to show; reading stops at the second."""
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
    """Whether the current page of a TIFF is a picture, and not a preview or a mask of another page."""
    return not image.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK  # type: ignore[attr-defined]


class _Kind(NamedTuple):
    """A format of image files that may hold many pictures.

    Attributes:
        format: Pillow's name of the format.
        name: name of the format for people.
        overlaid: whether a picture is drawn over the one before it.
        has_many: function that says whether a file shows several pictures.
        frames: function that reads what a file says about its pictures.
    """

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
