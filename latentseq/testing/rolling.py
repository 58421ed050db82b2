"""Promises of models that roll forward, dynamics and predictors: R1 to R15, in addition to C1 to C9."""

from abc import abstractmethod
from collections.abc import Mapping
from functools import partial
from typing import ClassVar, TypeVar
from unittest import SkipTest

import numpy as np

from latentseq.arrays import Batch, State
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Dynamics, Predictor
from latentseq.testing.common import (
    copied,
    frozen,
    promise,
    require,
    require_array,
    require_close,
    require_error,
    require_same,
)
from latentseq.testing.configured import PluginPromises
from latentseq.testing.generated import TRAIN, streams

R = TypeVar("R", bound=Dynamics | Predictor)
Streams = Mapping[str, np.ndarray]

ROWS = 3
"""Number of rows in a batch."""
STEPS = 7
"""Number of steps of a rollout."""
FIRST = 3
"""Steps of the first of two calls with STEPS steps in total."""
PIECE = 500
"""Steps of one call in a long rollout."""
DEVIATIONS = 10.0
"""Largest distance from the mean of the training data after many steps, in standard deviations.

It leaves room for noise, but not for growth.
"""


class RollingPromises(PluginPromises[R]):
    """Promises of ``observe`` and ``imagine``.

    Attributes:
        context: number of items that the model needs before it forecasts, and the length of the first piece that it
            observes.
        unit: whether items are in [0, 1].
        far: number of steps of a long rollout; set fewer for a slow model.
    """

    context: ClassVar[int] = 1
    unit: ClassVar[bool] = False
    far: ClassVar[int] = 5000

    @abstractmethod
    def item_shape(self, model: R) -> tuple[int, ...]:
        """The shape of one item."""

    @abstractmethod
    def items(self, model: R, rows: np.ndarray, length: int) -> np.ndarray:
        """New (b, t, *item) float32 arrays; equal for equal arguments."""

    @abstractmethod
    def observe(self, model: R, x: np.ndarray, state: State | None, streams: Streams) -> tuple[np.ndarray, State]:
        """The model's forecasts (b, t, *item) and its state. ``x`` and ``state`` must reach the model uncopied."""

    @abstractmethod
    def stochastic(self, model: R) -> bool:
        """Whether the model is random at temperature 1."""

    @property
    def length(self) -> int:
        """Number of observed items."""
        return self.context + 7

    def answers(self, model: R) -> dict[str, np.ndarray]:
        """Forecasts and a rollout."""
        forecast, state = self.observed(model)
        return {"forecasts": forecast, "rollout": self.imagined(model, state, temperature=1.0)[0]}

    def observed(
        self,
        model: R,
        x: np.ndarray | None = None,
        state: State | None = None,
        start: int = 0,
        rows: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """Observe a copy of ``x``, or all items of ``rows``, with the streams from item ``start`` on."""
        rows = np.arange(ROWS) if rows is None else rows
        x = self.items(model, TRAIN + rows, self.length) if x is None else x.copy()
        conditions = self.streams(model, start, start + x.shape[1], rows)
        return self.observe(model, x, None if state is None else copied(state), conditions)

    def imagined(
        self,
        model: R,
        state: State,
        steps: int = STEPS,
        *,
        seed: int = 0,
        temperature: float = 0.0,
        start: int = 0,
        rows: np.ndarray | None = None,
    ) -> tuple[np.ndarray, State]:
        """Imagine from a copy of the state, with the streams of ``rows`` from step ``start`` on."""
        rows = np.arange(ROWS) if rows is None else rows
        conditions = self.streams(model, self.length + start, self.length + start + steps, rows)
        return model.imagine(copied(state), steps, seed=seed, temperature=temperature, conditions=conditions or None)

    def streams(self, model: R, start: int, stop: int, rows: np.ndarray) -> Batch:
        """The conditions of the model for items ``start`` to ``stop``, (b, t, f) float32 each."""
        return {k: v[:, start:stop] for k, v in streams(model.conditions, TRAIN + rows, stop).items()}

    def conditioned(self) -> R:
        """A model with conditions: the trained one if it has any, else an untrained one with one condition.

        Raises:
            SkipTest: the plugin takes no conditions.
        """
        if self.instance().conditions:
            return self.trained()
        try:
            return self.again(conditions={"drive": 2})
        except UsageError as cause:
            raise SkipTest(f"This plugin takes no conditions: {cause}") from cause

    @promise
    def test_r01_observe(self) -> None:
        """R1: observe returns a forecast for every item, (b, t, *item), float32 and finite; frames are in [0, 1]."""
        model = self.trained()
        shape = (ROWS, self.length, *self.item_shape(model))
        require_array(self.observed(model)[0], "The forecast", shape, unit=self.unit)

    @promise
    def test_r02_pieces(self) -> None:
        """R2: Observing in pieces, each from the state after the previous piece, equals observing at once."""
        model = self.trained()
        whole, end = self.observed(model)
        x, parts = self.items(model, TRAIN + np.arange(ROWS), self.length), []
        state, start = None, 0
        for stop in (self.context, self.context + 4, self.length):
            part, state = self.observed(model, x[:, start:stop], state, start)
            parts.append(part)
            start = stop
        require_close(np.concatenate(parts, 1), whole, "Forecasts in pieces and at once", self.tolerance)
        self._require_state(state or {}, end)

    @promise
    def test_r03_state(self) -> None:
        """R3: The state is a dict of arrays (b, …), and its rows may be selected and repeated."""
        model = self.trained()
        _, state = self.observed(model)
        rollout, after = self.imagined(model, state)
        for verb, result in (("observe", state), ("imagine", after)):
            require(type(result) is dict, f"{verb} returned a {type(result).__name__} as its state; expected a dict.")
            for key, array in result.items():
                valid = isinstance(array, np.ndarray) and array.shape[:1] == (ROWS,) and array.dtype != object
                kind, shape = type(array).__name__, getattr(array, "shape", None)
                message = f"After {verb} of {ROWS} rows, {key!r} is a {kind} of shape {shape}"
                require(valid, f"{message}; expected an array ({ROWS}, …).")
        rows = np.array([2, 0, 0, 2])
        selected, _ = self.imagined(model, {k: v[rows] for k, v in state.items()}, rows=rows)
        what = "Rollouts from selected rows of a state, and the selected rows of the rollouts,"
        require_close(selected, rollout[rows], what, self.tolerance)

    @promise
    def test_r04_input_is_left_alone(self) -> None:
        """R4: observe and imagine do not change their input, and accept read-only arrays."""
        model = self.trained()
        x = frozen(self.items(model, TRAIN + np.arange(ROWS), self.length))
        _, state = self.observe(model, x, None, self.streams(model, 0, self.length, np.arange(ROWS)))
        state = {k: frozen(v) for k, v in state.items()}
        before = dict(state)
        conditions = {k: frozen(v) for k, v in self.streams(model, 0, STEPS, np.arange(ROWS)).items()}
        self.observe(model, x[:, :STEPS], state, conditions)
        model.imagine(state, STEPS, seed=0, temperature=1.0, conditions=conditions or None)
        same = state.keys() == before.keys() and all(state[k] is before[k] for k in before)
        require(same, "The state dict of the caller has other entries afterwards.")

    @promise
    def test_r05_causal(self) -> None:
        """R5: Forecasts are causal: a change of the items after t does not change the forecasts up to t."""
        model = self.trained()
        expected, _ = self.observed(model)
        for cut in range(self.context, self.length):
            x = self.items(model, TRAIN + np.arange(ROWS), self.length)
            x[:, cut:] = x[::-1, cut:][:, ::-1] * 0.5
            forecast, _ = self.observed(model, x)
            what = f"Forecasts 0 to {cut - 1}, before and after a change of items {cut} to {self.length - 1},"
            require_close(forecast[:, :cut], expected[:, :cut], what, self.tolerance)

    @promise
    def test_r06_rows_are_independent(self) -> None:
        """R6: The rows of a batch are independent, in observe and in imagine at temperature 0."""
        model = self.trained()
        forecast, state = self.observed(model)
        rollout, _ = self.imagined(model, state)
        alone, state = self.observed(model, rows=np.arange(1))
        require_close(alone, forecast[:1], "The forecasts of row 0 alone and in a batch", self.tolerance)
        alone, _ = self.imagined(model, state, rows=np.arange(1))
        require_close(alone, rollout[:1], "The rollouts of row 0 alone and in a batch", self.tolerance)

    @promise
    def test_r07_imagine(self) -> None:
        """R7: imagine returns (b, steps, *item), float32 and finite, for one step and more; frames are in [0, 1]."""
        model = self.trained()
        _, state = self.observed(model)
        for steps in (1, STEPS):
            rollout, _ = self.imagined(model, state, steps, temperature=1.0)
            shape = (ROWS, steps, *self.item_shape(model))
            require_array(rollout, f"A rollout with steps={steps}", shape, unit=self.unit)

    @promise
    def test_r08_imagine_in_pieces(self) -> None:
        """R8: Imagining n steps, and then m from the returned state, equals n + m steps, at temperatures 0 and 1."""
        model = self.trained()
        _, state = self.observed(model)
        for temperature in (0.0, 1.0):
            whole, end = self.imagined(model, state, temperature=temperature)
            first, middle = self.imagined(model, state, FIRST, temperature=temperature)
            rest, last = self.imagined(model, middle, STEPS - FIRST, temperature=temperature, start=FIRST)
            what = f"At temperature {temperature:.0f}, rollouts of {FIRST} + {STEPS - FIRST} and of {STEPS} steps"
            require_close(np.concatenate([first, rest], 1), whole, what, self.tolerance)
            self._require_state(last, end)

    @promise
    def test_r09_one_seed(self) -> None:
        """R9: Two rollouts with the same seed have the same bytes."""
        model = self.trained()
        _, state = self.observed(model)
        first, second = (self.imagined(model, state, seed=5, temperature=1.0)[0] for _ in range(2))
        require_same(first, second, "Two rollouts with seed 5")

    @promise
    def test_r10_temperature_zero(self) -> None:
        """R10: At temperature 0 there is no randomness: rollouts with different seeds are equal."""
        model = self.trained()
        _, state = self.observed(model)
        first, second = (self.imagined(model, state, seed=seed)[0] for seed in (0, 1))
        require_close(first, second, "Rollouts at temperature 0 with the seeds 0 and 1", self.tolerance)

    @promise
    def test_r11_other_noise(self) -> None:
        """R11: In a stochastic model, every seed and every row of a batch has its own noise."""
        model = self.trained()
        if not self.stochastic(model):
            raise SkipTest("This model is deterministic.")
        _, state = self.observed(model)
        first, second = (self.imagined(model, state, seed=seed, temperature=1.0)[0] for seed in (0, 1))
        require(not np.array_equal(first, second), "At temperature 1, the rollouts with seeds 0 and 1 are equal.")
        rows = np.zeros(2, int)
        _, state = self.observed(model, rows=rows)
        twins, _ = self.imagined(model, state, temperature=1.0, rows=rows)
        require(not np.array_equal(*twins), "At temperature 1, the rollouts of two equal rows are equal.")

    @promise
    def test_r12_other_items(self) -> None:
        """R12: observe raises a DataError for items with another number of channels or latent dimensions."""
        model = self.instance()
        x = self.items(model, TRAIN + np.arange(ROWS), self.length)
        wide = np.concatenate([x, x], axis=-1)
        call = partial(self.observe, model, wide, None, self.streams(model, 0, self.length, np.arange(ROWS)))
        require_error((DataError,), call, f"observe with items of shape {wide.shape}")

    @promise
    def test_r13_conditions(self) -> None:
        """R13: Conditions from item i on do not affect forecasts before item i, nor imagined items up to item i."""
        model = self.conditioned()
        x = self.items(model, TRAIN + np.arange(ROWS), self.length)
        past, future = (self.streams(model, t, t + n, np.arange(ROWS)) for t, n in ((0, self.length), (0, STEPS)))
        expected, state = self.observe(model, x.copy(), None, past)
        rollout, _ = model.imagine(copied(state), STEPS, seed=0, temperature=0.0, conditions=future)
        for cut in (2, self.length - 2):
            forecast, _ = self.observe(model, x.copy(), None, _changed(past, cut))
            what = f"Forecasts 0 to {cut - 1}, before and after a change of the conditions from item {cut} on,"
            require_close(forecast[:, :cut], expected[:, :cut], what, self.tolerance)
        for cut in (2, STEPS - 2):
            other, _ = model.imagine(copied(state), STEPS, seed=0, temperature=0.0, conditions=_changed(future, cut))
            what = f"Imagined items 0 to {cut}, before and after a change of the conditions from item {cut} on,"
            require_close(other[:, : cut + 1], rollout[:, : cut + 1], what, self.tolerance)

    @promise
    def test_r14_wrong_conditions(self) -> None:
        """R14: Conditions that are missing, unknown or of another width raise a UsageError or a DataError."""
        model = self.conditioned()
        x = self.items(model, TRAIN + np.arange(ROWS), self.length)
        conditions = self.streams(model, 0, self.length, np.arange(ROWS))
        _, state = self.observed(model)
        wrong: dict[str, dict[str, np.ndarray]] = {
            "No condition": {},
            "An unknown condition": {**conditions, "no_such_stream": next(iter(conditions.values()))},
            "A wider condition": {k: np.concatenate([v, v], axis=-1) for k, v in conditions.items()},
        }
        for what, past in wrong.items():
            future = {k: v[:, :STEPS] for k, v in past.items()} or None
            calls = {
                "observe": partial(self.observe, model, x.copy(), None, past),
                "imagine": partial(model.imagine, copied(state), STEPS, seed=0, conditions=future),
            }
            for verb, call in calls.items():
                require_error((UsageError, DataError), call, f"{what} in {verb}")

    @promise
    def test_r15_long_rollouts(self) -> None:
        """R15: After thousands of steps, at temperatures 0, 1 and 2, imagined items are finite and near the data."""
        model, rows = self.trained(), np.arange(1)
        data = self.items(model, np.arange(TRAIN), self.length).astype(np.float64)
        middle, width = data.mean((0, 1)), data.std((0, 1))
        _, first = self.observed(model, rows=rows)
        for temperature in (0.0, 1.0, 2.0) if self.stochastic(model) else (0.0,):
            state = first
            for start in range(0, self.far, PIECE):
                steps = min(PIECE, self.far - start)
                rollout, state = self.imagined(
                    model, state, steps, seed=start, temperature=temperature, start=start, rows=rows
                )
                what = f"At temperature {temperature:.0f}, after {start + steps} steps,"
                require(bool(np.isfinite(rollout).all()), f"{what} some values are not finite.")
                distance = 0.0 if self.unit else float((np.abs(rollout - middle) / np.maximum(width, 1e-6)).max())
                message = f"an item is {distance:.3g} standard deviations away from the mean of the training data"
                require(distance <= DEVIATIONS, f"{what} {message}; allowed {DEVIATIONS:.0f}.")

    def _require_state(self, state: State, expected: State) -> None:
        require(state.keys() == expected.keys(), f"The states have {sorted(state)} and {sorted(expected)}.")
        for key, array in expected.items():
            require_close(state[key], array, f"{key!r} of the final states, in pieces and at once,", self.tolerance)


def _changed(conditions: Streams, start: int) -> Batch:
    return {k: np.concatenate([v[:, :start], 1 - v[:, start:]], axis=1) for k, v in conditions.items()}
