"""A convolutional autoencoder."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from latentseq.arrays import Latents, Source, as_items
from latentseq.configurable import Presets
from latentseq.networks.plugin import in_chunks
from latentseq.networks.tunable import TunableEncoder
from latentseq.protocols import History, Trainer
from latentseq_plugins.convolutions import (
    SquaredErrorNetwork,
    augmentation,
    check_convolutional,
    decoder_network,
    encoder_network,
    latent_shape,
)
from latentseq_plugins.linear_path import channel_gain, start_from_components


class ConvAE(TunableEncoder):
    """Encodes frames to a vector or a map without a posterior, trained on squared error.

    A map keeps positions. After the same training time it reconstructs several times better than a vector, and
    convolutional dynamics need it.

    References:
        Hinton & Salakhutdinov, Reducing the Dimensionality of Data with Neural Networks, 2006.
        Masci et al., Stacked Convolutional Auto-Encoders for Hierarchical Feature Extraction, 2011.
    """

    name = "conv-ae"
    description = "Convolutional autoencoder, trained on squared error: frames to a vector or a map."
    presets: ClassVar[Presets] = {
        "tiny": {"latent_dim": 4, "widths": [4, 8, 8]},
        "cpu": {},
        "gpu": {"widths": [64, 128, 256]},
    }
    earlier: ClassVar[Mapping[str, Any]] = {"linear_start": False}

    def __init__(
        self,
        input_shape: list[int],
        latent: str = "vector",
        latent_dim: int | None = None,
        widths: list[int] = (16, 64, 128),  # type: ignore[assignment]
        augment: bool = True,
        linear_start: bool = True,
        seed: int = 0,
    ):
        """Build the networks.

        Args:
            input_shape: frame shape (h, w, c); any size.
            latent: "vector", or "map" with the positions of the smallest layer: (h / 2**n, w / 2**n, d) after n
                layers, such as 8x8x16 for a frame of 64x64.
            latent_dim: length of the vector, or channels of the map; None for 64 or 16.
            widths: channels of each layer; every layer halves the resolution.
            augment: mirror and shift frames randomly in training. Without it, a film of a few seconds is overfitted;
                generated data does not need it.
            linear_start: begin as principal components, of frames for a vector and of patches for a map, which are
                fitted in closed form. The networks start at zero beside them and learn what is not linear.
            seed: random seed of the initial weights and of augmentation.

        Raises:
            UsageError: an option is out of range.
        """
        self.latent_dim = check_convolutional("conv-ae", input_shape, latent, latent_dim, widths)
        self.input_shape = tuple(input_shape)
        self.widths = tuple(widths)
        self.latent = latent
        self.augment = augment
        self.linear_start = linear_start
        self.seed = seed
        # Kernels of 3 learn faster than kernels of 4: on moving digits, the squared error of a frame is 23 instead of
        # 44 after 80 steps.
        self.encoder = encoder_network(
            self.input_shape,
            latent,
            self.latent_dim,
            self.widths,
            seed,
            kernel=3,
            posterior=False,
            linear=linear_start,
        )
        self.decoder = decoder_network(
            self.latent_shape, self.input_shape, self.widths, seed + 1000, linear=linear_start
        )
        self.network = SquaredErrorNetwork(
            "conv_ae", [self.encoder, self.decoder], source="x", augment=augmentation(seed) if augment else []
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,) for a vector, (h', w', d) for a map."""
        return latent_shape(self.input_shape, self.latent, self.latent_dim, self.widths)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.encoder, "decoder": self.decoder}

    @property
    def augmentation(self) -> list[keras.layers.Layer]:
        """The layers that mirror and shift; empty without augmentation."""
        return self.network.augment

    @property
    def channel_gain(self) -> np.ndarray | None:
        """See ``Encoder.channel_gain``: ones, since the components are orthonormal."""
        return channel_gain(self.decoder) if self.linear_start else None

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Encoder.fit``."""
        if self.linear_start:
            start_from_components(self.encoder, self.decoder, source, trainer)
        return trainer.fit(self.network, source, batch_size=32, learning_rate=3e-3, clip_norm=None)

    def encode(self, x: np.ndarray) -> Latents:
        """See ``Encoder.encode``; there is no posterior."""
        return Latents(
            in_chunks(self.encoder.predict_on_batch, as_items(x, self.input_shape, "frames", frames=True))[0]
        )

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Encoder.decode``."""
        frames = in_chunks(self.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0]
        return np.clip(frames, 0, 1)
