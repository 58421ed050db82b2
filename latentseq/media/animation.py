"""Animated WebP files as footage."""

import struct
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from latentseq.errors import DataError, unread
from latentseq.media.footage import Footage, Picture
from latentseq.media.images import IMAGE_TROUBLE, Still, image_size, open_image, plain, unreadable

ANIMATION_SUFFIX = ".webp"
_UNSAID = 100
"""Milliseconds that a frame of no duration is shown, as browsers do."""


def is_animation(path: Path) -> bool:
    """Whether a file is a WebP of more than one frame, which its header says; a damaged file is none."""
    if path.suffix.lower() != ANIMATION_SUFFIX:
        return False
    try:
        with open_image(path) as image:
            return _is_webp(image) and _count(image) > 1
    except DataError:
        return False


class Animation(Footage):
    """The frames of an animated WebP as they are shown: laid over one another, what is transparent on black.

    The decoder goes forward only. It is kept between walks: one that starts behind the last goes on decoding, any
    other starts at the first frame.
    """

    kind = "animation"
    seekable = False  # A frame is made from the one before.
    detail = "WebP"
    timed = True

    def __init__(self, path: Path) -> None:
        """Count the frames and read their durations, which decodes none.

        Args:
            path: the file.

        Raises:
            DataError: it cannot be read as an animation, is damaged, or is too large.
        """
        self.path = path
        self._image: Image.Image | None = None
        self.size = image_size(path)
        with open_image(path) as image:
            if not _is_webp(image):
                raise DataError(
                    f"{path} is a file of {image.format}; expected an animated WebP. Give it its own suffix."
                )
            count = _count(image)
        durations = _durations(path)
        if len(durations) != count:
            raise DataError(
                f"{path} cannot be read as an animation: it lists {count} frames and {len(durations)} durations; "
                "expected one duration for each frame. Export it again."
            )
        ends = np.cumsum([duration or _UNSAID for duration in durations]) / 1000
        self.times, self.end = np.concatenate([[0.0], ends[:-1]]), float(ends[-1])

    def walk(self, numbers: np.ndarray) -> Iterator[Picture]:
        """See ``Footage.walk``.

        Raises:
            DataError: a frame is damaged, or the file cannot be read any more.
        """
        for number, same in groupby(numbers.tolist()):
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
            self._image.seek(number)
            image = plain(self._image)
        except IMAGE_TROUBLE as cause:
            self.close()  # It does not know any more where it is.
            raise unread(self.path, cause) or DataError(
                f"{self.path} is damaged at frame {number}: it lists {len(self.times)} frames, and this one cannot "
                "be decoded. Copy or export the file again."
            ) from cause
        return Still(lambda: image)


def _is_webp(image: Image.Image) -> bool:
    """By content: Pillow takes any image, whatever its suffix says."""
    return image.format == "WEBP"


def _count(image: Image.Image) -> int:
    """How many frames there are."""
    return int(getattr(image, "n_frames", 1))


def _durations(path: Path) -> list[int]:
    """Milliseconds of each frame, from the file's chunks: Pillow would have to decode every frame to say them.

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
                    found.append(int.from_bytes(file.read(15)[12:], "little"))
                file.seek(after)
    except (OSError, struct.error) as cause:
        raise unreadable(path, cause) from cause
    return found
