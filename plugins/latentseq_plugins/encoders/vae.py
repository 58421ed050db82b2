"""A convolutional variational autoencoder."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from latentseq.arrays import Latents, Source, as_items
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.plugin import in_chunks
from latentseq.networks.tunable import TunableEncoder
from latentseq.protocols import History, Trainer
from latentseq_plugins.convolutions import (
    augmentation,
    check_convolutional,
    decoder_network,
    encoder_network,
    latent_shape,
)
from latentseq_plugins.linear_path import channel_gain, start_from_components
from latentseq_plugins.variational import VariationalNetwork


class VAE(TunableEncoder):
    """Encodes frames to a vector or a map with a Gaussian posterior, trained on the evidence lower bound.

    The likelihood is a normal distribution with the variance that fits best, the mean squared error of the batch. So
    likelihood and KL divergence are balanced on any data and at any resolution, and the posterior does not collapse.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
        Rybkin, Daniilidis & Levine, Simple and Effective VAE Training with Calibrated Decoders, arXiv 2006.13202.
    """

    name = "vae"
    description = "Convolutional VAE: frames to a vector or a map with mean and variance."
    presets: ClassVar[Presets] = {
        "tiny": {"latent_dim": 4, "widths": [4, 8, 8, 8]},
        "cpu": {},
        "gpu": {"widths": [64, 128, 256, 512]},
    }
    earlier: ClassVar[Mapping[str, Any]] = {"linear_start": False}

    def __init__(
        self,
        input_shape: list[int],
        latent_dim: int | None = None,
        beta: float = 1.0,
        widths: list[int] = (32, 64, 128, 256),  # type: ignore[assignment]
        augment: bool = True,
        seed: int = 0,
        latent: str = "vector",
        free_bits: float = 0.0,
        linear_start: bool = True,
    ):
        """Build the networks.

        Args:
            input_shape: frame shape (h, w, c); any size.
            latent_dim: length of the vector, or channels of the map; None for 64 or 16.
            beta: weight of the KL divergence.
            widths: channels of each layer; every layer halves the resolution.
            augment: mirror and shift frames randomly in training. Without it, a film of a few seconds is overfitted;
                generated data does not need it.
            seed: random seed of the initial weights, of augmentation and of sampling noise.
            latent: "vector", or "map" with the positions of the smallest layer: (h / 2**n, w / 2**n, d) after n
                layers.
            free_bits: KL divergence in nats that each dimension may use at no cost, so that none collapses; for a
                map, each channel with all its positions.
            linear_start: begin as probabilistic principal components, the best linear VAE, which are fitted in closed
                form. The networks start at zero beside them and learn what is not linear.

        Raises:
            UsageError: an option is out of range.
        """
        if beta < 0 or free_bits < 0:
            raise UsageError(f"vae: beta is {beta} and free_bits {free_bits}; expected 0 or more of each.")
        self.latent_dim = check_convolutional("vae", input_shape, latent, latent_dim, widths)
        self.input_shape = tuple(input_shape)
        self.widths = tuple(widths)
        self.latent = latent
        self.beta = beta
        self.free_bits = free_bits
        self.augment = augment
        self.seed = seed
        self.linear_start = linear_start
        self.network = VariationalNetwork(
            "vae",
            encoder_network(
                self.input_shape,
                latent,
                self.latent_dim,
                self.widths,
                seed,
                kernel=4,
                posterior=True,
                linear=linear_start,
            ),
            decoder_network(self.latent_shape, self.input_shape, self.widths, seed + 1000, linear=linear_start),
            beta=beta,
            free_bits=free_bits,
            seed=seed,
            augment=augmentation(seed) if augment else [],
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,) for a vector, (h', w', d) for a map."""
        return latent_shape(self.input_shape, self.latent, self.latent_dim, self.widths)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.network.encoder, "decoder": self.network.decoder}

    @property
    def augmentation(self) -> list[keras.layers.Layer]:
        """The layers that mirror and shift; empty without augmentation."""
        return self.network.augment

    @property
    def channel_gain(self) -> np.ndarray | None:
        """See ``Encoder.channel_gain``."""
        return channel_gain(self.network.decoder) if self.linear_start else None

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Encoder.fit``."""
        if self.linear_start:
            start_from_components(self.network.encoder, self.network.decoder, source, trainer, noise=self.beta)
        return trainer.fit(self.network, source, batch_size=32, learning_rate=1e-3)

    def encode(self, x: np.ndarray) -> Latents:
        """See ``Encoder.encode``."""
        x = as_items(x, self.input_shape, "frames", frames=True)
        return Latents(*in_chunks(self.network.encoder.predict_on_batch, x))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Encoder.decode``."""
        frames = in_chunks(self.network.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0]
        return np.clip(frames, 0, 1)
