"""Predictors of the next frame from the last few, stacked on the channel axis; recursive, and of any size."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Batch, State, as_items, check_rolling
from latentseq.errors import DataError, UsageError
from latentseq.networks.plugin import KerasPlugin, LossNetwork
from latentseq.protocols import Predictor
from latentseq_plugins.predictors.context import check_seen

VALUES = 1 << 22
"""Numbers that are stacked and run at once, about."""


class StackedPredictor(KerasPlugin, Predictor):
    """The next frame is a function of the last ``context`` ones; the state is those, and how many were seen.

    A subclass makes ``following``. Frames may be of any height and width: sides that are no multiple of ``multiple``
    are mirrored at the far end to be one, and what was added is cut off again.
    """

    any_size: ClassVar[bool] = True

    context: int
    multiple: int
    conditions: ClassVar[dict[str, int]] = {}  # type: ignore[misc]

    @property
    @abstractmethod
    def following(self) -> keras.Model:
        """Frames (b, h, w, context * c), the oldest first -> the next one (b, h, w, c); sides are multiples."""

    @property
    def networks(self) -> dict[str, keras.Model]:
        """What is learned."""
        return {"following": self.following}

    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``; before there are ``context`` frames, the first stands for those that lack.

        Raises:
            DataError: frames of another shape, or smaller than the network takes.
            UsageError: conditions are given.
        """
        frames = self._checked(frames, conditions)
        b, t = frames.shape[:2]
        before = np.repeat(frames[:, :1], self.context, axis=1) if state is None else state["frames"]
        if before.shape[2:] != frames.shape[2:]:
            raise DataError(
                f"The frames are {frames.shape[2:]} (h, w, c), and those before were {before.shape[2:]}. Give frames "
                "of one size, or begin anew."
            )
        seen, step = (
            np.concatenate([before, frames], axis=1),
            np.zeros(b, np.int64) if state is None else state["step"],
        )
        forecasts = [self._next(seen[:, i + 1 : i + 1 + self.context]) for i in range(t)]
        return np.stack(forecasts, axis=1), {"frames": seen[:, t:].copy(), "step": step + t}

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``; nothing is drawn.

        Raises:
            UsageError: fewer frames were seen than it predicts from, or conditions are given.
        """
        seen, known = state["frames"], int(state["step"].min())
        check_rolling(steps=steps, seed=seed, temperature=temperature)
        check_seen(self.name, self.context, known)
        self._refuse(conditions)
        made = [seen[:, i] for i in range(self.context)]
        for _ in range(steps):
            made.append(self._next(np.stack(made[-self.context :], axis=1)))
        last = np.stack(made[-self.context :], axis=1)
        return np.stack(made[self.context :], axis=1), {"frames": last, "step": state["step"] + steps}

    def _next(self, seen: np.ndarray) -> np.ndarray:
        """The frame after (b, context, h, w, c); a few rows at a time."""
        b, _, h, w, c = seen.shape
        x = np.moveaxis(seen, 1, 3).reshape(b, h, w, self.context * c)
        x = np.pad(x, [(0, 0), *(missing(side, self.multiple) for side in (h, w)), (0, 0)], mode="symmetric")
        rows = max(1, VALUES // x[0].size)
        made = [np.asarray(self.following.predict_on_batch(x[i : i + rows])) for i in range(0, b, rows)]
        return np.clip(np.concatenate(made)[:, :h, :w], 0, 1)

    def _checked(self, frames: np.ndarray, conditions: Mapping[str, np.ndarray] | None) -> np.ndarray:
        self._refuse(conditions)
        size = tuple(np.shape(frames)[2:4])
        shape = (*size, self.input_shape[-1]) if len(size) == 2 else self.input_shape
        frames = as_items(frames, shape, "frames", axes=2, frames=True)
        self.check_size(size)
        return frames

    def check_size(self, size: tuple[int, ...]) -> None:
        """Refuse frames that are too small.

        Args:
            size: (h, w).

        Raises:
            DataError: a side is below ``multiple``.
        """
        if min(size) < self.multiple:
            raise DataError(
                f"{self.name} takes frames of {self.multiple} x {self.multiple} (h x w) or more; they are "
                f"{size[0]} x {size[1]}. Give larger ones, such as with --size."
            )

    def _refuse(self, conditions: Mapping[str, np.ndarray] | None) -> None:
        if conditions:
            raise UsageError(f"{self.name} takes frames alone; it was given the streams {sorted(conditions)}.")


class RecursiveNetwork(LossNetwork):
    """Trains ``following`` on what it makes of its own frames, a few steps far, wherever a window has room for it."""

    def __init__(self, following: keras.Model, *, context: int, free_steps: int, multiple: int):
        """Take the network.

        Args:
            following: as in ``StackedPredictor``.
            context: frames that it sees.
            free_steps: frames that it makes one after the other, the gradient through all of them; fewer where a
                window has fewer.
            multiple: what its sides have to be multiples of.
        """
        super().__init__(name="recursive")
        self.following, self.context, self.free_steps, self.multiple = following, context, free_steps, multiple

    def build(self, *_: Any) -> None:
        """Its network is built already."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Windows ``frames`` (b, t, h, w, c) -> the frames made (n, steps, h, w, c), and what they should be.

        A window is cut into as many stretches of ``context`` and the free steps as end in it one behind the other, so
        that n is a multiple of b.
        """
        frames = batch["frames"]
        t, h, w, _ = frames.shape[1:]
        steps = min(self.free_steps, t - self.context)
        ends = range(t, self.context + steps - 1, -steps)
        parts = ops.concatenate([frames[:, end - steps - self.context : end] for end in ends], axis=0)
        far = [missing(side, self.multiple) for side in (h, w)]
        seen = [parts[:, i] for i in range(self.context)]
        for _ in range(steps):
            x = ops.concatenate(seen[-self.context :], axis=-1)
            if any(map(any, far)):
                x = ops.pad(x, [(0, 0), *far, (0, 0)], mode="symmetric")
            seen.append(self.following(x, training=training)[:, :h, :w])
        return {"frames": ops.stack(seen[self.context :], axis=1), "target": parts[:, self.context :]}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Squared error of a frame, summed over it, mean over windows and time."""
        return ops.mean(ops.sum(ops.square(results["frames"] - results["target"]), axis=(2, 3, 4)))


def missing(side: int, multiple: int) -> tuple[int, int]:
    """Rows to add before and behind, so that a side is a multiple."""
    return 0, -side % multiple
