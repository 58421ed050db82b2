"""Moving digits: handwritten digits that fly through a black frame and bounce off its sides."""

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
from latentseq.errors import DataError, UsageError, unread
from latentseq.media.arrayheader import header
from latentseq.protocols import Dataset
from latentseq.storage.reading import read_small

SPLITS = ("train", "validation", "test")
MAX_BYTES = 1 << 28
"""Of a file of digits, packed and unpacked: MNIST has 47 million."""
SHARES = (0.75, 0.875)
"""Where the digit images of training end, and those of validation."""


class MovingDigits(Dataset):
    """Clips of digits in straight motion, made when they are read.

    A clip depends on the seed, its split and its number in that split only, not on how many there are. The three
    splits share no digit image, and clips come in the order training, validation, test.

    A digit starts anywhere in the frame and moves in a random direction; at a side it stops for that frame and goes
    back with the mirrored velocity, or, with random bounce, in a random direction away from the side at 0.5 to 1.5
    times the speed. Positions are rounded down to whole pixels, and digits overlie each other by their maximum.

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
        """Read the digit images; nothing is drawn before it is asked for.

        Args:
            digits: an .npz file with ``images`` (n, h, h) uint8, or an MNIST idx file, gzipped or not; without one,
                the 1,797 digits of scikit-learn, enlarged. In the file's order, the first 75 % are for training,
                the next 12.5 % for validation, the rest for test.
            number: digits in a clip.
            size: side of a frame, in pixels.
            digit_size: side of a digit, in pixels.
            speed: pixels a frame.
            bounce: 'deterministic' or 'random'.
            colour: give every digit a random hue; frames then have three channels instead of one.
            length: frames of a clip.
            count: clips for training.
            held_out: clips for validation, and as many for test.
            seed: of everything.

        Raises:
            DataError: the file cannot be read, or holds something else.
            UsageError: an option that is out of range.
        """
        least = {"number": number, "size": size, "length": length, "count": count, "held_out": held_out}
        for key, value in least.items():
            self._check(key, value, value >= 1, "1 or more")
        self._check("digit_size", digit_size, 1 <= digit_size <= size, f"1 to {size}, the side of the frame")
        self._check("speed", speed, 0 <= speed <= size, f"0 to {size} pixels a frame, the side of the frame")
        self._check("bounce", bounce, bounce in ("deterministic", "random"), "'deterministic' or 'random'")
        self._check("seed", seed, 0 <= seed < 1 << 64, "0 to 2**64 - 1")
        self.digits, self.number, self.size, self.digit_size, self.speed = digits, number, size, digit_size, speed
        self.bounce, self.colour, self.length, self.count = bounce, colour, length, count
        self.held_out, self.seed = held_out, seed
        images = _bundled() if digits is None else _from_file(Path(digits).expanduser())
        self._images = _resized(images, digit_size)
        self._image_ends = np.array([*(int(len(images) * share) for share in SHARES), len(images)])
        clips = [count, held_out, held_out]
        self._ends = np.cumsum(clips)
        self._lengths = np.full(self._ends[-1], length, np.int64)
        self.split = np.repeat(SPLITS, clips)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self.size, self.size, 3 if self.colour else 1

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: a clip or a range that does not exist.
        """
        start, stop = self.check_range(i, start, stop)
        return Clip(self._paint(np.array([i]), np.array([start]), stop - start)[0], {})

    def read_windows(self, clips: np.ndarray, starts: np.ndarray, length: int) -> Clip:
        """See ``Dataset.read_windows``.

        Raises:
            UsageError: a clip or a range that does not exist.
        """
        for i, start in zip(clips, starts, strict=True):
            self.check_range(int(i), int(start), int(start) + length)
        return Clip(self._paint(np.asarray(clips), np.asarray(starts), length), {})

    def fingerprint(self) -> str:
        """SHA-256 of the digit images and of every option but where they were read from."""
        config = {**self.get_config(), "digits": hashlib.sha256(self._images.tobytes()).hexdigest()}
        return hashlib.sha256(json.dumps([self.name, config], sort_keys=True).encode()).hexdigest()

    def _check(self, key: str, value: object, fits: bool, expected: str) -> None:
        if not fits:
            raise UsageError(f"{self.name}: option {key} is {value!r}; expected {expected}.")

    def _paint(self, clips: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
        """Windows of clips: (b, t, h, w, c) uint8."""
        patches, corners = self._plan(clips, int(starts.max()) + length)
        b, t = np.arange(len(clips))[:, None], np.arange(length)
        corners = corners[b, starts[:, None] + t]
        frames = np.zeros((len(clips), length, *self.frame_shape), np.uint8)
        side = (self.digit_size, self.digit_size)
        # Every place where a digit may be is one element of this view, so one assignment paints all frames.
        places = np.lib.stride_tricks.sliding_window_view(frames, side, axis=(2, 3), writeable=True)
        for k in range(self.number):
            y, x = corners[:, :, k, 0], corners[:, :, k, 1]
            places[b, t, y, x] = np.maximum(places[b, t, y, x], patches[:, None, k])
        return frames

    def _plan(self, clips: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
        """What flies where, from a clip's start: digits (b, k, c, s, s) uint8 and corners (b, t, k, 2) int."""
        first, turns = self._draw(clips, steps)
        split = np.searchsorted(self._ends, clips, side="right")
        begin = np.concatenate([[0], self._image_ends])[split][:, None]
        chosen = begin + (first[..., 0] * (self._image_ends[split][:, None] - begin)).astype(np.int64)
        patches = self._images[chosen][:, :, None]
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
                anew = pace * _directions(turns[:, step, :, 0])
                velocity = np.where((low | high).any(axis=-1, keepdims=True), anew, velocity)
            velocity = np.where(low, np.abs(velocity), np.where(high, -np.abs(velocity), velocity))
        return patches, corners

    def _draw(self, clips: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray | None]:
        """All that is random, in [0, 1).

        Returns:
            (b, k, 5): digit, y, x, direction, hue; and (b, t, k, 2): direction and speed after a bounce, or None.
        """
        split = np.searchsorted(self._ends, clips, side="right")
        number = clips - np.concatenate([[0], self._ends])[split]
        first = np.empty((len(clips), self.number, 5))
        turns = np.empty((len(clips), steps, self.number, 2)) if self.bounce == "random" else None
        for row, (part, i) in enumerate(zip(split.tolist(), number.tolist(), strict=True)):
            # The clip's number is the counter's highest word, so no two clips can share a stretch of the stream.
            random = np.random.Generator(np.random.Philox(key=[self.seed, part], counter=[0, 0, 0, i]))
            random.random(out=first[row])
            if turns is not None:
                random.random(out=turns[row])
        return first, turns


def _directions(turn: np.ndarray) -> np.ndarray:
    """Shares of a full turn (...) to unit vectors (..., 2)."""
    return np.stack([np.sin(2 * math.pi * turn), np.cos(2 * math.pi * turn)], axis=-1)


def _hues(hue: np.ndarray) -> np.ndarray:
    """Hues in [0, 1) to fully saturated red, green and blue in [0, 1]: (...) to (..., 3)."""
    return np.clip(np.abs((hue[..., None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)


def _bundled() -> np.ndarray:
    """The digits of scikit-learn with a margin as MNIST has it: (1797, 10, 10) uint8."""
    from sklearn.datasets import load_digits  # Takes a second, and a file of digits does without.

    return np.pad(np.rint(load_digits().images * (255 / 16)).astype(np.uint8), ((0, 0), (1, 1), (1, 1)))


def _from_file(path: Path) -> np.ndarray:
    """(n, h, h) uint8."""
    try:
        if path.suffix.lower() == ".npz":
            images = _npz(read_small(path, MAX_BYTES))
        else:
            data = read_small(path, MAX_BYTES)
            images = _idx(_unpacked(data) if path.suffix.lower() == ".gz" else data)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as cause:
        reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else str(cause).strip("'\".")
        raise unread(path, cause) or _no_digits(path, reason) from cause
    if images.dtype != np.uint8 or images.ndim != 3 or not images.shape[1] == images.shape[2] > 0:
        raise _no_digits(path, f"its array is {images.shape} {images.dtype}")
    if len(images) < 8:
        raise _no_digits(path, f"of its {len(images)} images not every split would get one")
    return images


def _npz(data: bytes) -> np.ndarray:
    """The array ``images``; what it claims is compared with what is there before it is read."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        with archive.open("images.npy") as file:
            shape, _, dtype, offset = header(file)
        needed, there = math.prod(shape) * dtype.itemsize, archive.getinfo("images.npy").file_size - offset
        if needed > min(there, MAX_BYTES):
            raise ValueError(f"its array claims {needed} bytes, and {min(there, MAX_BYTES)} can be there")
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return file["images"]


def _unpacked(data: bytes) -> bytes:
    """The content of a gzipped file, if it is of a size that digits can have."""
    with gzip.open(io.BytesIO(data)) as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_BYTES} bytes")
    return content


def _idx(data: bytes) -> np.ndarray:
    """The array of an MNIST idx file: two zero bytes, the dtype, the number of axes, their lengths, the values."""
    if data[:3] != b"\0\0\x08" or len(data) < 4 * (1 + data[3]):
        raise ValueError("it does not begin as an idx file of bytes does")
    shape = np.frombuffer(data, ">u4", data[3], offset=4).tolist()
    values = np.frombuffer(data, np.uint8, offset=4 * (1 + data[3]))
    if values.size != math.prod(shape):
        raise ValueError(f"it holds {values.size} values, where its header says {math.prod(shape)}")
    return values.reshape(shape)


def _no_digits(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} cannot be read as digits: {reason}. Expected an .npz file with images (n, h, h) uint8, n at least "
        "8, or an MNIST idx file of images, gzipped or not."
    )


def _resized(images: np.ndarray, side: int) -> np.ndarray:
    """(n, h, h) uint8 to (n, side, side) uint8, smoothly."""
    if images.shape[1] == side:
        return images
    small = (Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC) for image in images)
    return np.stack([np.asarray(image) for image in small])
