"""Linear autoregression of latents, without training: a dynamic texture."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from scipy.stats import multivariate_normal

from latentseq.arrays import Latents, Source, State, as_items, check_rolling
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.autoregression import Autoregression, fit_autoregression, spread_conditions, standard_batches
from latentseq.networks.checks import check_streams
from latentseq.networks.statistics import Range, confine, measure_range, measure_statistics
from latentseq.protocols import Dynamics, Forecast, History, Trainer
from latentseq.storage.tensors import load_tensors, save_tensors

STATE = "autoregression.safetensors"
"""File with the state."""
FREE_STEPS = 10
"""Number of free steps at the end of a validation window, by which the strength of the ridge penalty is chosen."""
MIN_VARIANCE = 1e-6
"""Smallest variance of an innovation, in standardised units."""
FADING = 300
"""Number of free steps, by whose second half the innovations are made large enough."""
ENOUGH = 1.0
"""Share of the variance of the training latents that free steps have to reach."""
REVIVALS, MOST_REVIVAL = 6, 10.0
"""Number of times that the innovations are enlarged, and the largest factor of each time."""
ROWS = 16
"""Number of windows whose free steps are looked at."""
WINDOWS = 500
"""Largest number of windows that the covariance of innovations is measured on."""


class Linear(Dynamics):
    """Ridge autoregression on the last two latents, driven by normal innovations with their covariance.

    It is fitted in closed form, in seconds. For a map, the next latent at each position depends on the 3 x 3
    positions around it. At temperature 1 it continues water, fire or smoke without end. At temperature 0 it is the
    linear floor of every other dynamics.

    References:
        Doretto, Chiuso, Wu & Soatto, Dynamic Textures, 2003.
    """

    name = "linear"
    description = "Linear autoregression, fitted in closed form: a dynamic texture, and the floor of other dynamics."
    presets: ClassVar[Presets] = {"tiny": {}, "cpu": {}, "gpu": {}}
    context = 2

    def __init__(self, latent_shape: list[int], conditions: dict[str, int] | None = None):
        """Begin by repeating the last latent.

        Args:
            latent_shape: (d,) for vectors, (h', w', d) for maps.
            conditions: width of every side stream that drives the model.

        Raises:
            UsageError: latents of another rank.
        """
        if len(latent_shape) not in (1, 3):
            raise UsageError(f"linear: latent_shape is {list(latent_shape)}; expected (d,) or (h, w, d).")
        self.latent_shape = tuple(latent_shape)
        self.conditions = dict(conditions or {})
        self._names = tuple(sorted(self.conditions))
        d = self.latent_shape[-1]
        self._model = Autoregression.last(self.latent_shape, sum(self.conditions.values()))
        self._offset = np.zeros(self.latent_shape)
        self._scale = np.ones(self.latent_shape)
        self._covariances = np.stack([np.eye(d), np.eye(d)])  # After one latent, and after two or more.
        self._range = Range(np.full(self.latent_shape, -5.0), np.full(self.latent_shape, 5.0), d**0.5 + 5.0)

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Dynamics.fit``."""
        offset, scale, _ = measure_statistics(source.train, gain=source.gain)
        self._offset, self._scale = offset.astype(np.float64), scale.astype(np.float64)
        self._range = measure_range(source.train, self._offset, self._scale)
        fit = fit_autoregression(
            source, self._offset, self._scale, lambda length: length - min(FREE_STEPS, length // 2), self._names
        )
        row: dict[str, Any] = {"stage": "main", "epoch": 1, "step": 1}
        if fit:
            self._model = fit.model
            row |= {"val_loss": fit.error, "val_last_latent": fit.last_error}
            trainer.say(
                f"squared error of free steps on validation data {fit.error:.4g}; "
                f"{fit.last_error:.4g} when the last latent is repeated"
            )
        self._covariances = self._innovations(source)
        self._revive(source)
        return History([row], row)

    def observe(
        self, latents: Latents, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Forecast, State]:
        """See ``Dynamics.observe``."""
        z = (as_items(latents.mean, self.latent_shape, "latents", axes=2) - self._offset) / self._scale
        condition = self._joined(conditions, *z.shape[:2])
        first, step = (z[:, 0], np.zeros(len(z), np.int64)) if state is None else (state["z"], state["step"])
        before = np.concatenate([first[:, None], z[:, :-1]], axis=1)
        mean = self._model.step(z, before, condition)
        state = {"z": z[:, -1], "mean": mean[:, -1], "step": step + z.shape[1]}
        numbers = np.minimum(int(step[0]) + np.arange(z.shape[1]), 1)
        return LinearForecast(mean, self._covariances, numbers, self._offset, self._scale), state

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Dynamics.imagine``."""
        check_rolling(steps=steps, seed=seed, temperature=temperature)
        z, mean, step = state["z"], state["mean"], state["step"]
        condition, roots = self._joined(conditions, len(z), steps), np.linalg.cholesky(self._covariances)
        imagined = []
        for i in range(steps):
            number = int(step[0]) + i
            noise = np.random.default_rng([seed, number]).standard_normal(z.shape) @ roots[min(number - 1, 1)].T
            after = confine(mean + temperature**0.5 * noise, z, self._range)
            mean, z = self._model.step(after, z, condition[:, i]), after
            imagined.append(z)
        frames = (np.stack(imagined, axis=1) * self._scale + self._offset).astype(np.float32)
        return frames, {"z": z, "mean": mean, "step": step + steps}

    def save_state(self, folder: Path) -> None:
        """See ``Plugin.save_state``."""
        save_tensors(self._state(), folder / STATE)

    def load_state(self, folder: Path) -> None:
        """See ``Plugin.load_state``."""
        expected = {key: (a.shape, str(a.dtype)) for key, a in self._state().items()}
        a = load_tensors(folder / STATE, expected)
        self._model = Autoregression(a["kernel"], a["bias"])
        self._offset, self._scale, self._covariances = a["offset"], a["scale"], a["covariances"]
        self._range = Range(a["low"], a["high"], float(a["radius"]))

    def _state(self) -> dict[str, np.ndarray]:
        arrays = {**self._model._asdict(), **self._range._asdict()}
        arrays |= {"offset": self._offset, "scale": self._scale, "covariances": self._covariances}
        return {key: np.asarray(a, np.float64) for key, a in arrays.items()}

    def _innovations(self, source: Source) -> np.ndarray:
        """Covariances of the one-step error on training windows, (2, d, d): of the first item, and of the others."""
        d = self.latent_shape[-1]
        products, counts = np.zeros((2, d, d)), np.zeros(2)
        for z, c in standard_batches(source.train, WINDOWS, self._offset, self._scale, self._names):
            before = np.concatenate([z[:, :1], z[:, :-2]], axis=1)
            errors = z[:, 1:] - self._model.step(z[:, :-1], before, c[:, :-1])
            for i, part in enumerate((errors[:, :1], errors[:, 1:])):
                rows = part.reshape(-1, d)
                products[i], counts[i] = products[i] + rows.T @ rows, counts[i] + len(rows)
        if not counts[1]:  # Windows of two items.
            products[1], counts[1] = products[0], counts[0]
        return products / counts[:, None, None] + MIN_VARIANCE * np.eye(d)

    def _revive(self, source: Source) -> None:
        """Enlarge the innovations until free steps vary as much as the training latents.

        A model with almost as many weights as a short film has frames leaves errors that are too small, and its free
        steps would fade.
        """
        z, _ = next(standard_batches(source.train, ROWS, self._offset, self._scale, self._names))
        latents = Latents((z * self._scale + self._offset).astype(np.float32))
        widths = self.conditions.items()
        _, state = self.observe(latents, conditions={k: np.zeros((*z.shape[:2], f)) for k, f in widths})
        zeros, wanted = {k: np.zeros((len(z), FADING, f)) for k, f in widths}, z.var(axis=(0, 1)).mean()
        for _ in range(REVIVALS):
            free, _ = self.imagine(state, FADING, seed=0, conditions=zeros)
            variance = ((free[:, FADING // 2 :] / self._scale).var(axis=1)).mean()
            if variance >= ENOUGH * wanted:
                break
            self._covariances = self._covariances * min(wanted / max(variance, 1e-12), MOST_REVIVAL)

    def _joined(self, conditions: Mapping[str, np.ndarray] | None, b: int, t: int) -> np.ndarray:
        """Check the conditions, and join them: (b, t, ..., f), with the positions of the latents.

        Raises:
            UsageError: a stream is missing, unknown or of another shape.
        """
        streams = check_streams(self.name, self.conditions, conditions, b, t)
        return spread_conditions(streams, (b, t, *self.latent_shape))


class LinearForecast(Forecast):
    """Normal densities; positions of a map are independent."""

    def __init__(
        self, mean: np.ndarray, covariances: np.ndarray, numbers: np.ndarray, offset: np.ndarray, scale: np.ndarray
    ):
        """Keep what the densities are computed from.

        Args:
            mean: (b, t, *latent_shape), standardised.
            covariances: (2, d, d), standardised.
            numbers: (t,), which of the two belongs to each item.
            offset: (*latent_shape), subtracted from a latent to standardise it.
            scale: (*latent_shape), divides the difference.
        """
        self.mean = (mean * scale + offset).astype(np.float32)
        self._mean = mean
        self._covariances = covariances
        self._numbers = numbers
        self._offset = offset
        self._scale = scale

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """See ``Forecast.log_prob``."""
        error = (z - self._offset) / self._scale - self._mean
        b, t = error.shape[:2]
        normals = [multivariate_normal(cov=each) for each in self._covariances]
        items = [normals[self._numbers[i]].logpdf(error[:, i]) for i in range(t)]
        log_prob = np.stack([np.reshape(each, (b, -1)).sum(axis=-1) for each in items], axis=1)
        return (log_prob - np.log(self._scale).sum()).astype(np.float32)

    def sample(self, n: int, *, seed: int, temperature: float = 1.0) -> np.ndarray:
        """See ``Forecast.sample``."""
        check_rolling(samples=n, seed=seed, temperature=temperature)
        b, *rest = self._mean.shape
        noise = np.random.default_rng(seed).standard_normal((b, n, *rest))
        roots = np.linalg.cholesky(self._covariances)
        for i, number in enumerate(self._numbers):
            noise[:, :, i] = noise[:, :, i] @ roots[number].T
        z = self._mean[:, None] + temperature**0.5 * noise
        return (z * self._scale + self._offset).astype(np.float32)
