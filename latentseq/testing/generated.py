"""The little data that the kit trains and asks with: blobs that move, and waves. NumPy only, the same every time."""

from collections.abc import Callable, Mapping

import numpy as np

from latentseq.arrays import Batch, Source, Windows

TRAIN = 240
VALIDATION = 32


def blobs(rows: np.ndarray, length: int, shape: tuple[int, ...]) -> np.ndarray:
    """One soft coloured blob a clip, moving straight and bouncing off the walls.

    Args:
        rows: (b,) which clips; each has its own start, speed and colour.
        length: t.
        shape: (h, w, c).

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
    """Sines of one pitch, with a phase of their own for every row and every dimension, around 1.

    Returns:
        (b, t, *shape) float32, values from 1 - scale to 1 + scale.
    """
    rng = np.random.default_rng(11)
    phase = rng.uniform(0, 2 * np.pi, TRAIN + VALIDATION)[rows]
    offset = rng.uniform(0, 2 * np.pi, shape)
    turn = phase[:, None] + 0.4 * np.arange(length)
    return (1 + scale * np.sin(turn.reshape(turn.shape + (1,) * len(shape)) + offset)).astype(np.float32)


def streams(widths: Mapping[str, int], rows: np.ndarray, length: int) -> Batch:
    """Side streams, (b, t, f) float32 each."""
    return {name: waves(rows, length, (width,), scale=1.0) for name, width in widths.items()}


class Generated(Windows):
    """Windows that a function makes of row numbers when they are asked for."""

    def __init__(self, make: Callable[[np.ndarray], Batch], first: int, count: int):
        """Rows ``first`` to ``first + count`` of what ``make`` knows."""
        self.make, self.first, self.count = make, first, count

    def __len__(self) -> int:
        """How many windows there are."""
        return self.count

    def take(self, indices: np.ndarray) -> Batch:
        """See ``Windows.take``."""
        return self.make(self.first + np.asarray(indices))


def generated(make: Callable[[np.ndarray], Batch]) -> Source:
    """A source of 240 windows to train on and 32 others to validate with."""
    return Source(Generated(make, 0, TRAIN), Generated(make, TRAIN, VALIDATION))
