import numpy as np

from latentseq import Encoder, History, Latents
from latentseq.arrays import as_items


class NumpyPCA(Encoder):
    name, description = "numpy-pca", "Principal components of the frames, learned a batch at a time in NumPy."
    latent_shape = property(lambda self: (self.latent_dim,))

    def __init__(self, input_shape: tuple[int, ...], latent_dim: int = 16):
        self.input_shape, self.latent_dim = input_shape, latent_dim
        self.table = np.zeros((1 + latent_dim, np.prod(input_shape)), np.float32)  # The mean, then the components.

    def fit(self, source, trainer):
        n, mean, scaled = 0, self.table[0], self.table[1:]
        for x in (batch["x"].reshape(len(batch["x"]), -1) for batch in trainer.batches(source, epochs=1)):
            m, shift = len(x), x.mean(0) - mean
            rows = np.vstack([scaled, x - x.mean(0), shift * np.sqrt(n * m / (n + m))])  # Ross et al., 2008.
            _, size, axes = (part[: self.latent_dim] for part in np.linalg.svd(rows, full_matrices=False))
            n, mean, scaled = n + m, mean + shift * m / (n + m), size[:, None] * axes
        self.table = np.vstack([mean, axes]).astype(np.float32)
        return History()

    def encode(self, x):
        return Latents((as_items(x, self.input_shape, "x").reshape(len(x), -1) - self.table[0]) @ self.table[1:].T)

    def decode(self, z):
        return (z @ self.table[1:] + self.table[0]).clip(0, 1).reshape(-1, *self.input_shape)

    def save_state(self, folder):
        np.save(folder / "table.npy", self.table)

    def load_state(self, folder):
        self.table = np.load(folder / "table.npy", allow_pickle=False)
