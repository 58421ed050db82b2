"""Image files of any kind as frames."""

import re
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from latentseq.errors import DataError
from latentseq.media.preprocessing import Preprocessing, check_pixels

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_ORIENTATION = 0x0112
# What Pillow raises for damaged files: its decoders are many, and each has a way of its own.
_TROUBLE = (OSError, SyntaxError, struct.error, ValueError, EOFError, IndexError, KeyError, TypeError, MemoryError)


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
    image = _open(path)
    try:
        with image:
            # Asking a PNG for EXIF that its header does not announce would decode the whole picture.
            turned = "exif" in image.info and image.getexif().get(_ORIENTATION, 1) >= 5
            return (image.width, image.height) if turned else (image.height, image.width)
    except _TROUBLE as cause:
        raise _unreadable(path, cause) from cause


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
    image = _open(path)
    try:
        with image:
            upright = _eight_bit(ImageOps.exif_transpose(image), "L" if preprocessing.gray else "RGB")
    except _TROUBLE as cause:
        raise _unreadable(path, cause) from cause
    h, w = preprocessing.scaled(upright.height, upright.width)
    if upright.size != (w, h):
        # Pillow widens the filter where it makes smaller, so there is no aliasing.
        upright = upright.resize((w, h), Image.Resampling.BILINEAR)
    return preprocessing.place(np.asarray(upright).reshape(h, w, -1))


def _open(path: Path) -> Image.Image:
    """The image with its header read and its pixels not."""
    if not path.is_file():
        raise DataError(f"{path} cannot be read as an image: expected a regular file. Check the path.")
    try:
        image = Image.open(path)
    except Image.DecompressionBombError as cause:
        raise DataError(f"{path} cannot be read as an image: {cause} Make it smaller first.") from cause
    except _TROUBLE as cause:
        raise _unreadable(path, cause) from cause
    try:
        check_pixels(path, image.height, image.width)
    except DataError:
        image.close()
        raise
    return image


def _unreadable(path: Path, cause: BaseException) -> DataError:
    reason = (
        "its content is of no known image format" if isinstance(cause, Image.UnidentifiedImageError) else str(cause)
    )
    return DataError(
        f"{path} cannot be read as an image: {reason.rstrip('.')}. Expected a JPEG, PNG, WebP, BMP or TIFF file; "
        "copy or export it again, or remove it."
    )


def _eight_bit(image: Image.Image, mode: str) -> Image.Image:
    """The image in ``L`` or ``RGB``."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_scaled_to_byte(np.asarray(image), image.mode))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return image.convert(mode)


def _scaled_to_byte(values: np.ndarray, mode: str) -> np.ndarray:
    """Integers are taken for 16 bits, floats for [0, 1]: Pillow's own conversion would cut both off at 255."""
    unit = np.nan_to_num(values.astype(np.float32)) / (1 if mode == "F" else 65535)
    return np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
