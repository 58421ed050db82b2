"""The loss of a variational autoencoder, whatever its networks are."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from latentseq.networks import densities
from latentseq.networks.plugin import LossNetwork

MIN_SIGMA = 0.01
"""Floor of the likelihood's standard deviation: frames come in steps of 1/255; for features, 1 % of theirs."""
MAX_LOG_VAR = 8.0
START_LOG_VAR = -4.0


class VariationalNetwork(LossNetwork):
    """Encoder, noise, decoder, and the negative evidence lower bound of ``x``.

    The likelihood is a normal whose variance is the one that fits best, the batch's mean squared error; it is summed
    over all values of an item, and the KL divergence over all dimensions of its latent.

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
        """Put the networks together.

        Args:
            name: of the network.
            encoder: items (n, ...) to mean and log variance, (n, *latent_shape) each.
            decoder: latents to items.
            beta: weight of the KL divergence.
            free_bits: nats of each dimension that cost nothing; those of a map's channel are of all its positions
                together.
            seed: of the noise.
            augment: layers that change the items at random in training.
            units: what items are put through before they are compared; as they are where None.
        """
        super().__init__(name=name)
        self.encoder, self.decoder = encoder, decoder
        self.beta, self.free_bits, self.units = beta, free_bits, units
        self.noise = keras.random.SeedGenerator(seed)
        self.augment = list(augment)
        self.squared_error = keras.metrics.Mean(name="squared_error")
        self.kl = keras.metrics.Mean(name="kl")

    def build(self, *_: Any) -> None:
        """Its parts are built already."""

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Reconstruct ``x`` from a draw of its posterior; from its mean where not in training."""
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
        """Negative evidence lower bound in nats, mean over the batch; free bits count as if they were used."""
        items = (self.units(results[key]) if self.units else results[key] for key in ("target", "x"))
        target, made = (ops.reshape(item, (ops.shape(item)[0], -1)) for item in items)
        error = ops.square(target - made)
        sigma = ops.stop_gradient(ops.maximum(ops.sqrt(ops.mean(error)), MIN_SIGMA))
        nll = -densities.normal(made, sigma).log_prob(target)
        # An axis of one, so that every dimension keeps a divergence of its own.
        mean, log_var = (ops.expand_dims(results[key], -1) for key in ("mean", "log_var"))
        posterior = densities.normal(mean, ops.exp(0.5 * log_var))
        kl = densities.kl_divergence(posterior, densities.normal(ops.zeros_like(mean), 1.0))
        kl = ops.sum(kl, axis=tuple(range(1, len(kl.shape) - 1))) if len(kl.shape) > 2 else kl
        self.squared_error.update_state(ops.sum(error, axis=1))
        self.kl.update_state(ops.sum(kl, axis=-1))
        return ops.mean(nll) + self.beta * ops.sum(ops.maximum(ops.mean(kl, axis=0), self.free_bits))


def log_variance(x: Any, layer: layers.Layer) -> Any:
    """A log variance that no step can make overflow.

    Args:
        x: what it is made of.
        layer: one that ``bounded_start`` has the arguments of; its output is in (-1, 1).

    Returns:
        The layer's output in (-8, 8).
    """
    return layers.Rescaling(MAX_LOG_VAR, name="log_var_range")(layer(x))


def bounded_start() -> dict[str, Any]:
    """Arguments of the layer that makes a log variance.

    It is narrow to begin with, since under unit noise the decoder learns to do without z before z says anything.
    """
    narrow = keras.initializers.Constant(math.atanh(START_LOG_VAR / MAX_LOG_VAR))
    return {"activation": "tanh", "kernel_initializer": "zeros", "bias_initializer": narrow, "name": "log_var"}
