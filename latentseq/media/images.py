"""Image files of any kind as frames, and a folder of them as footage."""

import hashlib
import re
import struct
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, ImageOps

from latentseq.errors import DataError, LatentseqError, listed, unread
from latentseq.media.alpha import on_black
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture, file_digest
from latentseq.media.levels import WORD, Levels, check_depth, looked_at, to_bytes
from latentseq.media.preprocessing import Preprocessing, check_pixels

IMAGE_SUFFIXES = frozenset({".apng", ".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
# By name, because Pillow goes by content: a .png that is PostScript would be handed to Ghostscript, which runs it.
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_ORIENTATION = 0x0112
# What Pillow raises for damaged files: its decoders are many, and each has a way of its own.
IMAGE_TROUBLE = (
    OSError,
    SyntaxError,
    struct.error,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    MemoryError,
)


def is_image(path: Path) -> bool:
    """Whether a file's suffix is that of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def natural_key(path: Path) -> list[tuple[tuple[int, int, str], ...]]:
    """A key that sorts as people number: ``frame2`` before ``frame10``, folder by folder."""
    return [
        tuple((0, int(run), run) if run.isdecimal() else (1, 0, run) for run in re.split(r"([0-9]+)", part) if run)
        for part in path.parts
    ]


def image_size(path: Path) -> tuple[int, int]:
    """(h, w) as the picture is shown, from the file's header alone.

    Raises:
        DataError: it cannot be read as an image, or is too large.
    """
    return _header(path).size


def read_image(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    """Read one image as a frame.

    The EXIF orientation is applied; transparent parts become black; 16 bits are scaled to 8, not cut off, and floats
    are from 0 to 1.

    Args:
        path: the file.
        preprocessing: size, fit and colour.

    Returns:
        (h, w, c) uint8.

    Raises:
        DataError: it cannot be read as an image, or is too large.
    """
    return prepare(_decoded(path), preprocessing)


def prepare(picture: Image.Image | np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Make a frame of a picture that is in memory already, whatever it came from.

    Args:
        picture: an image as ``plain`` gives it, or (h, w, c) uint8 of any size, where c is 1, 3, or 4 with alpha.
        preprocessing: size, fit and colour.

    Returns:
        (h, w, c) uint8; the picture itself, not a copy, where there is nothing to do.
    """
    if isinstance(picture, np.ndarray):
        h, w, c = preprocessing.frame_shape
        if picture.shape == (h, w, c):
            return picture
        if picture.shape == (h, w, 1):
            return picture.repeat(c, axis=2)
        picture = plain(Image.fromarray(picture[..., 0] if picture.shape[2] == 1 else picture))
    image = picture.convert("L" if preprocessing.gray else "RGB")
    h, w = preprocessing.scaled(image.height, image.width)
    if image.size != (w, h):
        # Pillow widens the filter where it makes smaller, so there is no aliasing.
        image = image.resize((w, h), Image.Resampling.BILINEAR)
    return preprocessing.place(np.asarray(image).reshape(h, w, -1))


def plain(image: Image.Image, levels: Levels | None = None, name: str = "The picture") -> Image.Image:
    """Decode an image as it is shown: upright, 8 bits, what is transparent on black; ``L`` or ``RGB``.

    Args:
        image: any.
        levels: the values of black and white of what has more than 8 bits.
        name: of it, for the error where a value is outside of them.
    """
    mode = "L" if _is_gray(image.mode) else "RGB"
    image = ImageOps.exif_transpose(image)
    if _is_wide(image.mode):
        return Image.fromarray(to_bytes(np.asarray(image), levels, name))
    if image.has_transparency_data:
        image = Image.fromarray(on_black(np.asarray(image.convert("RGBA"))))
    return image.convert(mode)


class Still:
    """A picture that is decoded when it is first asked for, and then kept."""

    def __init__(self, decode: Callable[[], Image.Image | np.ndarray]) -> None:
        """Remember how.

        Args:
            decode: gives the picture as ``prepare`` takes it.
        """
        self._decode = decode

    @cached_property
    def _picture(self) -> Image.Image | np.ndarray:
        return self._decode()

    def frame(self, preprocessing: Preprocessing) -> np.ndarray:
        """(h, w, c) uint8, prepared.

        Raises:
            DataError: it is damaged.
        """
        return prepare(self._picture, preprocessing)


class ImageFolder(Footage):
    """Images of one size, shown one after another."""

    kind = "images"

    def __init__(self, path: Path, files: list[Path], levels: Levels | None = None) -> None:
        """Compare the images by their headers, and look into a few where they are of 16 bits.

        Args:
            path: the folder.
            files: the images, in the order in which they are shown.
            levels: the values of black and white of what has more than 8 bits; 0..65535 for integers, and 0..1 for
                floats, where None.

        Raises:
            DataError: there are none, one cannot be read, two differ in size, or 16 bits would come out black.
        """
        if not files:
            raise DataError(
                f"{path} holds no images; expected files that end in {listed(IMAGE_SUFFIXES)}. Choose another folder."
            )
        self.path, self.files = path, files
        headers = [_header(file) for file in files]
        self.size = headers[0].size
        for file, header in zip(files, headers, strict=True):
            if header.size != self.size:
                (top, left), (h, w) = self.size, header.size
                raise DataError(
                    f"{files[0]} is {top} x {left} (h x w) and {file} is {h} x {w}; expected one size in a clip. "
                    "Put them into folders of their own, or make them equal."
                )
        self.gray = all(_is_gray(header.mode) for header in headers)
        self.detail = listed({header.format for header in headers})
        self.times = np.arange(len(files)) / DEFAULT_FPS
        self.end = len(files) / DEFAULT_FPS
        pairs = list(zip(files, headers, strict=True))
        whole = [file for file, header in pairs if header.mode.startswith("I") or header.deep]
        self._levels = levels if whole or any(_is_wide(header.mode) for header in headers) else None
        if whole and levels is None:
            seen = [whole[number] for number in looked_at(len(whole)).tolist()]
            check_depth(max(_most(file) for file in seen), len(seen), str(path))
        if whole or self._levels:
            self.reading = f"{self.detail} of more than 8 bits, values {self._levels or WORD} from black to white"

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``; a damaged image is found when its picture is asked for its frame."""
        for number, same in groupby(numbers.tolist()):
            picture = Still(partial(_decoded, self.files[number], self._levels))
            for _ in same:
                yield picture

    def digest(self) -> str:
        """See ``Footage.digest``; names do not count, the order does."""
        whole = file_digest(self.files)
        return hashlib.sha256(f"{whole} range {self._levels}".encode()).hexdigest() if self._levels else whole


class _Header(NamedTuple):
    """What a file says of its picture: ``size`` is (h, w) as it is shown, ``deep`` whether a colour has 16 bits."""

    size: tuple[int, int]
    mode: str
    format: str
    deep: bool


def _header(path: Path) -> _Header:
    image = open_image(path)
    try:
        with image:
            # Asking a PNG for EXIF that its header does not announce would decode the whole picture.
            turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1) >= 5
            size = (image.width, image.height) if turned else (image.height, image.width)
            return _Header(size, image.mode, str(image.format), _is_deep(image))
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause


def _decoded(path: Path, levels: Levels | None = None) -> Image.Image:
    image = open_image(path)
    try:
        with image:
            if levels and _is_deep(image):
                return Image.fromarray(to_bytes(_colours(path, image), levels, str(path)))
            return plain(image, levels, str(path))
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause


def open_image(path: Path) -> Image.Image:
    """The image with its header read and its pixels not; to be closed by the caller.

    Raises:
        DataError: it cannot be read as an image, or is too large.
    """
    if not path.is_file():
        raise DataError(f"{path} cannot be read as an image: expected a regular file. Check the path.")
    try:
        image = Image.open(path, formats=_FORMATS)
    except Image.DecompressionBombError as cause:
        raise DataError(f"{path} cannot be read as an image: {cause} Make it smaller first.") from cause
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause
    try:
        check_pixels(path, image.height, image.width)
    except DataError:
        image.close()
        raise
    return image


def unreadable(path: Path, cause: BaseException) -> LatentseqError:
    """The error that says why a file is no image: a DataError, or a TryAgainError where it cannot be read now.

    Args:
        path: the file.
        cause: what Pillow raised.
    """
    reason = (
        "its content is of no known image format" if isinstance(cause, Image.UnidentifiedImageError) else str(cause)
    )
    return unread(path, cause) or DataError(
        f"{path} cannot be read as an image: {reason.rstrip('.')}. Expected a JPEG, PNG, WebP, BMP or TIFF file; "
        "copy or export it again, or remove it."
    )


def _is_gray(mode: str) -> bool:
    """Whether pictures of one of Pillow's modes have no colour; a palette counts as colour."""
    return mode in ("1", "L", "LA", "F") or mode.startswith("I")


def _is_wide(mode: str) -> bool:
    """Whether pictures of one of Pillow's modes have more than 8 bits: integers, mostly of 16, and floats."""
    return mode.startswith("I") or mode == "F"


def _is_deep(image: Image.Image) -> bool:
    """Whether an image that was just opened has 16 bits for each colour, of which Pillow gives the upper 8."""
    if not isinstance(image, ImageFile.ImageFile):
        return False
    return image.mode.startswith("RGB") and any("16" in str(tile[3]) for tile in image.tile)


def _colours(path: Path, image: Image.Image) -> np.ndarray:
    """(h, w, 3) uint16 of an image of 16 bits for each colour, by a decoder that keeps them all."""
    import av

    kind = {"PNG": "png_pipe", "TIFF": "tiff_pipe"}.get(str(image.format))
    if kind is None:
        raise ValueError(f"its colours have 16 bits, which are not read from {image.format} files")
    with path.open("rb") as file, av.open(file, "r", format=kind) as opened:
        frames = list(opened.decode(video=0))
    return frames[0].to_ndarray(format="rgb48le")


def _most(path: Path) -> int:
    """The highest value in an image of 16 bits."""
    image = open_image(path)
    try:
        with image:
            return int((_colours(path, image) if _is_deep(image) else np.asarray(image)).max())
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause
