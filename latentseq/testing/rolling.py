"""What everything that rolls forward promises, on latents or on frames: R1 to R15, besides C1 to C9."""

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
STEPS = 7
FIRST = 3
"""Steps of the first of two calls that together make STEPS."""
PIECE = 500
"""Steps of one call of a long rollout."""
DEVIATIONS = 10.0
"""How far from the mean of the training data an item may lie after many steps: room for noise, none for growth."""


class RollingPromises(PluginPromises[R]):
    """The two verbs: ``observe`` what is there, ``imagine`` what comes.

    Attributes:
        context: items that the model needs before it forecasts; the first piece that it observes is that long.
        unit: whether items are in [0, 1].
        far: steps of a long rollout; fewer where a step is slow.
    """

    context: ClassVar[int] = 1
    unit: ClassVar[bool] = False
    far: ClassVar[int] = 5000

    @abstractmethod
    def item_shape(self, model: R) -> tuple[int, ...]:
        """The shape of one item."""

    @abstractmethod
    def items(self, model: R, rows: np.ndarray, length: int) -> np.ndarray:
        """(b, t, *item) float32, new arrays every time."""

    @abstractmethod
    def observe(self, model: R, x: np.ndarray, state: State | None, streams: Streams) -> tuple[np.ndarray, State]:
        """The model's forecasts (b, t, *item) and its state; ``x`` and ``state`` are handed on as they are."""

    @abstractmethod
    def stochastic(self, model: R) -> bool:
        """Whether the model draws at all."""

    @property
    def length(self) -> int:
        """Items that are observed."""
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
        """Observe copies: ``x``, or all items of ``rows``, with the streams of items ``start`` and on."""
        rows = np.arange(ROWS) if rows is None else rows
        x = self.items(model, TRAIN + rows, self.length) if x is None else x.copy()
        drive = self.streams(model, start, start + x.shape[1], rows)
        return self.observe(model, x, None if state is None else copied(state), drive)

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
        """Imagine from a copy of the state, with the streams of steps ``start`` and on of ``rows``."""
        rows = np.arange(ROWS) if rows is None else rows
        drive = self.streams(model, self.length + start, self.length + start + steps, rows)
        return model.imagine(copied(state), steps, seed=seed, temperature=temperature, conditions=drive or None)

    def streams(self, model: R, start: int, stop: int, rows: np.ndarray) -> Batch:
        """The streams that drive the model, items ``start`` to ``stop``: (b, t, f) each."""
        return {k: v[:, start:stop] for k, v in streams(model.conditions, TRAIN + rows, stop).items()}

    def driven(self) -> R:
        """A model with conditions: the kit's own where it has some, else an untrained one that is given one.

        Raises:
            SkipTest: it takes none.
        """
        if self.made().conditions:
            return self.trained()
        try:
            return self.again(conditions={"drive": 2})
        except UsageError as refused:
            raise SkipTest(f"This plugin takes no conditions: {refused}") from refused

    @promise
    def test_r01_observe(self) -> None:
        """R1: observe gives a forecast (b, t, *item) for every item, float32 and finite; frames are in [0, 1]."""
        model = self.trained()
        wanted = (ROWS, self.length, *self.item_shape(model))
        require_array(self.observed(model)[0], "The forecast", wanted, unit=self.unit)

    @promise
    def test_r02_pieces(self) -> None:
        """R2: Observing in pieces, from the state that each returned, is the same as observing at once."""
        model = self.trained()
        whole, end = self.observed(model)
        x, found = self.items(model, TRAIN + np.arange(ROWS), self.length), []
        state, start = None, 0
        for stop in (self.context, self.context + 4, self.length):
            part, state = self.observed(model, x[:, start:stop], state, start)
            found.append(part)
            start = stop
        require_close(np.concatenate(found, 1), whole, "Forecasts in pieces and at once", self.tolerance)
        self._require_state(state or {}, end)

    @promise
    def test_r03_state(self) -> None:
        """R3: The state is a dict of arrays (b, …) whose rows anyone may pick and repeat."""
        model = self.trained()
        _, state = self.observed(model)
        rollout, after = self.imagined(model, state)
        for verb, found in (("observe", state), ("imagine", after)):
            require(type(found) is dict, f"{verb} returned a {type(found).__name__} as its state.")
            for key, array in found.items():
                fine = isinstance(array, np.ndarray) and array.shape[:1] == (ROWS,) and array.dtype != object
                what = (type(array).__name__, getattr(array, "shape", None))
                require(fine, f"After {verb} of {ROWS} rows its {key!r} is {what}; expected an array ({ROWS}, …).")
        rows = np.array([2, 0, 0, 2])
        picked, _ = self.imagined(model, {k: v[rows] for k, v in state.items()}, rows=rows)
        require_close(picked, rollout[rows], "The rollouts of picked rows and the picked rollouts", self.tolerance)

    @promise
    def test_r04_input_is_left_alone(self) -> None:
        """R4: observe and imagine do not change what they are given, and take arrays that cannot be written."""
        model = self.trained()
        x = frozen(self.items(model, TRAIN + np.arange(ROWS), self.length))
        _, state = self.observe(model, x, None, self.streams(model, 0, self.length, np.arange(ROWS)))
        state = {k: frozen(v) for k, v in state.items()}
        given = dict(state)
        drive = {k: frozen(v) for k, v in self.streams(model, 0, STEPS, np.arange(ROWS)).items()}
        self.observe(model, x[:, :STEPS], state, drive)
        model.imagine(state, STEPS, seed=0, temperature=1.0, conditions=drive or None)
        same = state.keys() == given.keys() and all(state[k] is given[k] for k in given)
        require(same, "The state dict that it was given holds other entries afterwards.")

    @promise
    def test_r05_causal(self) -> None:
        """R5: Forecasts are causal: changing items t + 1 and on leaves every forecast up to t unchanged."""
        model = self.trained()
        wanted, _ = self.observed(model)
        for cut in range(self.context, self.length):
            x = self.items(model, TRAIN + np.arange(ROWS), self.length)
            x[:, cut:] = x[::-1, cut:][:, ::-1] * 0.5
            found, _ = self.observed(model, x)
            what = f"Forecasts 0 to {cut - 1}, before and after items {cut} to {self.length - 1} were changed,"
            require_close(found[:, :cut], wanted[:, :cut], what, self.tolerance)

    @promise
    def test_r06_rows_are_independent(self) -> None:
        """R6: Rows of a batch are independent, in observe and in imagine at temperature 0."""
        model = self.trained()
        forecast, state = self.observed(model)
        rollout, _ = self.imagined(model, state)
        alone, state = self.observed(model, rows=np.arange(1))
        require_close(alone, forecast[:1], "The forecasts of row 0 alone and in a batch", self.tolerance)
        alone, _ = self.imagined(model, state, rows=np.arange(1))
        require_close(alone, rollout[:1], "The rollouts of row 0 alone and in a batch", self.tolerance)

    @promise
    def test_r07_imagine(self) -> None:
        """R7: imagine gives (b, steps, *item), float32 and finite, for one step and for many; frames in [0, 1]."""
        model = self.trained()
        _, state = self.observed(model)
        for steps in (1, STEPS):
            found, _ = self.imagined(model, state, steps, temperature=1.0)
            wanted = (ROWS, steps, *self.item_shape(model))
            require_array(found, f"A rollout of {steps}", wanted, unit=self.unit)

    @promise
    def test_r08_imagine_in_pieces(self) -> None:
        """R8: Imagining n, and then m from the state returned, equals n + m, at temperatures 0 and 1."""
        model = self.trained()
        _, state = self.observed(model)
        for temperature in (0.0, 1.0):
            whole, end = self.imagined(model, state, temperature=temperature)
            first, middle = self.imagined(model, state, FIRST, temperature=temperature)
            rest, last = self.imagined(model, middle, STEPS - FIRST, temperature=temperature, start=FIRST)
            what = f"At temperature {temperature:.0f}, rollouts of {FIRST} + {STEPS - FIRST} and of {STEPS}"
            require_close(np.concatenate([first, rest], 1), whole, what, self.tolerance)
            self._require_state(last, end)

    @promise
    def test_r09_one_seed(self) -> None:
        """R9: The same seed imagines the same bytes."""
        model = self.trained()
        _, state = self.observed(model)
        first, second = (self.imagined(model, state, seed=5, temperature=1.0)[0] for _ in range(2))
        require_same(first, second, "Two rollouts with seed 5")

    @promise
    def test_r10_temperature_zero(self) -> None:
        """R10: At temperature 0 nothing is drawn: every seed imagines the same."""
        model = self.trained()
        _, state = self.observed(model)
        first, second = (self.imagined(model, state, seed=seed)[0] for seed in (0, 1))
        require_close(first, second, "Rollouts at temperature 0 with the seeds 0 and 1", self.tolerance)

    @promise
    def test_r11_other_noise(self) -> None:
        """R11: A model that draws draws otherwise with another seed, and in every row of a batch."""
        model = self.trained()
        if not self.stochastic(model):
            raise SkipTest("This model draws nothing.")
        _, state = self.observed(model)
        first, second = (self.imagined(model, state, seed=seed, temperature=1.0)[0] for seed in (0, 1))
        require(not np.array_equal(first, second), "The seeds 0 and 1 imagine the same at temperature 1.")
        rows = np.zeros(2, int)
        _, state = self.observed(model, rows=rows)
        twins, _ = self.imagined(model, state, temperature=1.0, rows=rows)
        require(not np.array_equal(*twins), "A row that is repeated imagines the same twice at temperature 1.")

    @promise
    def test_r12_other_items(self) -> None:
        """R12: Items with another number of channels, or of latent dimensions, are a DataError."""
        model = self.made()
        x = self.items(model, TRAIN + np.arange(ROWS), self.length)
        wide = np.concatenate([x, x], axis=-1)
        drive = self.streams(model, 0, self.length, np.arange(ROWS))
        require_error((DataError,), partial(self.observe, model, wide, None, drive), f"Items of shape {wide.shape}")

    @promise
    def test_r13_conditions(self) -> None:
        """R13: Conditions i and on change no forecast before item i, and no imagined item up to i."""
        model = self.driven()
        x = self.items(model, TRAIN + np.arange(ROWS), self.length)
        past, future = (self.streams(model, t, t + n, np.arange(ROWS)) for t, n in ((0, self.length), (0, STEPS)))
        wanted, state = self.observe(model, x.copy(), None, past)
        rollout, _ = model.imagine(copied(state), STEPS, seed=0, temperature=0.0, conditions=future)
        for cut in (2, self.length - 2):
            found, _ = self.observe(model, x.copy(), None, _changed(past, cut))
            what = f"Forecasts 0 to {cut - 1}, before and after conditions {cut} and on were changed,"
            require_close(found[:, :cut], wanted[:, :cut], what, self.tolerance)
        for cut in (2, STEPS - 2):
            found, _ = model.imagine(copied(state), STEPS, seed=0, temperature=0.0, conditions=_changed(future, cut))
            what = f"Imagined items 0 to {cut}, before and after conditions {cut} and on were changed,"
            require_close(found[:, : cut + 1], rollout[:, : cut + 1], what, self.tolerance)

    @promise
    def test_r14_wrong_conditions(self) -> None:
        """R14: Conditions that are missing, unknown or of another width are a UsageError or a DataError."""
        model = self.driven()
        x = self.items(model, TRAIN + np.arange(ROWS), self.length)
        drive = self.streams(model, 0, self.length, np.arange(ROWS))
        _, state = self.observed(model)
        wrong: dict[str, dict[str, np.ndarray]] = {
            "No condition": {},
            "An unknown condition": {**drive, "no_such_stream": next(iter(drive.values()))},
            "A wider condition": {k: np.concatenate([v, v], axis=-1) for k, v in drive.items()},
        }
        for what, given in wrong.items():
            future = {k: v[:, :STEPS] for k, v in given.items()} or None
            calls = {
                "observe": partial(self.observe, model, x.copy(), None, given),
                "imagine": partial(model.imagine, copied(state), STEPS, seed=0, conditions=future),
            }
            for verb, call in calls.items():
                require_error((UsageError, DataError), call, f"{what} in {verb}")

    @promise
    def test_r15_long_rollouts(self) -> None:
        """R15: After thousands of steps, at temperatures 0, 1 and 2, what is imagined is finite and near the data."""
        model, rows = self.trained(), np.arange(1)
        data = self.items(model, np.arange(TRAIN), self.length).astype(np.float64)
        middle, width = data.mean((0, 1)), data.std((0, 1))
        _, first = self.observed(model, rows=rows)
        for temperature in (0.0, 1.0, 2.0) if self.stochastic(model) else (0.0,):
            state = first
            for start in range(0, self.far, PIECE):
                steps = min(PIECE, self.far - start)
                found, state = self.imagined(
                    model, state, steps, seed=start, temperature=temperature, start=start, rows=rows
                )
                what = f"At temperature {temperature:.0f}, after {start + steps} steps,"
                require(bool(np.isfinite(found).all()), f"{what} some values are not finite.")
                apart = 0.0 if self.unit else float((np.abs(found - middle) / np.maximum(width, 1e-6)).max())
                told = f"it is {apart:.3g} deviations away from the mean of the training data"
                require(apart <= DEVIATIONS, f"{what} {told}; allowed {DEVIATIONS:.0f}.")

    def _require_state(self, found: State, wanted: State) -> None:
        require(found.keys() == wanted.keys(), f"The states hold {sorted(found)} and {sorted(wanted)}.")
        for key, array in wanted.items():
            require_close(found[key], array, f"The final states' {key!r}, in pieces and at once,", self.tolerance)


def _changed(conditions: Streams, start: int) -> Batch:
    return {k: np.concatenate([v[:, :start], 1 - v[:, start:]], axis=1) for k, v in conditions.items()}
