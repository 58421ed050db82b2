"""Predictors without training: the floors that every other predictor has to beat."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from latentseq.arrays import Source, State, as_items, check_rolling
from latentseq.configurable import Presets
from latentseq.protocols import History, Predictor, Trainer


class Floor(Predictor):
    """A predictor that repeats one frame in a rollout; frames may have any size."""

    any_size: ClassVar[bool] = True
    presets: ClassVar[Presets] = {"tiny": {}, "cpu": {}, "gpu": {}}
    conditions: ClassVar[dict[str, int]] = {}  # type: ignore[misc]

    def __init__(self, input_shape: list[int]):
        """Set the frame shape.

        Args:
            input_shape: frame shape (h, w, c).
        """
        self.input_shape = tuple(input_shape)

    @abstractmethod
    def forecast(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """Compute the forecast after each frame.

        Args:
            frames: (b, t, h, w, c) frames.
            before: (b, h, w, c) forecast before the first of them; None if there were no frames before.
            steps: (b,) number of frames before.

        Returns:
            Forecasts of the same shape as ``frames``.
        """

    def fit(self, source: Source, trainer: Trainer) -> History:
        """Do nothing."""
        return History()

    def save_state(self, folder: Path) -> None:
        """Do nothing: there is no state."""

    def load_state(self, folder: Path) -> None:
        """Do nothing: there is no state."""

    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``."""
        size = tuple(np.shape(frames)[2:4])
        frames = as_items(frames, (*size, self.input_shape[-1]), "frames", axes=2, frames=True)
        step = np.zeros(len(frames), np.int64) if state is None else state["step"]
        forecasts = self.forecast(frames, None if state is None else state["frame"], step).astype(np.float32)
        return forecasts, {"frame": forecasts[:, -1], "step": step + frames.shape[1]}

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``; the prediction is deterministic."""
        check_rolling(steps=steps, seed=seed, temperature=temperature)
        return np.repeat(state["frame"][:, None], steps, axis=1), {**state, "step": state["step"] + steps}


class CopyLast(Floor):
    """Repeats the last frame."""

    name = "copy-last"
    description = "Repeats the last frame; no training."

    def forecast(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """See ``Floor.forecast``."""
        return frames


class Mean(Floor):
    """Repeats the mean of all observed frames."""

    name = "mean"
    description = "Repeats the mean of the observed frames; no training."

    def forecast(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """See ``Floor.forecast``."""
        counts = steps[:, None] + np.arange(frames.shape[1] + 1)
        total = np.cumsum(frames, axis=1, dtype=np.float64)
        if before is not None:
            total += (before * counts[:, 0, None, None, None].astype(np.float64))[:, None]
        return total / counts[:, 1:, None, None, None]


class Black(Floor):
    """Predicts black frames."""

    name = "black"
    description = "Predicts black frames; no training."

    def forecast(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """See ``Floor.forecast``."""
        return np.zeros_like(frames)
