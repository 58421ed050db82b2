"""Image files of any kind as frames, and a folder of them as footage."""

import re
import struct
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from latentseq.errors import DataError, LatentseqError, listed, unread
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture, file_digest
from latentseq.media.preprocessing import Preprocessing, check_pixels

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
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

    The EXIF orientation is applied; transparent parts become black; 16 bits are scaled to 8, not cut off.

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


def plain(image: Image.Image) -> Image.Image:
    """Decode an image as it is shown: upright, 8 bits, what is transparent on black; ``L`` or ``RGB``."""
    mode = "L" if _is_gray(image.mode) else "RGB"
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_scaled_to_byte(np.asarray(image), image.mode))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
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

    def __init__(self, path: Path, files: list[Path]) -> None:
        """Compare the images by their headers.

        Args:
            path: the folder.
            files: the images, in the order in which they are shown.

        Raises:
            DataError: there are none, one cannot be read, or two differ in size.
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

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``; a damaged image is found when its picture is asked for its frame."""
        for number, same in groupby(numbers.tolist()):
            picture = Still(partial(_decoded, self.files[number]))
            for _ in same:
                yield picture

    def digest(self) -> str:
        """See ``Footage.digest``; names do not count, the order does."""
        return file_digest(self.files)


class _Header(NamedTuple):
    """What a file says of its picture; ``size`` is (h, w) as it is shown."""

    size: tuple[int, int]
    mode: str
    format: str


def _header(path: Path) -> _Header:
    image = open_image(path)
    try:
        with image:
            # Asking a PNG for EXIF that its header does not announce would decode the whole picture.
            turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1) >= 5
            size = (image.width, image.height) if turned else (image.height, image.width)
            return _Header(size, image.mode, str(image.format))
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause


def _decoded(path: Path) -> Image.Image:
    image = open_image(path)
    try:
        with image:
            return plain(image)
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


def _scaled_to_byte(values: np.ndarray, mode: str) -> np.ndarray:
    """Integers are taken for 16 bits, floats for [0, 1]: Pillow's own conversion would cut both off at 255."""
    unit = np.nan_to_num(values.astype(np.float32)) / (1 if mode == "F" else 65535)
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
