"""Which axis of an array is what: time, clips, height, width, channels. Recognised from the shape, or asked for."""

from collections.abc import Sequence
from typing import NamedTuple

from latentseq.errors import DataError, UsageError

CHANNELS = (1, 3, 4)
"""Gray, colour, and colour with alpha."""
WHOLE = slice(None)
_LETTERS = "TNHWC"
_MOVING_MNIST = (20, 10_000, 64, 64)
"""The shape of ``mnist_test_seq.npy``, the field's test file: time comes first."""
_FEW = 5
"""Frames: a first axis shorter than that counts clips or channels, not time."""
_SIDE, _STRIP = 4, 16
"""Pixels: no picture has a smaller side; one whose side is below the second is not four times as long."""
_HOW = (
    "--axes, a letter for each: T for time, N for clips, H for height, W for width, C for channels (for example "
    "--axes TNHW; in commands other than ingest --data-set axes=TNHW)"
)


class Layout(NamedTuple):
    """The axes of an array.

    Attributes:
        axes: a letter for each axis, of T (time), N (clips), H, W and C (channels).
        shape: of the array.
    """

    axes: str
    shape: tuple[int, ...]

    def side(self, letter: str) -> int:
        """The length of an axis; 1 where there is none."""
        return self.shape[self.axes.index(letter)] if letter in self.axes else 1

    @property
    def clips(self) -> int:
        """How many."""
        return self.side("N")

    @property
    def frames(self) -> int:
        """Of each clip."""
        return self.side("T")

    @property
    def pictures(self) -> int:
        """Of all pictures."""
        return self.clips * self.frames

    @property
    def picture(self) -> tuple[int, int, int]:
        """(h, w, c) of a frame."""
        return self.side("H"), self.side("W"), self.side("C")

    @property
    def in_order(self) -> bool:
        """Whether the pictures lie one after another as they are shown."""
        return self.axes.rstrip("HWC") in ("", "N", "T", "NT")

    @property
    def in_pieces(self) -> bool:
        """Whether the rows of a picture are scattered over the array."""
        return not {"H", "W"} <= set(self.axes[len(self.axes.rstrip("HWC")) :])

    def at(self, number: int) -> tuple[int | slice, ...]:
        """Where a picture is: a number for time and clips, a whole slice for its own axes.

        Args:
            number: counted through the clips, one after another.
        """
        clip, frame = divmod(number, self.frames)
        numbers: dict[str, int | slice] = {"N": clip, "T": frame}
        return tuple(numbers.get(letter, WHOLE) for letter in self.axes)

    @property
    def order(self) -> tuple[int, ...]:
        """What brings the axes of a picture, as ``at`` leaves them, into the order h, w, c where there is a c."""
        own = [letter for letter in self.axes if letter in "HWC"]
        return tuple(own.index(letter) for letter in "HWC" if letter in own)

    def told(self) -> str:
        """How it is read, in words."""
        return f"{self.shape} read as {' '.join(self.axes)}: {self.content()}"

    def content(self) -> str:
        """What it holds, in words."""
        h, w, c = self.picture
        colour = {1: "gray", 3: "colour", 4: "colour with alpha"}.get(c, f"{c} channels")
        clips = f"{self.clips:,} {'clip' if self.clips == 1 else 'clips'} of " if "N" in self.axes else ""
        return f"{clips}{self.frames:,} {'frame' if self.frames == 1 else 'frames'} of {h} x {w}, {colour}"


def parse_axes(text: str) -> str:
    """The letters of ``--axes``, as capitals.

    Raises:
        UsageError: another letter, one twice, or no H and W.
    """
    axes = str(text).strip().upper()
    if not set("HW") <= set(axes) <= set(_LETTERS) or len(set(axes)) < len(axes):
        raise UsageError(
            f"--axes is {text!r}; expected a letter for each axis of the array, none twice: H for height and W for "
            "width, and T for time, N for clips and C for channels where there are such. Write it as in --axes TNHW."
        )
    return axes


def layout_of(shape: tuple[int, ...], axes: str | None, name: str) -> Layout:
    """How an array is read.

    Args:
        shape: of the array.
        axes: its axes, as ``parse_axes`` gives them; recognised from the shape where None.
        name: of the array, for errors.

    Raises:
        DataError: the axes do not fit the shape, or it can be read in no way, or in more than one.
    """
    if axes is not None:
        if len(axes) != len(shape):
            raise DataError(
                f"{name} has the shape {shape}, and --axes {axes} names {len(axes)} axes; expected {len(shape)}, a "
                "letter for each. Give arrays of other shapes by themselves."
            )
        layout = Layout(axes, shape)
        if layout.side("C") not in CHANNELS:
            raise DataError(
                f"{name} has the shape {shape}, and --axes {axes} says that {layout.side('C')} is the number of its "
                "channels; expected 1, 3 or 4. Save it again with the channels of a picture alone."
            )
        return layout
    found = [Layout(each, shape) for each in recognise(shape)]
    if not found:
        raise DataError(
            f"{name} has the shape {shape}, which is not recognised as pictures; expected (T, H, W), (N, T, H, W), "
            f"or one of them with 1, 3 or 4 channels, last or before H. Say what its axes are with {_HOW}, or "
            "reshape it and save it again."
        )
    if len(found) > 1:
        readings = " or ".join(f"{' '.join(each.axes)} ({each.content()})" for each in found)
        raise DataError(
            f"{name} has the shape {shape}, which can be read in more than one way: as {readings}. Say which with "
            f"{' or '.join(f'--axes {each.axes}' for each in found)} (in commands other than ingest --data-set "
            f"axes={found[0].axes})."
        )
    return found[0]


def usual(shape: Sequence[int]) -> str:
    """The axes that most arrays of that many have, and that ``export`` writes."""
    return {3: "THW", 4: "THWC" if shape[-1] in CHANNELS else "NTHW", 5: "NTHWC"}.get(len(shape), "")


def recognise(shape: tuple[int, ...]) -> list[str]:
    """The ways in which a shape can be read: one where it is clear, several where not, none where it is no video."""
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
    if b in (1, 3):  # A clip of 3 frames is none; but channels may come first as well.
        return ["TCHW", "CTHW"] if a == b == 3 else ["TCHW"]
    if b == 4:
        return ["NTHW", "TCHW"]
    if a == 3:
        return ["NTHW", "CTHW"]
    return _clips_and_time((a, b, c, d), "HW")


def _five(a: int, b: int, c: int, d: int, e: int) -> list[str]:
    if e in CHANNELS:  # As `export` writes it, so that few long clips are no question.
        return ["TNHWC"] if (a, b, c, d) == _MOVING_MNIST else ["NTHWC"]
    if not _is_picture(d, e):
        return []
    if c in CHANNELS and (b not in CHANNELS or (b, c) == (1, 1)):
        return _clips_and_time((a, b, d, e), "CHW")
    if c in CHANNELS:
        return ["NTCHW", "NCTHW"]
    return ["NCTHW"] if b in CHANNELS else []


def _clips_and_time(shape: tuple[int, int, int, int], last: str) -> list[str]:
    """Which of two axes counts clips, and which frames."""
    a, b, _, _ = shape
    if shape == _MOVING_MNIST:
        return [f"TN{last}"]
    return [f"NT{last}", f"TN{last}"] if _FEW <= a < b else [f"NT{last}"]


def _is_picture(h: int, w: int) -> bool:
    """Whether two axes may be a height and a width."""
    short, long = min(h, w), max(h, w)
    return short >= _SIDE and (short >= _STRIP or long <= 4 * short)
