"""Promises of dynamics: D1 to D6, in addition to C1 to C9 and R1 to R15."""

from unittest import SkipTest

import numpy as np

from latentseq.arrays import Batch, Latents, Source, State
from latentseq.protocols import Dynamics, Forecast
from latentseq.testing.common import promise, require, require_array, require_close, require_same
from latentseq.testing.generated import TRAIN, generated, streams, waves
from latentseq.testing.rolling import ROWS, RollingPromises, Streams

DRAWS = 2048
"""Number of samples for the estimate of an integral."""
FIRST_ITEMS = 3
"""Number of items whose density is integrated."""
LARGEST = 64
"""Largest number of dimensions for which the integral of a density is estimated."""
FACTOR = 4.0
"""Largest factor between the estimate and 1; wrong units or reductions are off by far more."""


class DynamicsPromises(RollingPromises[Dynamics]):
    """The kit for dynamics: derive a class ``Test…`` from it and implement ``make``."""

    def item_shape(self, model: Dynamics) -> tuple[int, ...]:
        """The shape of a latent."""
        return tuple(model.latent_shape)

    def items(self, model: Dynamics, rows: np.ndarray, length: int) -> np.ndarray:
        """Waves with a scale far from that of an untrained model."""
        return waves(rows, length, self.item_shape(model), scale=10.0)

    def source(self, model: Dynamics) -> Source:
        """Waves with a narrow posterior, and the conditions."""

        def windows(rows: np.ndarray) -> Batch:
            mean = self.items(model, rows, self.length)
            return {"mean": mean, "log_var": np.full_like(mean, -3), **streams(model.conditions, rows, self.length)}

        return generated(windows)

    def observe(
        self, model: Dynamics, x: np.ndarray, state: State | None, streams: Streams
    ) -> tuple[np.ndarray, State]:
        """Means of the forecasts."""
        forecast, state = self.forecast(model, x, state, streams)
        return forecast.mean, state

    def forecast(
        self, model: Dynamics, x: np.ndarray, state: State | None = None, streams: Streams | None = None
    ) -> tuple[Forecast, State]:
        """The model's forecast for latents with a narrow posterior."""
        conditions = self.streams(model, 0, x.shape[1], np.arange(len(x))) if streams is None else streams
        latents = Latents(x, np.full_like(x, -3))
        return model.observe(latents, state, conditions=dict(conditions) if conditions else None)

    def stochastic(self, model: Dynamics) -> bool:
        """Whether samples of two seeds differ."""
        forecast, _ = self.forecast(model, self._held_out(model))
        return not np.array_equal(forecast.sample(1, seed=0), forecast.sample(1, seed=1))

    @promise
    def test_d01_log_prob(self) -> None:
        """D1: observe returns a Forecast, whose log_prob(z) is a finite floating-point array (b, t)."""
        model = self.trained()
        forecast, _ = self.forecast(model, self._held_out(model))
        require(isinstance(forecast, Forecast), f"observe returned a {type(forecast).__name__}.")
        density = forecast.log_prob(self._next(model))
        require(isinstance(density, np.ndarray), f"log_prob is a {type(density).__name__}; expected a NumPy array.")
        require(np.issubdtype(density.dtype, np.floating), f"log_prob has dtype {density.dtype}.")
        require_array(density, "log_prob", (ROWS, self.length), dtype=density.dtype)

    @promise
    def test_d02_density(self) -> None:
        """D2: log_prob is the log density of the whole latent in the encoder's units: the density integrates to 1, or
        to less where log_prob is a bound."""
        model = self.trained()
        if np.prod(model.latent_shape) > LARGEST:
            raise SkipTest(f"The integral is estimated for at most {LARGEST} dimensions. Make a smaller instance.")
        x = np.repeat(self._held_out(model)[:1, :FIRST_ITEMS], DRAWS, axis=0)
        forecast, _ = self.forecast(model, x, streams=self.streams(model, 0, FIRST_ITEMS, np.zeros(DRAWS, int)))
        middle, width = _around(forecast)
        noise = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
        inner = tuple(range(2, x.ndim))
        proposal = -np.sum(noise**2 / 2 + np.log(width) + np.log(2 * np.pi) / 2, axis=inner)
        weights = np.exp(np.asarray(forecast.log_prob(middle + width * noise), np.float64) - proposal)
        for i, integral in enumerate(weights.mean(0).tolist()):
            least = 0.0 if forecast.bound else 1 / FACTOR
            valid = least <= integral < FACTOR
            require(valid, f"For item {i} the integral is about {integral:.3g}; allowed {least} to {FACTOR}.")

    @promise
    def test_d03_sample(self) -> None:
        """D3: sample returns (b, n, t, *latent_shape), float32 and finite, with the same bytes for the same seed."""
        model = self.trained()
        forecast, _ = self.forecast(model, self._held_out(model))
        first, second = (forecast.sample(2, seed=5) for _ in range(2))
        require_array(first, "A sample", (ROWS, 2, self.length, *model.latent_shape))
        require_same(first, second, "Two samples with seed 5")

    @promise
    def test_d04_sample_mean(self) -> None:
        """D4: The mean of samples at temperature 1 is the mean of the forecast."""
        model = self.trained()
        forecast, _ = self.forecast(model, self._held_out(model))
        samples = forecast.sample(256, seed=0).astype(np.float64)
        error = np.abs(samples.mean(1) - forecast.mean)
        allowed = 6 * samples.std(1) / np.sqrt(256) + self.tolerance * max(1.0, float(np.abs(forecast.mean).max()))
        worst = float((error / allowed).max())
        require(worst <= 1, f"The mean of 256 samples is {6 * worst:.1f} standard errors away; allowed 6.")

    @promise
    def test_d05_first_step(self) -> None:
        """D5: At temperature 0, the first imagined item equals a sample of the last forecast."""
        model = self.trained()
        forecast, state = self.forecast(model, self._held_out(model))
        expected = forecast.sample(1, seed=0, temperature=0.0)[:, 0, -1]
        first = self.imagined(model, state)[0][:, 0]
        require_close(first, expected, "The first imagined item and the sample of the last forecast", self.tolerance)

    @promise
    def test_d06_fit(self) -> None:
        """D6: fit returns a History, and raises the likelihood of held-out sequences."""
        self.require_history()
        before, after = (self._likelihood(model) for model in (self.instance(), self.trained()))
        require(after > before, f"The mean log_prob was {before:.4g} nats before training and is {after:.4g} after.")

    def _likelihood(self, model: Dynamics) -> float:
        forecast, _ = self.forecast(model, self._held_out(model))
        return float(np.mean(forecast.log_prob(self._next(model))))

    def _held_out(self, model: Dynamics) -> np.ndarray:
        return self.items(model, TRAIN + np.arange(ROWS), self.length)

    def _next(self, model: Dynamics) -> np.ndarray:
        return self.items(model, TRAIN + np.arange(ROWS), self.length + 1)[:, 1:]


def _around(forecast: Forecast) -> tuple[np.ndarray, np.ndarray]:
    """Estimate the centre and width (t, *latent_shape) of a forecast with equal rows.

    Both are estimated from samples, and the width is made slightly larger. If all samples equal the mean, the width
    is that of the normal distribution whose log density falls off as fast as ``log_prob``.
    """
    samples = forecast.sample(1, seed=0)[:, 0].astype(np.float64)
    middle, width = samples.mean(0), samples.std(0)
    if width.max() < 1e-5 * max(1.0, float(np.abs(middle).max())):
        middle, size = forecast.mean[0], int(np.prod(forecast.mean.shape[2:]))
        aside = forecast.mean.copy().reshape(*forecast.mean.shape[:2], size)
        aside[np.arange(size), :, np.arange(size)] += 1
        at = np.asarray(forecast.log_prob(aside.reshape(forecast.mean.shape)), np.float64)
        fall = np.maximum(at[size] - at[:size], 1e-6).T.reshape(middle.shape)
        width = 1 / np.sqrt(2 * fall)
    return middle.astype(np.float32), (1.05 * np.maximum(width, 1e-6)).astype(np.float32)
