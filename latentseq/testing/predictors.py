"""Promises of predictors: P1 to P3, in addition to C1 to C9 and R1 to R15."""

import numpy as np

from latentseq.arrays import Batch, Source, State
from latentseq.protocols import Predictor
from latentseq.testing.common import promise, require, require_array, require_close
from latentseq.testing.generated import TRAIN, VALIDATION, blobs, generated, streams
from latentseq.testing.rolling import ROWS, STEPS, RollingPromises, Streams

SAMPLES = 2
"""Number of samples for ``predict``."""


class PredictorPromises(RollingPromises[Predictor]):
    """The kit for predictors: derive a class ``Test…`` from it and implement ``make``."""

    unit = True

    def item_shape(self, model: Predictor) -> tuple[int, ...]:
        """The shape of a frame."""
        return tuple(model.input_shape)

    def items(self, model: Predictor, rows: np.ndarray, length: int) -> np.ndarray:
        """Blobs."""
        return blobs(rows, length, self.item_shape(model))

    def source(self, model: Predictor) -> Source:
        """Blobs and the conditions."""

        def windows(rows: np.ndarray) -> Batch:
            return {"frames": self.items(model, rows, self.length), **streams(model.conditions, rows, self.length)}

        return generated(windows)

    def observe(
        self, model: Predictor, x: np.ndarray, state: State | None, streams: Streams
    ) -> tuple[np.ndarray, State]:
        """One-step forecasts of frames."""
        return model.observe(x, state, conditions=dict(streams) if streams else None)

    def stochastic(self, model: Predictor) -> bool:
        """Whether rollouts of two seeds differ."""
        _, state = self.observed(model)
        first, second = (self.imagined(model, state, seed=seed, temperature=1.0)[0] for seed in (0, 1))
        return not np.array_equal(first, second)

    @promise
    def test_p01_predict(self) -> None:
        """P1: predict returns (b, samples, steps, h, w, c) in [0, 1]; at temperature 0, samples equal the rollout."""
        model = self.trained()
        conditions = self.streams(model, 0, self.length + STEPS, np.arange(ROWS))
        futures = model.predict(
            self.items(model, TRAIN + np.arange(ROWS), self.length),
            STEPS,
            samples=SAMPLES,
            temperature=0.0,
            conditions=conditions or None,
        )
        require_array(futures, "The futures", (ROWS, SAMPLES, STEPS, *model.input_shape), unit=True)
        rollout, _ = self.imagined(model, self.observed(model)[1])
        for i in range(SAMPLES):
            require_close(futures[:, i], rollout, f"Sample {i} at temperature 0 and the rollout", self.tolerance)

    @promise
    def test_p02_reconstruct(self) -> None:
        """P2: reconstruct returns frames of the same shape, float32 in [0, 1]; it is deterministic and row by row."""
        model = self.trained()
        first, second = (model.reconstruct(self._held_out(model)) for _ in range(2))
        require_array(first, "A reconstruction", (ROWS, self.length, *model.input_shape), unit=True)
        require_close(second, first, "Two reconstructions", self.tolerance)
        alone = model.reconstruct(self._held_out(model)[:1])
        require_close(alone, first[:1], "Row 0 reconstructed alone and in a batch", self.tolerance)

    @promise
    def test_p03_fit(self) -> None:
        """P3: fit returns a History, and does not raise the one-step error on held-out clips."""
        self.require_history()
        before, after = (self._error(model) for model in (self.instance(), self.trained()))
        slack = self.tolerance
        require(
            after <= before + slack, f"The mean squared error was {before:.4g} before training and is {after:.4g}."
        )

    def _error(self, model: Predictor) -> float:
        rows = np.arange(VALIDATION)
        forecast, _ = self.observed(model, rows=rows)
        truth = self.items(model, TRAIN + rows, self.length + 1)[:, 1:]
        return float(np.mean((forecast - truth)[:, self.context - 1 :] ** 2))

    def _held_out(self, model: Predictor) -> np.ndarray:
        return self.items(model, TRAIN + np.arange(ROWS), self.length)
