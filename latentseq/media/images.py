"""Image files as frames, and folders of images as footage."""

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

from latentseq.errors import DataError, LatentseqError, join_names, retry_error
from latentseq.media.alpha import on_black
from latentseq.media.footage import DEFAULT_FPS, Footage, Picture, file_digest
from latentseq.media.levels import WORD, Levels, check_depth, looked_at, to_bytes
from latentseq.media.preprocessing import Preprocessing, check_pixels

IMAGE_SUFFIXES = frozenset({".apng", ".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_FORMATS = ("BMP", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Accepted formats. Pillow goes by content, and would let Ghostscript run a .png file that is PostScript."""
_ORIENTATION = 0x0112
"""EXIF tag of the orientation."""
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
"""Exceptions that Pillow's decoders raise for damaged files."""


def is_image(path: Path) -> bool:
    """Whether a file has the suffix of an image."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def natural_key(path: Path) -> list[tuple[tuple[int, int, str], ...]]:
    """Sorting key for natural order, folder by folder: ``frame2`` comes before ``frame10``."""
    return [
        tuple((0, int(run), run) if run.isdecimal() else (1, 0, run) for run in re.split(r"([0-9]+)", part) if run)
        for part in path.parts
    ]


def image_size(path: Path) -> tuple[int, int]:
    """Size (h, w) of a picture as it is shown, read from the file's header.

    Raises:
        DataError: the file cannot be read as an image, or the picture is too large.
    """
    return _header(path).size


def read_image(path: Path, preprocessing: Preprocessing) -> np.ndarray:
    """Read one image as a frame.

    The EXIF orientation is applied, and transparent parts become black. Values of 16 bits, and floats from 0 to 1,
    are scaled to 8 bits.

    Args:
        path: path of the file.
        preprocessing: size, fit and colour of the frame.

    Returns:
        (h, w, c) uint8.

    Raises:
        DataError: the file cannot be read as an image, or the picture is too large.
    """
    return prepare(_decoded(path), preprocessing)


def prepare(picture: Image.Image | np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """Prepare a picture in memory as a frame.

    Args:
        picture: image that ``plain`` returned, or (h, w, c) uint8 of any size with 1, 3 or 4 channels; the fourth is
            opacity.
        preprocessing: size, fit and colour of the frame.

    Returns:
        (h, w, c) uint8; the picture itself, not a copy, if nothing has to be done.
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
        # Pillow widens the filter when it reduces a picture, so there is no aliasing.
        image = image.resize((w, h), Image.Resampling.BILINEAR)
    return preprocessing.place(np.asarray(image).reshape(h, w, -1))


def plain(image: Image.Image, levels: Levels | None = None, name: str = "The picture") -> Image.Image:
    """Decode an image as it is shown: upright, of 8 bits, in mode ``L`` or ``RGB``, with transparent parts on black.

    Args:
        image: image of any mode.
        levels: values of black and white for images with more than 8 bits.
        name: name of the image for error messages.

    Raises:
        DataError: a value lies outside of ``levels``.
    """
    mode = "L" if _is_gray(image.mode) else "RGB"
    image = ImageOps.exif_transpose(image)
    if is_wide(image.mode):
        return Image.fromarray(to_bytes(np.asarray(image), levels, name))
    if image.has_transparency_data:
        image = Image.fromarray(on_black(np.asarray(image.convert("RGBA"))))
    return image.convert(mode)


class Still:
    """A picture that is decoded when it is first needed, and then kept in memory."""

    def __init__(self, decode: Callable[[], Image.Image | np.ndarray]) -> None:
        """Store the function that decodes the picture.

        Args:
            decode: function that returns the picture as ``prepare`` accepts it.
        """
        self._decode = decode

    @cached_property
    def _picture(self) -> Image.Image | np.ndarray:
        return self._decode()

    def frame(self, preprocessing: Preprocessing) -> np.ndarray:
        """Prepare the picture as a frame (h, w, c) uint8.

        Raises:
            DataError: the picture is damaged.
        """
        return prepare(self._picture, preprocessing)


class ImageFolder(Footage):
    """Images of one size, shown one after another."""

    kind = "images"

    def __init__(self, path: Path, files: list[Path], levels: Levels | None = None) -> None:
        """Compare the headers of the images; for 16 bits, also check the values of a few of them.

        Args:
            path: path of the folder.
            files: paths of the images, in the order in which they are shown.
            levels: values of black and white for images with more than 8 bits; by default 0..65535 for integers and
                0..1 for floats.

        Raises:
            DataError: there are no images, one cannot be read, their sizes differ, or images of 16 bits would become
                black.
        """
        if not files:
            raise DataError(
                f"{path} holds no images; expected files that end in {join_names(IMAGE_SUFFIXES)}. "
                "Choose another folder."
            )
        self.path = path
        self.files = files
        headers = [_header(file) for file in files]
        self.size = headers[0].size
        for file, header in zip(files, headers, strict=True):
            if header.size != self.size:
                (top, left), (h, w) = self.size, header.size
                raise DataError(
                    f"{files[0]} is {top} x {left} (h x w) and {file} is {h} x {w}; expected one size in a clip. "
                    "Put images of different sizes into different folders, or resize them."
                )
        self.gray = all(_is_gray(header.mode) for header in headers)
        self.detail = join_names({header.format for header in headers})
        self.times = np.arange(len(files)) / DEFAULT_FPS
        self.end = len(files) / DEFAULT_FPS
        pairs = list(zip(files, headers, strict=True))
        integers = [file for file, header in pairs if header.mode.startswith("I") or header.deep]
        self._levels = levels if integers or any(is_wide(header.mode) for header in headers) else None
        if integers and levels is None:
            sample = [integers[number] for number in looked_at(len(integers)).tolist()]
            check_depth(max(_most(file) for file in sample), len(sample), str(path))
        if integers or self._levels:
            self.reading = f"{self.detail} of more than 8 bits, values {self._levels or WORD} from black to white"

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``; a damaged image raises an error in ``Picture.frame``."""
        for number, same in groupby(numbers.tolist()):
            picture = Still(partial(_decoded, self.files[number], self._levels))
            for _ in same:
                yield picture

    def digest(self) -> str:
        """See ``Footage.digest``; it depends on the order of the images and not on their names."""
        digest = file_digest(self.files)
        return hashlib.sha256(f"{digest} range {self._levels}".encode()).hexdigest() if self._levels else digest


class _Header(NamedTuple):
    """Header of an image file.

    Attributes:
        size: (h, w) of the picture as it is shown.
        mode: Pillow's name of the pixel type.
        format: Pillow's name of the file format.
        deep: whether each colour has 16 bits.
    """

    size: tuple[int, int]
    mode: str
    format: str
    deep: bool


def _header(path: Path) -> _Header:
    image = open_image(path)
    try:
        with image:
            # Reading EXIF that the header of a PNG does not announce would decode the whole picture.
            is_turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1) >= 5
            size = (image.width, image.height) if is_turned else (image.height, image.width)
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
    """Open an image and read its header, but not its pixels. The caller closes it.

    Raises:
        DataError: the file cannot be read as an image, or the picture is too large.
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
    """The error for a file that is not an image: a DataError, or a TryAgainError if it cannot be read now.

    Args:
        path: path of the file.
        cause: exception that Pillow raised.
    """
    reason = (
        "its content is of no known image format" if isinstance(cause, Image.UnidentifiedImageError) else str(cause)
    )
    return retry_error(path, cause) or DataError(
        f"{path} cannot be read as an image: {reason.rstrip('.')}. Expected a JPEG, PNG, WebP, BMP or TIFF file; "
        "copy or export it again, or remove it."
    )


def _is_gray(mode: str) -> bool:
    """Whether a Pillow mode has no colour; a palette counts as colour."""
    return mode in ("1", "L", "LA", "F") or mode.startswith("I")


def is_wide(mode: str) -> bool:
    """Whether a Pillow mode has more than 8 bits: integers, mostly of 16 bits, and floats."""
    return mode.startswith("I") or mode == "F"


def _is_deep(image: Image.Image) -> bool:
    """Whether an opened image has 16 bits for each colour, of which Pillow only returns the upper 8."""
    if not isinstance(image, ImageFile.ImageFile):
        return False
    return image.mode.startswith("RGB") and any("16" in str(tile[3]) for tile in image.tile)


def _colours(path: Path, image: Image.Image) -> np.ndarray:
    """Decode an image with 16 bits for each colour to (h, w, 3) uint16, by FFmpeg, which keeps all bits."""
    import av

    kind = {"PNG": "png_pipe", "TIFF": "tiff_pipe"}.get(str(image.format))
    if kind is None:
        raise ValueError(f"its colours have 16 bits, which are not read from {image.format} files")
    with path.open("rb") as file, av.open(file, "r", format=kind) as container:
        frames = list(container.decode(video=0))
    return frames[0].to_ndarray(format="rgb48le")


def _most(path: Path) -> int:
    """Highest value in an image of 16 bits."""
    image = open_image(path)
    try:
        with image:
            return int((_colours(path, image) if _is_deep(image) else np.asarray(image)).max())
    except IMAGE_TROUBLE as cause:
        raise unreadable(path, cause) from cause
