"""A convolutional variational autoencoder."""

import math
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from latentseq import densities
from latentseq.arrays import Latents, as_items
from latentseq.errors import UsageError
from latentseq.keras_plugin import KerasPlugin, in_chunks
from latentseq.protocols import Encoder, History, Source
from latentseq.training.trainer import Trainer

MIN_SIGMA = 0.01
"""Floor of the likelihood's standard deviation: frames come in steps of 1/255."""
SHIFT = 0.15
"""Share of the side by which a frame is shifted in training, at most."""
MAX_LOG_VAR = 8.0
START_LOG_VAR = -4.0


class VAE(KerasPlugin, Encoder):
    """Frames to a vector with a Gaussian posterior, trained on the evidence lower bound.

    The likelihood is summed over pixels and the KL divergence over dimensions. The likelihood is a normal whose
    variance is the one that fits best, the batch's mean squared error: so the two terms are in balance on any data
    and at any resolution, and the posterior does not collapse.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
        Rybkin, Daniilidis & Levine, Simple and Effective VAE Training with Calibrated Decoders, arXiv 2006.13202.
    """

    name = "vae"
    description = "Convolutional VAE: frames to a vector with mean and variance."

    def __init__(
        self,
        input_shape: list[int],
        latent_dim: int = 64,
        beta: float = 1.0,
        widths: list[int] = (32, 64, 128, 256),  # type: ignore[assignment]
        augment: bool = True,
        seed: int = 0,
    ):
        """Build the networks.

        Args:
            input_shape: (h, w, c) of a frame; any size.
            latent_dim: d, length of the latent vector.
            beta: weight of the KL divergence.
            widths: channels of each layer; every layer halves the resolution.
            augment: mirror and shift the frames at random in training, without which a film of seconds is learnt by
                heart; leave it out for generated data, of which there is no end.
            seed: of the initial weights and of all that is random in training.

        Raises:
            UsageError: an option out of its range.
        """
        if len(input_shape) != 3 or min(input_shape) < 1:
            raise UsageError(
                f"vae: input_shape is {list(input_shape)}; expected (height, width, channels) of frames."
            )
        if latent_dim < 1 or beta < 0 or not widths or min(widths) < 1:
            raise UsageError(
                f"vae: latent_dim is {latent_dim}, beta {beta}, widths {list(widths)}; expected latent_dim of 1 or "
                "more, beta of 0 or more, and at least one width, each 1 or more."
            )
        self.input_shape = tuple(input_shape)
        self.latent_dim, self.beta, self.widths = latent_dim, beta, tuple(widths)
        self.augment, self.seed = augment, seed
        self.network = VAENetwork(self.input_shape, latent_dim, beta, self.widths, augment, seed)

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.latent_dim,)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.network.encoder, "decoder": self.network.decoder}

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Encoder.fit``."""
        return trainer.fit(self.network, source, batch_size=32, learning_rate=1e-3)

    def encode(self, x: np.ndarray) -> Latents:
        """See ``Encoder.encode``."""
        x = as_items(x, self.input_shape, "x")
        return Latents(*in_chunks(self.network.encoder.predict_on_batch, x))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Encoder.decode``."""
        frames = in_chunks(self.network.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0]
        return np.clip(frames, 0, 1)


class VAENetwork(keras.Model):
    """Encoder, noise, decoder, and their loss."""

    def __init__(
        self,
        input_shape: tuple[int, ...],
        latent_dim: int,
        beta: float,
        widths: tuple[int, ...],
        augment: bool,
        seed: int,
    ):
        """See ``VAE``."""
        super().__init__(name="vae")
        self.beta = beta
        self.encoder = encoder_network(input_shape, latent_dim, widths, seed)
        self.decoder = decoder_network(input_shape, latent_dim, widths, seed + 1000)
        self.noise = keras.random.SeedGenerator(seed)
        shift = layers.RandomTranslation(SHIFT, SHIFT, fill_mode="reflect", seed=seed + 2001, name="shift")
        self.augment = [layers.RandomFlip("horizontal", seed=seed + 2000, name="mirror"), shift] if augment else []
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

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Negative evidence lower bound in nats, mean over the batch."""
        error = ops.square(y_pred["target"] - y_pred["x"])
        sigma = ops.stop_gradient(ops.maximum(ops.sqrt(ops.mean(error)), MIN_SIGMA))
        nll = -ops.sum(densities.normal(y_pred["x"], sigma).log_prob(y_pred["target"]), axis=(1, 2))
        posterior = densities.normal(y_pred["mean"], ops.exp(0.5 * y_pred["log_var"]))
        prior = densities.normal(ops.zeros_like(y_pred["mean"]), 1.0)
        kl = densities.kl_divergence(posterior, prior)
        self.squared_error.update_state(ops.sum(error, axis=(1, 2, 3)))
        self.kl.update_state(kl)
        return ops.mean(nll + self.beta * kl)


def encoder_network(input_shape: tuple[int, ...], latent_dim: int, widths: tuple[int, ...], seed: int) -> keras.Model:
    """Frames (n, h, w, c) to mean and log variance (n, d) each."""
    (top, bottom), (left, right), _ = _padding(input_shape, widths)
    frames = x = keras.Input(input_shape, name="frames")
    x = layers.ZeroPadding2D(((top, bottom), (left, right)), name="pad")(x)
    for i, width in enumerate(widths):
        start = keras.initializers.HeNormal(seed + i)
        x = layers.Conv2D(width, 4, 2, "same", activation="swish", kernel_initializer=start, name=f"conv_{i}")(x)
    x = layers.LayerNormalization(name="norm")(layers.Flatten(name="flat")(x))
    start = keras.initializers.GlorotUniform
    mean = layers.Dense(latent_dim, kernel_initializer=start(seed + 100), name="mean")(x)
    # Bounded, so that no step can make it overflow; and narrow to begin with, since under unit noise the decoder
    # learns to do without z before z says anything.
    narrow = keras.initializers.Constant(math.atanh(START_LOG_VAR / MAX_LOG_VAR))
    bounded = layers.Dense(latent_dim, "tanh", kernel_initializer="zeros", bias_initializer=narrow, name="log_var")(x)
    log_var = layers.Rescaling(MAX_LOG_VAR, name="log_var_range")(bounded)
    return keras.Model(frames, [mean, log_var], name="encoder")


def decoder_network(input_shape: tuple[int, ...], latent_dim: int, widths: tuple[int, ...], seed: int) -> keras.Model:
    """Latents (n, d) to frames (n, h, w, c).

    The output is linear: behind a sigmoid, mostly black frames give almost no gradient, and training stays at the
    mean frame for minutes.
    """
    *crop, small = _padding(input_shape, widths)
    z = x = keras.Input((latent_dim,), name="z")
    start = keras.initializers.HeNormal(seed + 100)
    x = layers.Dense(math.prod(small) * widths[-1], "swish", kernel_initializer=start, name="dense")(x)
    x = layers.Reshape((*small, widths[-1]), name="map")(x)
    for i, width in enumerate((*reversed(widths[:-1]), input_shape[-1])):
        last = i + 1 == len(widths)
        # The last layer starts near nothing: a first picture far off costs the first hundred steps.
        start = keras.initializers.RandomNormal(0, 0.02, seed + i) if last else keras.initializers.HeNormal(seed + i)
        x = layers.Conv2DTranspose(
            width, 4, 2, "same", activation=None if last else "swish", kernel_initializer=start, name=f"conv_{i}"
        )(x)
    return keras.Model(z, layers.Cropping2D(tuple(crop), name="crop")(x), name="decoder")


def _padding(shape: tuple[int, ...], widths: tuple[int, ...]) -> tuple[Any, ...]:
    """Rows and columns to add on each side so that every layer can halve, and the (h, w) of the smallest layer."""
    factor = 2 ** len(widths)
    missing = [-side % factor for side in shape[:2]]
    small = [(side + m) // factor for side, m in zip(shape, missing, strict=False)]
    return *((m // 2, m - m // 2) for m in missing), small
