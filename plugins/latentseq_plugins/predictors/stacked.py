"""Recursive predictors of the next frame from the last few frames, stacked on the channel axis; of any size."""

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
from latentseq_plugins.predictors.context import check_observed

VALUES = 1 << 22
"""Approximate number of values in a batch of stacked frames."""


class StackedPredictor(KerasPlugin, Predictor):
    """Predicts the next frame from the last ``context`` frames.

    The state is the last ``context`` frames and the number of frames so far. A subclass defines ``following``. Frames
    may have any height and width: they are padded by mirroring to multiples of ``multiple``, and predictions are
    cropped again.
    """

    any_size: ClassVar[bool] = True

    context: int
    multiple: int
    conditions: ClassVar[dict[str, int]] = {}  # type: ignore[misc]

    @property
    @abstractmethod
    def following(self) -> keras.Model:
        """Network from frames (b, h, w, context * c), oldest first, to the next (b, h, w, c); sides are multiples."""

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The network for the next frame."""
        return {"following": self.following}

    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``; until there are ``context`` frames, the first one fills in for missing ones.

        Raises:
            DataError: the frames have another shape, or are too small for the network.
            UsageError: there are conditions.
        """
        frames = self._checked(frames, conditions)
        b, t = frames.shape[:2]
        before = np.repeat(frames[:, :1], self.context, axis=1) if state is None else state["frames"]
        if before.shape[2:] != frames.shape[2:]:
            raise DataError(
                f"The frames are {frames.shape[2:]} (h, w, c), but the earlier frames were {before.shape[2:]}. Use "
                "frames of one size, or start with a new state."
            )
        past = np.concatenate([before, frames], axis=1)
        step = np.zeros(b, np.int64) if state is None else state["step"]
        forecasts = [self._next(past[:, i + 1 : i + 1 + self.context]) for i in range(t)]
        return np.stack(forecasts, axis=1), {"frames": past[:, t:].copy(), "step": step + t}

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``; the prediction is deterministic.

        Raises:
            UsageError: fewer frames than the context were observed, or there are conditions.
        """
        check_rolling(steps=steps, seed=seed, temperature=temperature)
        check_observed(self.name, self.context, int(state["step"].min()))
        self._refuse(conditions)
        frames = [state["frames"][:, i] for i in range(self.context)]
        for _ in range(steps):
            frames.append(self._next(np.stack(frames[-self.context :], axis=1)))
        last = np.stack(frames[-self.context :], axis=1)
        return np.stack(frames[self.context :], axis=1), {"frames": last, "step": state["step"] + steps}

    def _next(self, past: np.ndarray) -> np.ndarray:
        """Predict the frame after (b, context, h, w, c), a few rows at a time."""
        b, _, h, w, c = past.shape
        x = np.moveaxis(past, 1, 3).reshape(b, h, w, self.context * c)
        x = np.pad(x, [(0, 0), *(missing(side, self.multiple) for side in (h, w)), (0, 0)], mode="symmetric")
        rows = max(1, VALUES // x[0].size)
        frames = [np.asarray(self.following.predict_on_batch(x[i : i + rows])) for i in range(0, b, rows)]
        return np.clip(np.concatenate(frames)[:, :h, :w], 0, 1)

    def _checked(self, frames: np.ndarray, conditions: Mapping[str, np.ndarray] | None) -> np.ndarray:
        self._refuse(conditions)
        size = tuple(np.shape(frames)[2:4])
        shape = (*size, self.input_shape[-1]) if len(size) == 2 else self.input_shape
        frames = as_items(frames, shape, "frames", axes=2, frames=True)
        self.check_size(size)
        return frames

    def check_size(self, size: tuple[int, ...]) -> None:
        """Check that frames are large enough.

        Args:
            size: (h, w) of the frames.

        Raises:
            DataError: a side is shorter than ``multiple``.
        """
        if min(size) < self.multiple:
            raise DataError(
                f"{self.name} needs frames of {self.multiple} x {self.multiple} (h x w) or more; they are "
                f"{size[0]} x {size[1]}. Use larger frames, such as with --size."
            )

    def _refuse(self, conditions: Mapping[str, np.ndarray] | None) -> None:
        if conditions:
            raise UsageError(f"{self.name} takes no conditions; received {sorted(conditions)}.")


class RecursiveNetwork(LossNetwork):
    """Trains ``following`` on short rollouts from its own predictions (closed-loop training)."""

    def __init__(self, following: keras.Model, *, context: int, free_steps: int, multiple: int):
        """Set the network and the length of the rollouts.

        Args:
            following: network, as in ``StackedPredictor``.
            context: number of frames that it sees.
            free_steps: number of steps of a rollout, with the gradient through all of them; fewer in a short window.
            multiple: number whose multiples the sides have to be.
        """
        super().__init__(name="recursive")
        self.following = following
        self.context = context
        self.free_steps = free_steps
        self.multiple = multiple

    def build(self, *_: Any) -> None:
        """Do nothing: the network is already built."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Predict rollouts (n, steps, h, w, c) in windows ``frames`` (b, t, h, w, c); the result has the targets too.

        Every window gives as many rollouts as fit into it without overlap, so n is a multiple of b.
        """
        frames = batch["frames"]
        t, h, w, _ = frames.shape[1:]
        steps = min(self.free_steps, t - self.context)
        ends = range(t, self.context + steps - 1, -steps)
        parts = ops.concatenate([frames[:, end - steps - self.context : end] for end in ends], axis=0)
        padding = [missing(side, self.multiple) for side in (h, w)]
        rollout = [parts[:, i] for i in range(self.context)]
        for _ in range(steps):
            x = ops.concatenate(rollout[-self.context :], axis=-1)
            if any(map(any, padding)):
                x = ops.pad(x, [(0, 0), *padding, (0, 0)], mode="symmetric")
            rollout.append(self.following(x, training=training)[:, :h, :w])
        return {"frames": ops.stack(rollout[self.context :], axis=1), "target": parts[:, self.context :]}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Squared error, summed over each frame and averaged over rollouts and time."""
        return ops.mean(ops.sum(ops.square(results["frames"] - results["target"]), axis=(2, 3, 4)))


def missing(side: int, multiple: int) -> tuple[int, int]:
    """Rows to add before and after a side, so that it becomes a multiple."""
    return 0, -side % multiple
