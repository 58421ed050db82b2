"""The meaning of an array's axes: time, clips, height, width and channels.

It is recognised from the shape, or the user names the axes.
"""

from collections.abc import Sequence
from typing import NamedTuple

from latentseq.errors import DataError, UsageError

CHANNELS = (1, 3, 4)
"""Possible numbers of channels: gray, colour, and colour with alpha."""
WHOLE = slice(None)
_LETTERS = "TNHWC"
_MOVING_MNIST = (20, 10_000, 64, 64)
"""Shape of ``mnist_test_seq.npy``, a common test file, in which time comes first."""
_FEW = 5
"""Smallest number of frames: a shorter first axis counts clips or channels, not time."""
_SIDE, _STRIP = 4, 16
"""Smallest side of a picture in pixels, and the side below which its other side is at most four times as long."""
_HOW = (
    "--axes, one letter for each: T for time, N for clips, H for height, W for width, C for channels (for example "
    "--axes TNHW; in commands other than ingest: --data-set axes=TNHW)"
)


class Layout(NamedTuple):
    """The axes of an array.

    Attributes:
        axes: one letter for each axis: T (time), N (clips), H (height), W (width) or C (channels).
        shape: shape of the array.
    """

    axes: str
    shape: tuple[int, ...]

    def side(self, letter: str) -> int:
        """Length of an axis; 1 if the array does not have it."""
        return self.shape[self.axes.index(letter)] if letter in self.axes else 1

    @property
    def clips(self) -> int:
        """Number of clips."""
        return self.side("N")

    @property
    def frames(self) -> int:
        """Number of frames in each clip."""
        return self.side("T")

    @property
    def pictures(self) -> int:
        """Number of pictures in all clips."""
        return self.clips * self.frames

    @property
    def picture(self) -> tuple[int, int, int]:
        """Shape (h, w, c) of a frame."""
        return self.side("H"), self.side("W"), self.side("C")

    @property
    def in_order(self) -> bool:
        """Whether the pictures are stored in the order in which they are shown."""
        return self.axes.rstrip("HWC") in ("", "N", "T", "NT")

    @property
    def in_pieces(self) -> bool:
        """Whether the rows of a picture are scattered over the array."""
        return not {"H", "W"} <= set(self.axes[len(self.axes.rstrip("HWC")) :])

    def at(self, number: int) -> tuple[int | slice, ...]:
        """Index of a picture in the array: a number for time and clips, and a full slice for other axes.

        Args:
            number: number of the picture, counted through all clips.
        """
        clip, frame = divmod(number, self.frames)
        numbers: dict[str, int | slice] = {"N": clip, "T": frame}
        return tuple(numbers.get(letter, WHOLE) for letter in self.axes)

    @property
    def order(self) -> tuple[int, ...]:
        """Permutation that brings the axes of a picture into the order h, w, c, as far as the array has them."""
        own = [letter for letter in self.axes if letter in "HWC"]
        return tuple(own.index(letter) for letter in "HWC" if letter in own)

    def describe(self) -> str:
        """Describe the shape, the axes and the content in words."""
        return f"{self.shape} read as {' '.join(self.axes)}: {self.content()}"

    def content(self) -> str:
        """Describe the content in words, such as ``2 clips of 30 frames of 48 x 64, gray``."""
        h, w, c = self.picture
        colour = {1: "gray", 3: "colour", 4: "colour with alpha"}.get(c, f"{c} channels")
        clips = f"{self.clips:,} {'clip' if self.clips == 1 else 'clips'} of " if "N" in self.axes else ""
        return f"{clips}{self.frames:,} {'frame' if self.frames == 1 else 'frames'} of {h} x {w}, {colour}"


def parse_axes(text: str) -> str:
    """Parse the value of ``--axes`` into capital letters.

    Raises:
        UsageError: a letter is unknown or occurs twice, or H or W is missing.
    """
    axes = str(text).strip().upper()
    if not set("HW") <= set(axes) <= set(_LETTERS) or len(set(axes)) < len(axes):
        raise UsageError(
            f"--axes is {text!r}; expected one letter for each axis of the array: H for height and W for width, and, "
            "if the array has them, T for time, N for clips and C for channels. Write, for example, --axes TNHW."
        )
    return axes


def layout_of(shape: tuple[int, ...], axes: str | None, name: str) -> Layout:
    """Determine the layout of an array.

    Args:
        shape: shape of the array.
        axes: letters of its axes, as ``parse_axes`` returns them; None to recognise them from the shape.
        name: name of the array for error messages.

    Raises:
        DataError: the axes do not fit the shape, or the shape is not recognised, or it can be read in more than one
            way.
    """
    if axes is not None:
        if len(axes) != len(shape):
            raise DataError(
                f"{name} has the shape {shape}, and --axes {axes} names {len(axes)} axes; expected {len(shape)}, one "
                "letter for each. Pass arrays of other shapes in a call of their own."
            )
        layout = Layout(axes, shape)
        if layout.side("C") not in CHANNELS:
            raise DataError(
                f"{name} has the shape {shape}, and --axes {axes} says that it has {layout.side('C')} channels; "
                "expected 1, 3 or 4. Save it again with only the channels of a picture."
            )
        return layout
    layouts = [Layout(each, shape) for each in recognise(shape)]
    if not layouts:
        raise DataError(
            f"{name} has the shape {shape}, which is not recognised as pictures; expected (T, H, W), (N, T, H, W), "
            f"or one of them with 1, 3 or 4 channels, last or before H. Name its axes with {_HOW}, or "
            "reshape it and save it again."
        )
    if len(layouts) > 1:
        readings = " or ".join(f"{' '.join(each.axes)} ({each.content()})" for each in layouts)
        raise DataError(
            f"{name} has the shape {shape}, which can be read in more than one way: as {readings}. Choose one with "
            f"{' or '.join(f'--axes {each.axes}' for each in layouts)} (in commands other than ingest: --data-set "
            f"axes={layouts[0].axes})."
        )
    return layouts[0]


def usual(shape: Sequence[int]) -> str:
    """The usual axes of an array of this shape, which are those that ``export`` writes; empty if there are none."""
    return {3: "THW", 4: "THWC" if shape[-1] in CHANNELS else "NTHW", 5: "NTHWC"}.get(len(shape), "")


def recognise(shape: tuple[int, ...]) -> list[str]:
    """Possible axes of a shape: one reading if it is clear, several if it is ambiguous, none if it is not video."""
    match shape:
        case (_, _, _):
            return _three(*shape)
        case (_, _, _, _):
            return _four(*shape)
        case (_, _, _, _, _):
            return _five(*shape)
    return []


def _three(a: int, b: int, c: int) -> list[str]:
    if c in CHANNELS:
        return ["HWC"] if min(a, b) >= _STRIP else ["HWC", "THW"]
    if not _is_picture(b, c):
        return []
    return ["THW", "HWT"] if a == b != c else ["THW"]  # Square pictures, with time last as other programs save it.


def _four(a: int, b: int, c: int, d: int) -> list[str]:
    if d in CHANNELS:
        return ["THWC"]
    if not _is_picture(c, d):
        return []
    if b in (1, 3):  # A clip of 3 frames is unlikely, but channels may also come first.
        return ["TCHW", "CTHW"] if a == b == 3 else ["TCHW"]
    if b == 4:
        return ["NTHW", "TCHW"]
    if a == 3:
        return ["NTHW", "CTHW"]
    return _clips_and_time((a, b, c, d), "HW")


def _five(a: int, b: int, c: int, d: int, e: int) -> list[str]:
    if e in CHANNELS:  # `export` writes this order, so few long clips are not ambiguous.
        return ["TNHWC"] if (a, b, c, d) == _MOVING_MNIST else ["NTHWC"]
    if not _is_picture(d, e):
        return []
    if c in CHANNELS and (b not in CHANNELS or (b, c) == (1, 1)):
        return _clips_and_time((a, b, d, e), "CHW")
    if c in CHANNELS:
        return ["NTCHW", "NCTHW"]
    return ["NCTHW"] if b in CHANNELS else []


def _clips_and_time(shape: tuple[int, int, int, int], last: str) -> list[str]:
    """Decide which of the first two axes counts clips and which counts frames."""
    a, b, _, _ = shape
    if shape == _MOVING_MNIST:
        return [f"TN{last}"]
    return [f"NT{last}", f"TN{last}"] if _FEW <= a < b else [f"NT{last}"]


def _is_picture(h: int, w: int) -> bool:
    """Whether two axes can be a height and a width."""
    short, long = min(h, w), max(h, w)
    return short >= _SIDE and (short >= _STRIP or long <= 4 * short)
