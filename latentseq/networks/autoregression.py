"""Ridge autoregression of latents, in closed form. NumPy only."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from latentseq.arrays import Source, Windows
from latentseq.data.windows import spread_indices

AT_ONCE = 64
"""Number of windows that are read at once."""
VALUES = 1 << 20
"""Approximate number of values that are read at once; the inputs of a map are 18 times as many."""
ROWS = 200_000
"""Approximate number of transitions that an autoregression is fitted to; every position of a map counts."""
MOST_INPUTS = 4000
"""Largest number of inputs of an autoregression; its matrix has the square of it."""
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths of the ridge penalty, as shares of the mean variance of an input. Validation chooses one."""
VALIDATION_WINDOWS = 128
"""Largest number of validation windows that candidates are compared on."""
GROWTH_STEPS = 400
"""Number of free steps that the growth of an autoregression on a map is measured over."""


class Regression:
    """Ridge regression in one pass, in memory that does not grow with the number of rows.

    References:
        Hoerl & Kennard, Ridge Regression: Biased Estimation for Nonorthogonal Problems, 1970.
    """

    def __init__(self, inputs: int, outputs: int):
        """Begin without rows.

        Args:
            inputs: number of inputs.
            outputs: number of outputs.
        """
        self.n = 0
        self._x, self._y = np.zeros(inputs), np.zeros(outputs)
        self._xx, self._xy = np.zeros((inputs, inputs)), np.zeros((inputs, outputs))

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add rows: inputs (n, inputs) and outputs (n, outputs)."""
        x, y = x.astype(np.float64, copy=False), y.astype(np.float64, copy=False)
        self.n += len(x)
        self._x += x.sum(axis=0)
        self._y += y.sum(axis=0)
        self._xx += x.T @ x
        self._xy += x.T @ y

    def solve(self, *ridges: float, rescaled: np.ndarray | None = None) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights (inputs, outputs) and bias (outputs,) for each strength of the penalty.

        Args:
            ridges: strengths above 0, as shares of the mean variance of an input.
            rescaled: (inputs,) bool, inputs whose unit must not count: each gets the mean variance of the others.
        """
        mean, goal = self._x / self.n, self._y / self.n
        covariance = self._xx / self.n - np.outer(mean, mean)
        variance, unit = np.maximum(np.diag(covariance), 0), np.ones(len(mean))
        if rescaled is not None:
            usual = max(float(variance[~rescaled].mean()), 1e-12)
            unit[rescaled] = np.sqrt(np.maximum(variance[rescaled], 1e-12) / usual)
        values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
        projected = vectors.T @ ((self._xy / self.n - np.outer(mean, goal)) / unit[:, None])
        values, usual = np.maximum(values, 0), max(float(values.mean()), 1e-12)
        weights = [vectors @ (projected / (values + ridge * usual)[:, None]) / unit[:, None] for ridge in ridges]
        return [(each, goal - mean @ each) for each in weights]


class Autoregression(NamedTuple):
    """A linear model of the next latent: last latent, its difference to the one before, and conditions.

    z[t + 1] = z[t] + kernel * (z[t], z[t] - z[t - 1], condition[t]) + bias, where * is a matrix product for vectors,
    and a convolution with zeros around it for maps.

    Attributes:
        kernel: (2 d + f, d) for vectors, (3, 3, 2 d + f, d) for maps.
        bias: (d,).
    """

    kernel: np.ndarray
    bias: np.ndarray

    @classmethod
    def last(cls, latent_shape: tuple[int, ...], conditions: int = 0) -> "Autoregression":
        """The model that repeats the last latent."""
        d = latent_shape[-1]
        window = (3, 3) if len(latent_shape) == 3 else ()
        return cls(np.zeros((*window, 2 * d + conditions, d)), np.zeros(d))

    def step(self, z: np.ndarray, before: np.ndarray, condition: np.ndarray) -> np.ndarray:
        """The next latents (..., *latent_shape) after ``z`` and ``before``; conditions have the axes of ``z``."""
        x = np.concatenate([z, z - before, condition], axis=-1)
        d = z.shape[-1]
        return z + neighbours(x, self.kernel.ndim == 4) @ self.kernel.reshape(-1, d) + self.bias

    def roll(self, z: np.ndarray, before: np.ndarray, conditions: np.ndarray) -> np.ndarray:
        """Free steps: (b, t, *latent_shape), as many as there are conditions (b, t, ..., f)."""
        after = []
        for i in range(conditions.shape[1]):
            z, before = self.step(z, before, conditions[:, i]), z
            after.append(z)
        return np.stack(after, axis=1)

    def absolute(self) -> "Autoregression":
        """The same model, with the last latent as part of the kernel instead of a summand beside it."""
        kernel = self.kernel.copy()
        d = kernel.shape[-1]
        kernel[(1, 1) if kernel.ndim == 4 else ()][:d] += np.eye(d)
        return Autoregression(kernel, self.bias)

    def stabilised(self, latent_shape: tuple[int, ...]) -> "Autoregression":
        """The same model with a spectral radius of at most 1: a larger one divides all eigenvalues."""
        radius = self.spectral_radius(latent_shape)
        if radius <= 1:
            return self
        d, shrink = latent_shape[-1], 1 / radius
        kernel = self.kernel.copy()
        centre = (1, 1) if kernel.ndim == 4 else ()
        # z[t + 1] = one z[t] + two z[t - 1]. Eigenvalues shrink by a factor if one does, and two by its square.
        identity = np.zeros((*kernel.shape[:-2], d, d))
        identity[centre] = np.eye(d)
        two = -kernel[..., d : 2 * d, :]
        one = identity + kernel[..., :d, :] - two
        one, two = shrink * one, shrink**2 * two
        kernel[..., d : 2 * d, :] = -two
        kernel[..., :d, :] = one - identity + two
        return Autoregression(kernel, self.bias)

    def spectral_radius(self, latent_shape: tuple[int, ...]) -> float:
        """The largest absolute eigenvalue of the step from two latents to the next two.

        For a map it is the growth of free steps, by power iteration.
        """
        d, free = latent_shape[-1], Autoregression(self.kernel, np.zeros_like(self.bias))
        if self.kernel.ndim == 2:
            now, change = self.kernel[:d], self.kernel[d : 2 * d]
            step = np.block([[np.eye(d) + now + change, np.eye(d)], [-change, np.zeros((d, d))]])
            return float(np.abs(np.linalg.eigvals(step)).max())
        z, before = np.random.default_rng(0).standard_normal((2, 1, *latent_shape))
        condition = np.zeros((*z.shape[:-1], self.kernel.shape[-2] - 2 * d))
        logs = []
        for _ in range(GROWTH_STEPS):
            z, before = free.step(z, before, condition), z
            size = float(np.sqrt(np.square(z).sum() + np.square(before).sum()))
            logs.append(np.log(max(size, 1e-300)))
            z, before = z / max(size, 1e-300), before / max(size, 1e-300)
        return float(np.exp(np.mean(logs[GROWTH_STEPS // 2 :])))


class AutoregressionFit(NamedTuple):
    """An autoregression and its squared errors of free steps on validation windows, means over items.

    Attributes:
        model: the autoregression.
        error: its error.
        last_error: error of repeating the last latent.
    """

    model: Autoregression
    error: float
    last_error: float


def fit_autoregression(
    source: Source,
    offset: np.ndarray,
    scale: np.ndarray,
    burn_in: Callable[[int], int],
    conditions: tuple[str, ...] = (),
) -> AutoregressionFit | None:
    """Fit an autoregression of standardised latents by ridge regression.

    Several strengths of the penalty are tried, each with a spectral radius of at most 1. The one with the smallest
    error of free steps on validation windows is chosen.

    Args:
        source: windows of ``mean`` (b, t, *latent_shape) and the conditions.
        offset: (*latent_shape), mean of the latents.
        scale: (*latent_shape), standard deviation of the latents.
        burn_in: function: length of a window -> number of its true items; the items after them are free steps.
        conditions: names of the streams that drive the model.

    Returns:
        The best model. None if there are too many inputs, or no three items in a row.

    References:
        Doretto et al., Dynamic Textures, 2003.
    """

    shape, first = offset.shape, source.train.take(np.arange(1))
    length, d, is_map = first["mean"].shape[1], shape[-1], len(shape) == 3
    f = sum(first[name].shape[-1] for name in conditions)
    inputs = (9 if is_map else 1) * (2 * d + f)
    if length < 3 or inputs > MOST_INPUTS:
        return None
    most = max(1, ROWS // ((length - 2) * int(np.prod(shape[:-1]))))
    regression = Regression(inputs, d)
    for z, c in standard_batches(source.train, most, offset, scale, conditions):
        x = np.concatenate([z[:, 1:-1], z[:, 1:-1] - z[:, :-2], c[:, 1:-1]], axis=-1)
        x = neighbours(x.reshape(-1, *x.shape[2:]), is_map)
        regression.add(x.reshape(-1, inputs), (z[:, 2:] - z[:, 1:-1]).reshape(-1, d))
    validation = list(standard_batches(source.validation, VALIDATION_WINDOWS, offset, scale, conditions))
    last = Autoregression.last(shape, f)
    last_error = _free_error(last, validation, burn_in)
    best: AutoregressionFit | None = None
    conditioned = np.tile(np.arange(2 * d + f) >= 2 * d, 9 if is_map else 1)
    for weights, bias in regression.solve(*RIDGES, rescaled=conditioned):
        model = Autoregression(weights.reshape(last.kernel.shape), bias).stabilised(shape)
        error = _free_error(model, validation, burn_in)
        if best is None or error < best.error:
            best = AutoregressionFit(model, error, last_error)
    return best


def neighbours(x: np.ndarray, is_map: bool) -> np.ndarray:
    """The inputs of an autoregression at every position.

    Args:
        x: (..., c) vectors, or (..., h', w', c) maps.
        is_map: whether the items are maps.

    Returns:
        ``x`` for vectors; (..., h', w', 9 c) for maps: the 3 x 3 positions around each, and zeros outside of the map.
    """
    if not is_map:
        return x
    h, w = x.shape[-3:-1]
    padded = np.pad(x, [(0, 0)] * (x.ndim - 3) + [(1, 1), (1, 1), (0, 0)])
    return np.concatenate([padded[..., i : i + h, j : j + w, :] for i in range(3) for j in range(3)], axis=-1)


def standard_batches(
    windows: Windows, at_most: int, offset: np.ndarray, scale: np.ndarray, conditions: tuple[str, ...]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Read at most ``at_most`` windows, evenly spread.

    Yields:
        Standardised latents (b, t, *latent_shape), and conditions (b, t, ..., f) with the positions of the latents.
    """
    indices = spread_indices(len(windows), at_most)
    size = windows.take(indices[:1])["mean"].size
    at_once = int(np.clip(VALUES // size, 1, AT_ONCE))
    for start in range(0, len(indices), at_once):
        batch = windows.take(indices[start : start + at_once])
        z = (batch["mean"].astype(np.float64) - offset) / scale
        yield z, spread_conditions([batch[name] for name in conditions], z.shape)


def spread_conditions(streams: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Streams (b, t, f) as channels (b, t, ..., f) beside latents of a shape (b, t, ..., d), one after the other."""
    rows = [np.zeros((*shape[:-1], 0))]
    for stream in streams:
        stream = stream.reshape(*shape[:2], *[1] * (len(shape) - 3), -1)
        rows.append(np.broadcast_to(stream, (*shape[:-1], stream.shape[-1])))
    return np.concatenate(rows, axis=-1)


def _free_error(
    model: Autoregression, windows: list[tuple[np.ndarray, np.ndarray]], burn_in: Callable[[int], int]
) -> float:
    """Squared error of free steps, summed over an item, mean over items."""
    total, n = 0.0, 0
    for z, c in windows:
        first = min(burn_in(z.shape[1]), z.shape[1] - 1)
        before = z[:, max(0, first - 2)]
        with np.errstate(over="ignore", invalid="ignore"):
            rolled = model.roll(z[:, first - 1], before, c[:, first - 1 : -1])
            total += float(np.square(rolled - z[:, first:]).sum())
        n += rolled.shape[0] * rolled.shape[1]
    return total / n if np.isfinite(total) else np.inf
