"""Moving digits: handwritten digits that move through a black frame and bounce off its sides."""

import gzip
import hashlib
import io
import json
import math
import zipfile
import zlib
from pathlib import Path
from typing import ClassVar

import numpy as np
from PIL import Image

from latentseq.arrays import Clip
from latentseq.errors import DataError, UsageError, retry_error
from latentseq.media.arrayheader import header
from latentseq.protocols import Dataset
from latentseq.storage.reading import read_small

SPLITS = ("train", "validation", "test")
"""Splits in the order of their clips."""
MAX_BYTES = 1 << 28
"""Maximum size of a file of digits, compressed and decompressed; MNIST has 47 million bytes."""
SHARES = (0.75, 0.875)
"""Ends of the training and of the validation images, as shares of all digit images."""


class MovingDigits(Dataset):
    """Clips of digits that move in straight lines, generated when they are read.

    A clip depends only on the seed, its split and its number in the split, not on the number of clips. The splits
    share no digit image. Clips are in the order training, validation, test.

    A digit starts anywhere in the frame and moves in a random direction. At a side it stops for that frame, and then
    moves on with mirrored velocity; with random bounce, it moves in a random direction away from the side, at 0.5 to
    1.5 times the speed. Positions are rounded down to whole pixels. Where digits overlap, the maximum is taken.

    References:
        Srivastava, Mansimov, Salakhutdinov 2015, "Unsupervised learning of video representations using LSTMs".
        Denton, Fergus 2018, "Stochastic video generation with a learned prior" (the random bounce).
    """

    name: ClassVar[str] = "moving-digits"
    description: ClassVar[str] = "Generated clips of bouncing digits (Moving MNIST), with splits; no download."

    def __init__(
        self,
        digits: str | None = None,
        number: int = 2,
        size: int = 64,
        digit_size: int = 28,
        speed: float = 3.6,
        bounce: str = "deterministic",
        colour: bool = False,
        length: int = 20,
        count: int = 10000,
        held_out: int = 1000,
        seed: int = 0,
    ) -> None:
        """Read the digit images; frames are drawn when they are read.

        Args:
            digits: .npz file with ``images`` (n, h, h) uint8, or MNIST idx file, which may be gzipped; None for the
                1,797 digits of scikit-learn, enlarged. The first 75 % of the images are for training, the next
                12.5 % for validation and the rest for test.
            number: number of digits in a clip.
            size: side of a frame in pixels.
            digit_size: side of a digit in pixels.
            speed: speed in pixels per frame.
            bounce: 'deterministic' or 'random'.
            colour: give every digit a random hue; frames then have three channels instead of one.
            length: number of frames of a clip.
            count: number of training clips.
            held_out: number of validation clips, and also of test clips.
            seed: random seed of the clips.

        Raises:
            DataError: the file cannot be read, or has no digit images.
            UsageError: an option is out of range.
        """
        least = {"number": number, "size": size, "length": length, "count": count, "held_out": held_out}
        for key, value in least.items():
            self._check(key, value, value >= 1, "1 or more")
        self._check("digit_size", digit_size, 1 <= digit_size <= size, f"1 to {size}, the side of the frame")
        self._check("speed", speed, 0 <= speed <= size, f"0 to {size} pixels a frame, the side of the frame")
        self._check("bounce", bounce, bounce in ("deterministic", "random"), "'deterministic' or 'random'")
        self._check("seed", seed, 0 <= seed < 1 << 64, "0 to 2**64 - 1")
        self.digits = digits
        self.number = number
        self.size = size
        self.digit_size = digit_size
        self.speed = speed
        self.bounce = bounce
        self.colour = colour
        self.length = length
        self.count = count
        self.held_out = held_out
        self.seed = seed
        images = _bundled() if digits is None else _from_file(Path(digits).expanduser())
        self._images = _resized(images, digit_size)
        self._image_ends = np.array([*(int(len(images) * share) for share in SHARES), len(images)])
        clips = [count, held_out, held_out]
        self._ends = np.cumsum(clips)
        self._lengths = np.full(self._ends[-1], length, np.int64)
        self.split = np.repeat(SPLITS, clips)

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each clip, (n,) int64."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Shape (h, w, c) of the frames."""
        return self.size, self.size, 3 if self.colour else 1

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: a clip or a range does not exist.
        """
        start, stop = self.check_range(i, start, stop)
        return Clip(self._paint(np.array([i]), np.array([start]), stop - start)[0], {})

    def read_windows(self, clips: np.ndarray, starts: np.ndarray, length: int) -> Clip:
        """See ``Dataset.read_windows``.

        Raises:
            UsageError: a clip or a range does not exist.
        """
        for i, start in zip(clips, starts, strict=True):
            self.check_range(int(i), int(start), int(start) + length)
        return Clip(self._paint(np.asarray(clips), np.asarray(starts), length), {})

    def fingerprint(self) -> str:
        """SHA-256 of the digit images and of all options except their path."""
        config = {**self.get_config(), "digits": hashlib.sha256(self._images.tobytes()).hexdigest()}
        return hashlib.sha256(json.dumps([self.name, config], sort_keys=True).encode()).hexdigest()

    def _check(self, key: str, value: object, fits: bool, expected: str) -> None:
        if not fits:
            raise UsageError(f"{self.name}: option {key} is {value!r}; expected {expected}.")

    def _paint(self, clips: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
        """Draw windows of clips, (b, t, h, w, c) uint8."""
        patches, corners = self._plan(clips, int(starts.max()) + length)
        b, t = np.arange(len(clips))[:, None], np.arange(length)
        corners = corners[b, starts[:, None] + t]
        frames = np.zeros((len(clips), length, *self.frame_shape), np.uint8)
        side = (self.digit_size, self.digit_size)
        # Every possible place of a digit is one element of this view, so one assignment paints all frames.
        places = np.lib.stride_tricks.sliding_window_view(frames, side, axis=(2, 3), writeable=True)
        for k in range(self.number):
            y, x = corners[:, :, k, 0], corners[:, :, k, 1]
            places[b, t, y, x] = np.maximum(places[b, t, y, x], patches[:, None, k])
        return frames

    def _plan(self, clips: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Digits (b, k, c, s, s) uint8, and their corners (b, t, k, 2) int from the start of the clip."""
        first, turns = self._draw(clips, steps)
        split = np.searchsorted(self._ends, clips, side="right")
        begin = np.concatenate([[0], self._image_ends])[split][:, None]
        indices = begin + (first[..., 0] * (self._image_ends[split][:, None] - begin)).astype(np.int64)
        patches = self._images[indices][:, :, None]
        if self.colour:
            tint = _hues(first[..., 4])[..., None, None]
            patches = np.rint(patches * tint).astype(np.uint8)
        room = float(self.size - self.digit_size)
        position = first[..., 1:3] * room
        velocity = self.speed * _directions(first[..., 3])
        corners = np.empty((len(clips), steps, self.number, 2), np.int64)
        for step in range(steps):
            corners[:, step] = position
            position = position + velocity
            low, high = position <= 0, position >= room
            position = np.clip(position, 0, room)
            if turns is not None:
                pace = (self.speed * (0.5 + turns[:, step, :, 1]))[..., None]
                bounced = pace * _directions(turns[:, step, :, 0])
                velocity = np.where((low | high).any(axis=-1, keepdims=True), bounced, velocity)
            velocity = np.where(low, np.abs(velocity), np.where(high, -np.abs(velocity), velocity))
        return patches, corners

    def _draw(self, clips: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Draw all random numbers of clips, in [0, 1).

        Returns:
            (b, k, 5) with digit, y, x, direction and hue; and (b, t, k, 2) with direction and speed after a bounce,
            or None without random bounce.
        """
        split = np.searchsorted(self._ends, clips, side="right")
        number = clips - np.concatenate([[0], self._ends])[split]
        first = np.empty((len(clips), self.number, 5))
        turns = np.empty((len(clips), steps, self.number, 2)) if self.bounce == "random" else None
        for row, (part, i) in enumerate(zip(split.tolist(), number.tolist(), strict=True)):
            # The number of the clip is the highest word of the counter, so the streams of two clips never overlap.
            random = np.random.Generator(np.random.Philox(key=[self.seed, part], counter=[0, 0, 0, i]))
            random.random(out=first[row])
            if turns is not None:
                random.random(out=turns[row])
        return first, turns


def _directions(turn: np.ndarray) -> np.ndarray:
    """Convert shares of a full turn (...) to unit vectors (..., 2)."""
    return np.stack([np.sin(2 * math.pi * turn), np.cos(2 * math.pi * turn)], axis=-1)


def _hues(hue: np.ndarray) -> np.ndarray:
    """Convert hues in [0, 1) to saturated red, green and blue in [0, 1]: (...) to (..., 3)."""
    return np.clip(np.abs((hue[..., None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)


def _bundled() -> np.ndarray:
    """The digits of scikit-learn with a margin like that of MNIST, (1797, 10, 10) uint8."""
    from sklearn.datasets import load_digits  # Takes a second, and is not needed for a file of digits.

    return np.pad(np.rint(load_digits().images * (255 / 16)).astype(np.uint8), ((0, 0), (1, 1), (1, 1)))


def _from_file(path: Path) -> np.ndarray:
    """Read digit images, (n, h, h) uint8."""
    try:
        if path.suffix.lower() == ".npz":
            images = _npz(read_small(path, MAX_BYTES))
        else:
            data = read_small(path, MAX_BYTES)
            images = _idx(_unpacked(data) if path.suffix.lower() == ".gz" else data)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as cause:
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause).strip("'\".")
        raise retry_error(path, cause) or _no_digits(path, reason) from cause
    if images.dtype != np.uint8 or images.ndim != 3 or not images.shape[1] == images.shape[2] > 0:
        raise _no_digits(path, f"its array is {images.shape} {images.dtype}")
    if len(images) < 8:
        raise _no_digits(path, f"its number of images is {len(images)}, too few for three splits")
    return images


def _npz(data: bytes) -> np.ndarray:
    """Read the array ``images``; the size in its header is checked before the data is read."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        with archive.open("images.npy") as file:
            shape, _, dtype, offset = header(file)
        needed, available = math.prod(shape) * dtype.itemsize, archive.getinfo("images.npy").file_size - offset
        if needed > min(available, MAX_BYTES):
            raise ValueError(f"its array claims {needed} bytes, but can have {min(available, MAX_BYTES)} at most")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return file["images"]


def _unpacked(data: bytes) -> bytes:
    """Decompress a gzipped file of up to ``MAX_BYTES``."""
    with gzip.open(io.BytesIO(data)) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it decompresses to more than {MAX_BYTES} bytes")
    return content


def _idx(data: bytes) -> np.ndarray:
    """Parse an MNIST idx file: two zero bytes, the dtype, the number of axes, their lengths, the values."""
    if data[:3] != b"\0\0\x08" or len(data) < 4 * (1 + data[3]):
        raise ValueError("it does not start like an idx file of bytes")
    shape = np.frombuffer(data, ">u4", data[3], offset=4).tolist()
    values = np.frombuffer(data, np.uint8, offset=4 * (1 + data[3]))
    if values.size != math.prod(shape):
        raise ValueError(f"its number of values is {values.size}, but its header says {math.prod(shape)}")
    return values.reshape(shape)


def _no_digits(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} cannot be read as digits: {reason}. Expected an .npz file with images (n, h, h) uint8, where n is 8 "
        "or more, or an MNIST idx file of images, which may be gzipped."
    )


def _resized(images: np.ndarray, side: int) -> np.ndarray:
    """Resize images (n, h, h) uint8 to (n, side, side) uint8 with bicubic interpolation."""
    if images.shape[1] == side:
        return images
    resized = (Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in images)
    return np.stack([np.asarray(image) for image in resized])
