"""The training of variational autoencoders: any encoder and decoder, and the evidence lower bound."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from latentseq.networks import densities
from latentseq.networks.plugin import LossNetwork

MIN_SIGMA = 0.01
"""Smallest standard deviation of the likelihood.

The values of frames have steps of 1/255. For features it is 1 % of their standard deviation.
"""
MAX_LOG_VAR = 8.0
"""Bound of the absolute log variance that a network adds."""
START_LOG_VAR = -4.0
"""Log variance of an untrained encoder without a linear start."""
LEAST_LOG_VAR = -12.0
"""Smallest log variance of a linear start."""


class VariationalNetwork(LossNetwork):
    """An encoder and a decoder, trained on the negative evidence lower bound of ``x``.

    The likelihood is a normal distribution with the variance that fits best, the mean squared error of the batch. It
    is summed over all values of an item; the KL divergence is summed over all dimensions of the latent.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
        Rybkin, Daniilidis & Levine, Simple and Effective VAE Training with Calibrated Decoders, arXiv 2006.13202.
        Kingma et al., Improving Variational Inference with Inverse Autoregressive Flow, arXiv 1606.04934, section
        C.8 (free bits).
    """

    def __init__(
        self,
        name: str,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        beta: float,
        free_bits: float,
        seed: int,
        augment: Sequence[layers.Layer] = (),
        units: layers.Layer | None = None,
    ):
        """Combine the networks.

        Args:
            name: name of the network.
            encoder: network from items (n, ...) to mean and log variance, (n, *latent_shape) each.
            decoder: network from latents to items.
            beta: weight of the KL divergence.
            free_bits: KL divergence in nats that each dimension may use at no cost; for a map, each channel with all
                its positions.
            seed: random seed of the sampling noise.
            augment: layers that change the items randomly in training.
            units: layer that converts items to the units of the loss; None for no conversion.
        """
        super().__init__(name=name)
        self.encoder = encoder
        self.decoder = decoder
        self.beta = beta
        self.free_bits = free_bits
        self.units = units
        self.noise = keras.random.SeedGenerator(seed)
        self.augment = list(augment)
        self.squared_error = keras.metrics.Mean(name="squared_error")
        self.kl = keras.metrics.Mean(name="kl")

    def build(self, *_: Any) -> None:
        """Do nothing: the parts are already built."""

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Reconstruct ``x``: in training from a sample of its posterior, otherwise from the mean."""
        x = batch["x"]
        if training:
            for layer in self.augment:
                x = layer(x, training=True)
        mean, log_var = self.encoder(x)
        z = mean
        if training:
            z = mean + ops.exp(0.5 * log_var) * keras.random.normal(ops.shape(mean), seed=self.noise)
        return {"target": x, "x": self.decoder(z), "mean": mean, "log_var": log_var}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Negative evidence lower bound in nats, averaged over the batch; unused free bits count as used."""
        items = (self.units(results[key]) if self.units else results[key] for key in ("target", "x"))
        target, reconstruction = (ops.reshape(item, (ops.shape(item)[0], -1)) for item in items)
        error = ops.square(target - reconstruction)
        sigma = ops.stop_gradient(ops.maximum(ops.sqrt(ops.mean(error)), MIN_SIGMA))
        nll = -densities.normal(reconstruction, sigma).log_prob(target)
        # With an extra axis of length 1, the divergence is computed for each dimension.
        mean, log_var = (ops.expand_dims(results[key], -1) for key in ("mean", "log_var"))
        posterior = densities.normal(mean, ops.exp(0.5 * log_var))
        kl = densities.kl_divergence(posterior, densities.normal(ops.zeros_like(mean), 1.0))
        kl = ops.sum(kl, axis=tuple(range(1, len(kl.shape) - 1))) if len(kl.shape) > 2 else kl
        self.squared_error.update_state(ops.sum(error, axis=1))
        self.kl.update_state(ops.sum(kl, axis=-1))
        return ops.mean(nll) + self.beta * ops.sum(ops.maximum(ops.mean(kl, axis=0), self.free_bits))


class Summand(layers.Layer):
    """Adds a number to each channel; it is not trained."""

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Add the numbers, zeros until they are fitted."""
        self.summand = self.add_weight(shape=(shape[-1],), initializer="zeros", trainable=False, name="summand")

    def call(self, x: Any) -> Any:
        """Add the numbers to (n, ..., c)."""
        return x + self.summand


def log_variance(x: Any, layer: layers.Layer, *, linear: bool = False) -> Any:
    """Compute a bounded log variance, which cannot overflow.

    Args:
        x: input of the layer.
        layer: layer with the arguments of ``bounded_start``, so that its output is in (-1, 1).
        linear: whether the log variance of a linear start is added, in the layer ``log_var_start``.

    Returns:
        The output of the layer, scaled to (-8, 8), and the log variance of the start.
    """
    y = layers.Rescaling(MAX_LOG_VAR, name="log_var_range")(layer(x))
    return Summand(name="log_var_start")(y) if linear else y


def bounded_start(*, linear: bool = False) -> dict[str, Any]:
    """Arguments of a layer for a log variance.

    The variance starts small: under unit noise, the decoder would learn to ignore z before z holds information.

    Args:
        linear: whether the variance of a linear start is added; the layer then starts at zero.
    """
    bias = keras.initializers.Constant(0.0 if linear else math.atanh(START_LOG_VAR / MAX_LOG_VAR))
    return {"activation": "tanh", "kernel_initializer": "zeros", "bias_initializer": bias, "name": "log_var"}
