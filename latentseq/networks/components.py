"""Principal components of frames, of patches of frames, and of any items, in closed form. NumPy only."""

from typing import Any, NamedTuple

import numpy as np

ITEMS = 4096
"""Largest number of items that principal axes are fitted to."""
LARGEST_COVARIANCE = 1024
"""Largest size of an item whose covariance is kept whole."""
SAMPLE_BYTES = 1 << 27
"""Size of the sample that the axes of larger items are fitted to."""


class Patches(NamedTuple):
    """How items are cut into the pieces whose principal components are the latents.

    Attributes:
        item_shape: (h, w, c) of a frame, or any shape where the whole item is one piece.
        side: side of a square patch in pixels; None for the whole item.
        low: rows and columns of padding above and to the left.
    """

    item_shape: tuple[int, ...]
    side: int | None = None
    low: tuple[int, int] = (0, 0)

    @property
    def grid(self) -> tuple[int, ...]:
        """Patches in a column and in a row; () for the whole item."""
        return () if self.side is None else tuple(-(-length // self.side) for length in self.item_shape[:2])

    @property
    def size(self) -> int:
        """Number of values of a piece."""
        return int(np.prod(self.item_shape)) if self.side is None else self.side**2 * self.item_shape[-1]

    def cut(self, x: Any, xp: Any = np) -> Any:
        """Cut items.

        Args:
            x: (n, *item_shape).
            xp: module of the array: NumPy, or ``keras.ops`` for tensors.

        Returns:
            Pieces (n, *grid, size). The edges of a frame are repeated in its padding.
        """
        if self.side is None:
            return xp.reshape(x, (-1, self.size))
        for axis, (length, low, count) in enumerate(zip(self.item_shape, self.low, self.grid, strict=False), 1):
            if count * self.side != length:
                x = xp.take(x, np.clip(np.arange(count * self.side) - low, 0, length - 1), axis=axis)
        (rows, columns), k = self.grid, self.side
        x = xp.reshape(x, (-1, rows, k, columns, k, self.item_shape[-1]))
        return xp.reshape(xp.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, rows, columns, self.size))

    def join(self, pieces: Any, xp: Any = np) -> Any:
        """Join pieces (n, *grid, size) to items (n, *item_shape); the inverse of ``cut``."""
        if self.side is None:
            return xp.reshape(pieces, (-1, *self.item_shape))
        (rows, columns), k, c = self.grid, self.side, self.item_shape[-1]
        x = xp.transpose(xp.reshape(pieces, (-1, rows, columns, k, k, c)), (0, 1, 3, 2, 4, 5))
        x = xp.reshape(x, (-1, rows * k, columns * k, c))
        (top, left), (h, w) = self.low, self.item_shape[:2]
        return x[:, top : top + h, left : left + w]


class PrincipalAxes(NamedTuple):
    """The principal axes of items.

    Attributes:
        mean: (s,) mean item.
        axes: (d, s) orthonormal rows, the largest variance first. Rows beyond the number of items are zero.
        variances: (d,) variance along each axis.
        rest: mean variance along all other axes.
    """

    mean: np.ndarray
    axes: np.ndarray
    variances: np.ndarray
    rest: float


class PrincipalAxesFit:
    """Fits principal axes in one pass, in memory that does not grow with the number of items.

    The covariance of small items is kept whole. Of large items, such as frames, as many are kept as fit into
    ``SAMPLE_BYTES``.

    References:
        Halko, Martinsson & Tropp, Finding Structure with Randomness, 2011: scikit-learn's randomised ``PCA``.
    """

    def __init__(self, size: int, d: int):
        """Begin without items.

        Args:
            size: number of values of an item.
            d: number of axes; those beyond ``size`` are zero.
        """
        self.size = size
        self.d = d
        self.count = 0
        self._whole = size <= LARGEST_COVARIANCE
        self._sum = np.zeros(size)
        self._products = np.zeros((size, size) if self._whole else 0)
        self._sample: list[np.ndarray] = []

    @property
    def is_full(self) -> bool:
        """Whether no more items are needed."""
        return not self._whole and self.count * self.size * 4 >= SAMPLE_BYTES

    def add(self, x: np.ndarray) -> None:
        """Add items (n, size); those that are no longer needed are dropped."""
        if self.is_full:
            return
        self.count += len(x)
        if self._whole:
            x = x.astype(np.float64)
            self._sum += x.sum(axis=0)
            self._products += x.T @ x
        else:
            self._sample.append(x.astype(np.float32))

    def result(self) -> PrincipalAxes:
        """The axes of the items so far; at least one item is needed."""
        if self._whole:
            mean = self._sum / self.count
            covariance = self._products / self.count - np.outer(mean, mean)
            values, vectors = np.linalg.eigh(covariance)
            variances, axes, total = values[::-1], vectors.T[::-1], float(np.trace(covariance))
        else:
            from sklearn.utils.extmath import randomized_svd  # It takes a second to import.

            x = np.concatenate(self._sample)
            mean = x.mean(axis=0)
            x = x - mean
            total = float(np.square(x).sum()) / self.count
            _, singular, axes = randomized_svd(x, min(self.d, self.count), random_state=0)
            variances = np.square(singular) / self.count
        found = min(self.d, len(axes))
        kept, left = np.zeros((self.d, self.size)), np.zeros(self.d)
        kept[:found], left[:found] = axes[:found], np.maximum(variances[:found], 0)
        rest = max(0.0, total - left.sum()) / max(1, self.size - self.d)
        return PrincipalAxes(mean.astype(np.float64), kept, left, rest)
