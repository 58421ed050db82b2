"""A dense autoencoder in Keras."""

import keras
import numpy as np
from keras import KerasTensor, layers, ops

from latentseq import Batch, History, Latents, LossNetwork, Source, Trainer, TunableEncoder, as_items, in_chunks


class Reconstruction(LossNetwork):
    """Encoder and decoder, trained together on the squared error of a frame."""

    def __init__(self, encoder: keras.Model, decoder: keras.Model):
        super().__init__()
        self.autoencoder = keras.Sequential([encoder, decoder])

    def call(self, batch: Batch, training: bool = False) -> KerasTensor:
        return self.autoencoder(batch["x"]) - batch["x"]

    def loss_of(self, results: KerasTensor, training: bool = True) -> KerasTensor:
        return ops.mean(ops.sum(ops.square(results), axis=(1, 2, 3)))


class KerasAE(TunableEncoder):
    """Frames (h, w, c) to a vector (latent_dim,). Weights are stored by name, so every layer has one."""

    name = "keras-ae"
    description = "Dense autoencoder: frames to a vector."

    def __init__(self, input_shape: list[int], latent_dim: int = 16, units: int = 256, seed: int = 0):
        self.input_shape = tuple(input_shape)
        self.latent_dim = latent_dim
        self.units = units
        self.seed = seed
        start = [keras.initializers.GlorotUniform(seed + i) for i in range(4)]
        hidden = layers.Dense(units, "relu", kernel_initializer=start[0], name="hidden")
        code = layers.Dense(latent_dim, kernel_initializer=start[1], name="code")
        back = layers.Dense(units, "relu", kernel_initializer=start[2], name="back")
        pixels = layers.Dense(int(np.prod(input_shape)), kernel_initializer=start[3], name="pixels")
        down = [keras.Input(input_shape), layers.Flatten(), hidden, code]
        up = [keras.Input([latent_dim]), back, pixels, layers.Reshape(input_shape)]
        self.encoder = keras.Sequential(down, name="encoder")
        self.decoder = keras.Sequential(up, name="decoder")

    @property
    def latent_shape(self) -> tuple[int, ...]:
        return (self.latent_dim,)

    @property
    def networks(self) -> dict[str, keras.Model]:
        return {"encoder": self.encoder, "decoder": self.decoder}

    def fit(self, source: Source, trainer: Trainer) -> History:
        return trainer.fit(Reconstruction(self.encoder, self.decoder), source, learning_rate=3e-3)

    def encode(self, x: np.ndarray) -> Latents:
        return Latents(in_chunks(self.encoder.predict_on_batch, as_items(x, self.input_shape, "x", frames=True))[0])

    def decode(self, z: np.ndarray) -> np.ndarray:
        return in_chunks(self.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0].clip(0, 1)
