"""What a dynamics model promises: D1 to D6, besides C1 to C9 and R1 to R15."""

from unittest import SkipTest

import numpy as np

from latentseq.arrays import Batch, Latents, Source, State
from latentseq.protocols import Dynamics, Forecast
from latentseq.testing.common import promise, require, require_array, require_close, require_same
from latentseq.testing.generated import TRAIN, generated, streams, waves
from latentseq.testing.rolling import ROWS, RollingPromises, Streams

DRAWS = 2048
FIRST_ITEMS = 3
LARGEST = 64
"""Dimensions up to which the integral of a density is estimated."""
FACTOR = 4.0
"""How far from 1 the estimate may be: errors of units or of reduction are off by far more."""


class DynamicsPromises(RollingPromises[Dynamics]):
    """The kit for dynamics: derive from it, name the class ``Test…``, and write ``make``."""

    def item_shape(self, model: Dynamics) -> tuple[int, ...]:
        """A latent's."""
        return tuple(model.latent_shape)

    def items(self, model: Dynamics, rows: np.ndarray, length: int) -> np.ndarray:
        """Waves, wider than any untrained model takes them for."""
        return waves(rows, length, self.item_shape(model), scale=10.0)

    def source(self, model: Dynamics) -> Source:
        """Waves, a narrow posterior around them, and the conditions."""

        def windows(rows: np.ndarray) -> Batch:
            mean = self.items(model, rows, self.length)
            return {"mean": mean, "log_var": np.full_like(mean, -3), **streams(model.conditions, rows, self.length)}

        return generated(windows)

    def observe(
        self, model: Dynamics, x: np.ndarray, state: State | None, streams: Streams
    ) -> tuple[np.ndarray, State]:
        """The forecasts' means."""
        forecast, state = self.forecast(model, x, state, streams)
        return forecast.mean, state

    def forecast(
        self, model: Dynamics, x: np.ndarray, state: State | None = None, streams: Streams | None = None
    ) -> tuple[Forecast, State]:
        """What the model makes of latents with a narrow posterior."""
        drive = self.streams(model, 0, x.shape[1], np.arange(len(x))) if streams is None else streams
        latents = Latents(x, np.full_like(x, -3))
        return model.observe(latents, state, conditions=dict(drive) if drive else None)

    def stochastic(self, model: Dynamics) -> bool:
        """Whether two seeds sample differently."""
        forecast, _ = self.forecast(model, self._seen(model))
        return not np.array_equal(forecast.sample(1, seed=0), forecast.sample(1, seed=1))

    @promise
    def test_d01_log_prob(self) -> None:
        """D1: observe gives a Forecast, and its log_prob(z) is (b, t), floating point and finite."""
        model = self.trained()
        forecast, _ = self.forecast(model, self._seen(model))
        require(isinstance(forecast, Forecast), f"observe gave a {type(forecast).__name__}.")
        found = forecast.log_prob(self._next(model))
        require(isinstance(found, np.ndarray), f"log_prob is a {type(found).__name__}; expected a NumPy array.")
        require(np.issubdtype(found.dtype, np.floating), f"log_prob has dtype {found.dtype}.")
        require_array(found, "log_prob", (ROWS, self.length), dtype=found.dtype)

    @promise
    def test_d02_density(self) -> None:
        """D2: log_prob is a density of the whole latent in the encoder's own units: it integrates to 1, or to less
        where it is a bound."""
        model = self.trained()
        if np.prod(model.latent_shape) > LARGEST:
            raise SkipTest(f"The integral over more than {LARGEST} dimensions is not estimated; make it smaller.")
        x = np.repeat(self._seen(model)[:1, :FIRST_ITEMS], DRAWS, axis=0)
        forecast, _ = self.forecast(model, x, streams=self.streams(model, 0, FIRST_ITEMS, np.zeros(DRAWS, int)))
        middle, width = _around(forecast)
        noise = np.random.default_rng(3).normal(size=x.shape).astype(np.float32)
        inner = tuple(range(2, x.ndim))
        proposal = -np.sum(noise**2 / 2 + np.log(width) + np.log(2 * np.pi) / 2, axis=inner)
        weights = np.exp(np.asarray(forecast.log_prob(middle + width * noise), np.float64) - proposal)
        for i, integral in enumerate(weights.mean(0).tolist()):
            least = 0.0 if forecast.bound else 1 / FACTOR
            fine = least <= integral < FACTOR
            require(fine, f"For item {i} it integrates to about {integral:.3g}; allowed {least} to {FACTOR}.")

    @promise
    def test_d03_sample(self) -> None:
        """D3: sample gives (b, n, t, *latent_shape), float32 and finite, and the same bytes for the same seed."""
        model = self.trained()
        forecast, _ = self.forecast(model, self._seen(model))
        first, second = (forecast.sample(2, seed=5) for _ in range(2))
        require_array(first, "A sample", (ROWS, 2, self.length, *model.latent_shape))
        require_same(first, second, "Two samples with seed 5")

    @promise
    def test_d04_sample_mean(self) -> None:
        """D4: Samples at temperature 1 have the forecast's mean."""
        model = self.trained()
        forecast, _ = self.forecast(model, self._seen(model))
        drawn = forecast.sample(256, seed=0).astype(np.float64)
        error = np.abs(drawn.mean(1) - forecast.mean)
        allowed = 6 * drawn.std(1) / np.sqrt(256) + self.tolerance * max(1.0, float(np.abs(forecast.mean).max()))
        worst = float((error / allowed).max())
        require(worst <= 1, f"The mean of 256 is {6 * worst:.1f} standard errors away; allowed 6.")

    @promise
    def test_d05_first_step(self) -> None:
        """D5: At temperature 0, the first item imagined is what the last forecast's sample gives at temperature 0."""
        model = self.trained()
        forecast, state = self.forecast(model, self._seen(model))
        wanted = forecast.sample(1, seed=0, temperature=0.0)[:, 0, -1]
        found = self.imagined(model, state)[0][:, 0]
        require_close(found, wanted, "The first item imagined and the last forecast's", self.tolerance)

    @promise
    def test_d06_fit(self) -> None:
        """D6: fit returns a History, and raises the likelihood of sequences it has not seen."""
        self.require_history()
        before, after = (self._likelihood(model) for model in (self.made(), self.trained()))
        require(after > before, f"The mean log_prob was {before:.4g} nats before training and is {after:.4g} after.")

    def _likelihood(self, model: Dynamics) -> float:
        forecast, _ = self.forecast(model, self._seen(model))
        return float(np.mean(forecast.log_prob(self._next(model))))

    def _seen(self, model: Dynamics) -> np.ndarray:
        return self.items(model, TRAIN + np.arange(ROWS), self.length)

    def _next(self, model: Dynamics) -> np.ndarray:
        return self.items(model, TRAIN + np.arange(ROWS), self.length + 1)[:, 1:]


def _around(forecast: Forecast) -> tuple[np.ndarray, np.ndarray]:
    """Middle and width (t, *latent_shape) of a forecast whose rows are all the same, the width a little too large.

    They come from samples; where every sample is the mean, the width is that of the Gaussian which falls off as
    log_prob does.
    """
    drawn = forecast.sample(1, seed=0)[:, 0].astype(np.float64)
    middle, width = drawn.mean(0), drawn.std(0)
    if width.max() < 1e-5 * max(1.0, float(np.abs(middle).max())):
        middle, size = forecast.mean[0], int(np.prod(forecast.mean.shape[2:]))
        aside = forecast.mean.copy().reshape(*forecast.mean.shape[:2], size)
        aside[np.arange(size), :, np.arange(size)] += 1
        at = np.asarray(forecast.log_prob(aside.reshape(forecast.mean.shape)), np.float64)
        fall = np.maximum(at[size] - at[:size], 1e-6).T.reshape(middle.shape)
        width = 1 / np.sqrt(2 * fall)
    return middle.astype(np.float32), (1.05 * np.maximum(width, 1e-6)).astype(np.float32)
