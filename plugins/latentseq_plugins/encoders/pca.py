"""Principal component analysis (PCA)."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from sklearn.decomposition import IncrementalPCA

from latentseq.arrays import Latents, Source, as_items
from latentseq.configurable import Presets
from latentseq.data.windows import validation_batches
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Encoder, History, Trainer
from latentseq.storage.tensors import load_tensors, save_tensors

STATE = "components.safetensors"
"""File with the state."""
LEAST_BATCH = 64
"""Minimum number of items in a batch."""


class PCA(Encoder):
    """The best linear encoder of a given dimension: a floor that every other encoder has to beat.

    Training is one pass over the training items, or less if the budget is smaller.

    References:
        Ross et al., Incremental Learning for Robust Visual Tracking, 2008: scikit-learn's ``IncrementalPCA``.
    """

    name = "pca"
    description = "Principal components, learned a batch at a time: the linear baseline."
    presets: ClassVar[Presets] = {"tiny": {"latent_dim": 4}, "cpu": {}, "gpu": {}}

    def __init__(self, input_shape: list[int], latent_dim: int = 64):
        """Start with the first axes of the input as components.

        Args:
            input_shape: (h, w, c) for frames or a map, or (f,) for features.
            latent_dim: number of components.

        Raises:
            UsageError: an option is out of range.
        """
        size = int(np.prod(input_shape))
        if not input_shape or min(input_shape) < 1:
            raise UsageError(f"pca: input_shape is {list(input_shape)}; expected every side to be 1 or more.")
        if not 1 <= latent_dim <= size:
            raise UsageError(f"pca: latent_dim is {latent_dim}; expected 1 to {size}, the size of an item.")
        self.input_shape = tuple(input_shape)
        self.latent_dim = latent_dim
        self._mean = np.zeros(size, np.float32)
        self._components = np.eye(latent_dim, size, dtype=np.float32)
        self._bounds = np.array([0, 1], np.float32)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.latent_dim,)

    @property
    def channel_gain(self) -> np.ndarray | None:
        """See ``Encoder.channel_gain``: ones, since the components are orthonormal."""
        return np.ones(self.latent_dim, np.float32)

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Encoder.fit``.

        Raises:
            DataError: there are fewer training items than components.
        """
        # The cost for each item is lowest near this batch size.
        size, waiting, low, high = (
            max(LEAST_BATCH, 2 * self.latent_dim),
            np.zeros((0, self._mean.size), np.float32),
            0.0,
            1.0,
        )
        pca, count = IncrementalPCA(self.latent_dim), 0
        for batch in trainer.batches(source, batch_size=size, epochs=1):
            x = batch["x"].reshape(len(batch["x"]), -1)
            low, high, count = min(low, float(x.min())), max(high, float(x.max())), count + len(x)
            waiting = np.concatenate([waiting, x])
            if len(waiting) >= size:
                pca.partial_fit(waiting)
                waiting = waiting[:0]
        if len(waiting) >= self.latent_dim:
            pca.partial_fit(waiting)
        if count < self.latent_dim:
            raise DataError(
                f"pca: training had {count} {'item' if count == 1 else 'items'}; {self.latent_dim} components need "
                f"{self.latent_dim} or more. Use more data or a longer budget, or fewer components with --set "
                "latent_dim."
            )
        self._mean = pca.mean_.astype(np.float32)
        self._components = pca.components_.astype(np.float32)
        # Decoded frames are clipped to [0, 1]; features have no bounds.
        self._bounds = np.array([0, 1] if (low, high) == (0, 1) else [-np.inf, np.inf], np.float32)
        row = {"stage": "main", "epoch": 1, "step": int(np.ceil(count / size)), **self._validate(source)}
        trainer.say(f"{count} items · squared error of an item on validation data {row['val_squared_error']:.4g}")
        return History([row], row)

    def encode(self, x: np.ndarray) -> Latents:
        """See ``Encoder.encode``; there is no posterior."""
        x = as_items(x, self.input_shape, "x").reshape(len(x), -1)
        return Latents((x - self._mean) @ self._components.T)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Encoder.decode``."""
        x = as_items(z, self.latent_shape, "z") @ self._components + self._mean
        return np.clip(x, *self._bounds).reshape(-1, *self.input_shape)

    def save_state(self, folder: Path) -> None:
        """See ``Plugin.save_state``."""
        save_tensors(self._state(), folder / STATE)

    def load_state(self, folder: Path) -> None:
        """See ``Plugin.load_state``."""
        expected = {key: (a.shape, str(a.dtype)) for key, a in self._state().items()}
        tensors = load_tensors(folder / STATE, expected)
        self._mean = tensors["mean"]
        self._components = tensors["components"]
        self._bounds = tensors["bounds"]

    def _state(self) -> dict[str, np.ndarray]:
        return {"mean": self._mean, "components": self._components, "bounds": self._bounds}

    def _validate(self, source: Source) -> dict[str, float]:
        """Squared error, summed over each item and averaged over the validation items."""
        errors = []
        for batch in validation_batches(source.validation, LEAST_BATCH):
            x = self.decode(self.encode(batch["x"]).mean)
            errors.append(np.square(x - batch["x"]).reshape(len(x), -1).sum(1))
        error = float(np.concatenate(errors).mean())
        return {"val_loss": error, "val_squared_error": error}
