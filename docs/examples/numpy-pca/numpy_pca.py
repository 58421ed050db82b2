"""Principal components of frames, in NumPy."""

import math
from pathlib import Path

import numpy as np

from latentseq import Encoder, History, Latents, Source, Trainer, as_items


class NumpyPCA(Encoder):
    """A linear encoder that learns one batch at a time (Ross et al., 2008)."""

    name = "numpy-pca"
    description = "Principal components of the frames, learned a batch at a time in NumPy."

    def __init__(self, input_shape: list[int], latent_dim: int = 16):
        self.input_shape = tuple(input_shape)
        self.latent_dim = latent_dim
        self.mean = np.zeros(math.prod(input_shape), np.float32)
        self.components = np.zeros((latent_dim, self.mean.size), np.float32)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    def fit(self, source: Source, trainer: Trainer) -> History:
        seen = 0
        scaled = self.components  # Each component times its singular value.
        for batch in trainer.batches(source, epochs=1):
            x = batch["x"].reshape(len(batch["x"]), -1)
            total = seen + len(x)
            shift = x.mean(axis=0) - self.mean
            between = shift * math.sqrt(seen * len(x) / total)
            rows = np.vstack([scaled, x - x.mean(axis=0), between])
            _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
            self.components = axes[: self.latent_dim]
            scaled = sizes[: self.latent_dim, None] * self.components
            self.mean = self.mean + shift * (len(x) / total)
            seen = total
        return History()

    def encode(self, x: np.ndarray) -> Latents:
        x = as_items(x, self.input_shape, "x")
        return Latents((x.reshape(len(x), -1) - self.mean) @ self.components.T)

    def decode(self, z: np.ndarray) -> np.ndarray:
        x = np.clip(z @ self.components + self.mean, 0, 1)
        return x.reshape(-1, *self.input_shape)

    def save_state(self, folder: Path) -> None:
        np.save(folder / "table.npy", np.vstack([self.mean, self.components]))

    def load_state(self, folder: Path) -> None:
        table = np.load(folder / "table.npy", allow_pickle=False)
        self.mean = table[0]
        self.components = table[1:]
