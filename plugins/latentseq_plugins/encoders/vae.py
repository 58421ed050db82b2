"""A convolutional variational autoencoder."""

from typing import ClassVar

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
from latentseq_plugins.variational import VariationalNetwork


class VAE(TunableEncoder):
    """Frames to a vector or a map with a Gaussian posterior, trained on the evidence lower bound.

    The likelihood is a normal whose variance is the one that fits best, the batch's mean squared error: so its two
    terms are in balance on any data and at any resolution, and the posterior does not collapse.

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
    ):
        """Build the networks.

        Args:
            input_shape: (h, w, c) of a frame; any size.
            latent_dim: d, length of the latent vector, or channels of the map; 64 or 16 where None.
            beta: weight of the KL divergence.
            widths: channels of each layer; every layer halves the resolution.
            augment: mirror and shift the frames at random in training, without which a film of seconds is learnt by
                heart; leave it out for generated data, of which there is no end.
            seed: of the initial weights and of all that is random in training.
            latent: vector; or map, which keeps the positions of the smallest layer: (h / 2**n, w / 2**n, d) behind n
                layers.
            free_bits: nats of KL divergence that each dimension may use at no cost (a map's channel: all its
                positions together), so that none collapses.

        Raises:
            UsageError: an option out of its range.
        """
        if beta < 0 or free_bits < 0:
            raise UsageError(f"vae: beta is {beta} and free_bits {free_bits}; expected 0 or more of each.")
        self.latent_dim = check_convolutional("vae", input_shape, latent, latent_dim, widths)
        self.input_shape, self.widths = tuple(input_shape), tuple(widths)
        self.latent, self.beta, self.free_bits = latent, beta, free_bits
        self.augment, self.seed = augment, seed
        self.network = VariationalNetwork(
            "vae",
            encoder_network(self.input_shape, latent, self.latent_dim, self.widths, seed, kernel=4, posterior=True),
            decoder_network(self.latent_shape, self.input_shape, self.widths, seed + 1000),
            beta=beta,
            free_bits=free_bits,
            seed=seed,
            augment=augmentation(seed) if augment else [],
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,), or (h', w', d) of a map."""
        return latent_shape(self.input_shape, self.latent, self.latent_dim, self.widths)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.network.encoder, "decoder": self.network.decoder}

    @property
    def augmentation(self) -> list[keras.layers.Layer]:
        """Mirroring and shifting, or nothing."""
        return self.network.augment

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Encoder.fit``."""
        return trainer.fit(self.network, source, batch_size=32, learning_rate=1e-3)

    def encode(self, x: np.ndarray) -> Latents:
        """See ``Encoder.encode``."""
        x = as_items(x, self.input_shape, "frames", frames=True)
        return Latents(*in_chunks(self.network.encoder.predict_on_batch, x))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Encoder.decode``."""
        frames = in_chunks(self.network.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0]
        return np.clip(frames, 0, 1)
