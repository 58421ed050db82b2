"""Small generated data for the kit: moving blobs and waves. It needs NumPy only and is the same every time."""

from collections.abc import Callable, Mapping

import numpy as np

from latentseq.arrays import Batch, Source, Windows

TRAIN = 240
"""Number of training windows."""
VALIDATION = 32
"""Number of validation windows, whose row numbers follow those of training."""


def blobs(rows: np.ndarray, length: int, shape: tuple[int, ...]) -> np.ndarray:
    """Generate clips of one soft coloured blob that moves in a straight line and bounces off the walls.

    Args:
        rows: (b,) numbers of the clips, below TRAIN + VALIDATION; each has its own start, speed and colour.
        length: number of frames, t.
        shape: frame shape (h, w, c).

    Returns:
        (b, t, h, w, c) float32 in [0, 1].
    """
    h, w, c = shape
    draw = np.random.default_rng(7).uniform(size=(TRAIN + VALIDATION, 4 + c))[rows]
    time = np.arange(length)
    path = draw[:, None, :2] + (draw[:, None, 2:4] - 0.5) * 0.2 * time[:, None]
    place = 0.2 + 0.6 * np.abs((path + 1) % 2 - 1)  # A triangle wave: 0 to 1 and back.
    y, x = (np.arange(n)[:, None] / n - place[..., i][:, :, None, None] for i, n in enumerate((h, w)))
    spot = np.exp(-(y**2 + np.swapaxes(x, -1, -2) ** 2) / (2 * 0.12**2))
    colour = 0.4 + 0.6 * draw[:, 4:]
    return (spot[..., None] * colour[:, None, None, None, :]).astype(np.float32)


def waves(rows: np.ndarray, length: int, shape: tuple[int, ...], *, scale: float = 3.0) -> np.ndarray:
    """Generate sines of one frequency around 1; the phase differs by row and by dimension.

    Args:
        rows: (b,) numbers of the sequences, below TRAIN + VALIDATION.
        length: number of items, t.
        shape: shape of one item.
        scale: amplitude.

    Returns:
        (b, t, *shape) float32 in [1 - scale, 1 + scale].
    """
    rng = np.random.default_rng(11)
    phase = rng.uniform(0, 2 * np.pi, TRAIN + VALIDATION)[rows]
    offset = rng.uniform(0, 2 * np.pi, shape)
    turn = phase[:, None] + 0.4 * np.arange(length)
    return (1 + scale * np.sin(turn.reshape(turn.shape + (1,) * len(shape)) + offset)).astype(np.float32)


def streams(widths: Mapping[str, int], rows: np.ndarray, length: int) -> Batch:
    """Generate side streams, (b, t, f) float32 each."""
    return {name: waves(rows, length, (width,), scale=1.0) for name, width in widths.items()}


class Generated(Windows):
    """Windows that a function generates on demand."""

    def __init__(self, make: Callable[[np.ndarray], Batch], first: int, count: int):
        """Set the range of rows.

        Args:
            make: function from row numbers (b,) to a batch.
            first: number of the first row.
            count: number of rows.
        """
        self.make = make
        self.first = first
        self.count = count

    def __len__(self) -> int:
        """Number of windows."""
        return self.count

    def take(self, indices: np.ndarray) -> Batch:
        """See ``Windows.take``."""
        return self.make(self.first + np.asarray(indices))


def generated(make: Callable[[np.ndarray], Batch]) -> Source:
    """Make a source of 240 training windows and 32 other windows for validation."""
    return Source(Generated(make, 0, TRAIN), Generated(make, TRAIN, VALIDATION))
