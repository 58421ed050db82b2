"""Predictors with nothing to train: what every other one has to be better than."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from latentseq.arrays import Source, State, as_items, check_rolling
from latentseq.configurable import Presets
from latentseq.protocols import History, Predictor, Trainer


class Floor(Predictor):
    """Says one and the same frame for as long as it imagines; of any size."""

    any_size: ClassVar[bool] = True
    presets: ClassVar[Presets] = {"tiny": {}, "cpu": {}, "gpu": {}}
    conditions: ClassVar[dict[str, int]] = {}  # type: ignore[misc]

    def __init__(self, input_shape: list[int]):
        """There is nothing to build.

        Args:
            input_shape: (h, w, c) of the frames.
        """
        self.input_shape = tuple(input_shape)

    @abstractmethod
    def said(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """What it says after each frame.

        Args:
            frames: (b, t, h, w, c).
            before: (b, h, w, c), what it said before the first of them; None where it saw none.
            steps: (b,), how many it saw by then.

        Returns:
            The same shape as ``frames``.
        """

    def fit(self, source: Source, trainer: Trainer) -> History:
        """Nothing is learned."""
        return History()

    def save_state(self, folder: Path) -> None:
        """There is nothing to save."""

    def load_state(self, folder: Path) -> None:
        """There is nothing to load."""

    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``."""
        size = tuple(np.shape(frames)[2:4])
        frames = as_items(frames, (*size, self.input_shape[-1]), "frames", axes=2, frames=True)
        step = np.zeros(len(frames), np.int64) if state is None else state["step"]
        made = self.said(frames, None if state is None else state["frame"], step).astype(np.float32)
        return made, {"frame": made[:, -1], "step": step + frames.shape[1]}

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``; nothing is drawn."""
        check_rolling(steps=steps, seed=seed, temperature=temperature)
        return np.repeat(state["frame"][:, None], steps, axis=1), {**state, "step": state["step"] + steps}


class CopyLast(Floor):
    """The last frame, for ever."""

    name = "copy-last"
    description = "The last frame that it saw, for ever. Nothing is trained."

    def said(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """See ``Floor.said``."""
        return frames


class Mean(Floor):
    """The mean of all frames that it saw."""

    name = "mean"
    description = "The mean of the frames that it saw, for ever. Nothing is trained."

    def said(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """See ``Floor.said``."""
        seen = steps[:, None] + np.arange(frames.shape[1] + 1)
        total = np.cumsum(frames, axis=1, dtype=np.float64)
        if before is not None:
            total += (before * seen[:, 0, None, None, None].astype(np.float64))[:, None]
        return total / seen[:, 1:, None, None, None]


class Black(Floor):
    """No light at all."""

    name = "black"
    description = "Black frames. Nothing is trained."

    def said(self, frames: np.ndarray, before: np.ndarray | None, steps: np.ndarray) -> np.ndarray:
        """See ``Floor.said``."""
        return np.zeros_like(frames)
