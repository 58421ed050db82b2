"""An encoder of Keras that breaks at one step, in one way, while its learning rate is above a bound."""

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Latents, as_items
from latentseq.networks.plugin import KerasPlugin
from latentseq.protocols import Encoder


class FragileNetwork(keras.Model):
    def __init__(self, size, latent_dim, at, how, seed):
        super().__init__(name="fragile")
        made = keras.initializers.GlorotUniform(seed=seed)
        self.down = keras.layers.Dense(latent_dim, kernel_initializer=made, name="down")
        self.up = keras.layers.Dense(size, kernel_initializer=made, name="up")
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False, name="steps")
        self.at, self.how = at, how
        self(np.zeros((1, size), np.float32))

    def call(self, x, training=False):
        x = x["x"] if isinstance(x, dict) else x
        x = ops.reshape(x, (ops.shape(x)[0], -1))
        if training:
            self.steps.assign_add(1.0)
        return self.up(self.down(x))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        target = ops.reshape(x["x"], ops.shape(y_pred))
        loss = ops.mean(ops.square(target - y_pred))
        now = ops.logical_and(ops.equal(self.steps, float(self.at)), self.optimizer.learning_rate > 1e-5)
        now = ops.cast(now, "float32")
        if self.how == "loss" and training:
            loss = loss + ops.where(now > 0, float("inf"), 0.0)
        if self.how == "gradient" and training:  # Zero, with an infinite derivative at that step.
            flat = ops.sum(self.up.kernel * 0.0)
            loss = loss + now * ops.sqrt(flat + (1.0 - now)) - now * ops.stop_gradient(ops.sqrt(flat + (1.0 - now)))
        if self.how == "validation" and not training:
            loss = loss + ops.where(self.optimizer.learning_rate > 1e-5, float("nan"), 0.0)
        return loss


class Fragile(KerasPlugin, Encoder):
    name = "fragile"
    description = "Breaks on purpose."

    def __init__(self, input_shape: list[int], latent_dim: int = 3, at: int = 5, how: str = "loss", seed: int = 0):
        self.input_shape, self.latent_dim, self.at, self.how, self.seed = input_shape, latent_dim, at, how, seed
        self.network = FragileNetwork(int(np.prod(input_shape)), latent_dim, at, how, seed)

    @property
    def latent_shape(self):
        return (self.latent_dim,)

    @property
    def networks(self):
        return {"fragile": self.network}

    def fit(self, source, trainer):
        return trainer.fit(self.network, source, batch_size=16)

    def encode(self, x):
        x = as_items(x, tuple(self.input_shape), "x")
        return Latents(np.asarray(self.network.down(x.reshape(len(x), -1))))

    def decode(self, z):
        return np.asarray(self.network.up(z)).clip(0, 1).reshape(-1, *self.input_shape)
