"""A variational autoencoder of features."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers

from latentseq.arrays import Latents, Source, as_items
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.components import Patches
from latentseq.networks.plugin import in_chunks, swish
from latentseq.networks.tunable import TunableEncoder
from latentseq.protocols import History, Trainer
from latentseq_plugins.features import Scaling, statistics
from latentseq_plugins.linear_path import Components, channel_gain, start_from_components
from latentseq_plugins.variational import VariationalNetwork, bounded_start, log_variance


class FeatureVAE(TunableEncoder):
    """Encodes any array to a vector with a Gaussian posterior, with dense layers.

    Every channel is standardised by statistics of the training items, which are saved with the weights; if errors of
    features are as large as those of frames, one number scales all channels. The loss is computed on standardised
    values. Decoded items have the original units, and are in [0, 1] if all training items
    were.

    References:
        Kingma & Welling, Auto-Encoding Variational Bayes, arXiv 1312.6114.
    """

    name = "feature-vae"
    description = "Dense VAE of any features: a vector or a map to a vector with mean and variance."
    presets: ClassVar[Presets] = {
        "tiny": {"latent_dim": 4, "widths": [16, 16]},
        "cpu": {},
        "gpu": {"widths": [1024, 1024]},
    }
    earlier: ClassVar[Mapping[str, Any]] = {"linear_start": False}

    def __init__(
        self,
        input_shape: list[int],
        latent_dim: int = 256,
        beta: float = 1.0,
        free_bits: float = 0.0,
        widths: list[int] = (512, 512),  # type: ignore[assignment]
        linear_start: bool = True,
        seed: int = 0,
    ):
        """Build the networks.

        Args:
            input_shape: (f,) for features, or (h, w, c) for a map of features.
            latent_dim: length of the latent vector.
            beta: weight of the KL divergence.
            free_bits: KL divergence in nats that each dimension may use at no cost, so that none collapses.
            widths: units of each dense layer of the encoder; the decoder has the reverse order.
            linear_start: begin as probabilistic principal components, the best linear VAE, which are fitted in closed
                form. The networks start at zero beside them and learn what is not linear.
            seed: random seed of the initial weights and of sampling noise.

        Raises:
            UsageError: an option is out of range.
        """
        if len(input_shape) not in (1, 3) or min(input_shape) < 1:
            raise UsageError(
                f"feature-vae: input_shape is {list(input_shape)}; expected (f,) for features or (height, width, "
                "channels) for a map."
            )
        if latent_dim < 1 or min(beta, free_bits) < 0 or not widths or min(widths) < 1:
            raise UsageError(
                f"feature-vae: latent_dim is {latent_dim}, beta {beta}, free_bits {free_bits}, widths "
                f"{list(widths)}; expected latent_dim of 1 or more, beta and free_bits of 0 or more, and at least "
                "one width, each 1 or more."
            )
        self.input_shape = tuple(input_shape)
        self.latent_dim = latent_dim
        self.widths = tuple(widths)
        self.beta = beta
        self.free_bits = free_bits
        self.linear_start = linear_start
        self.seed = seed
        self.standard = Scaling(name="standard")
        self.restored = Scaling(name="restored")
        encoder, decoder = self._encoder(), self._decoder()
        self.network = VariationalNetwork(
            "feature_vae", encoder, decoder, beta=beta, free_bits=free_bits, seed=seed, units=self.standard
        )

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """(d,)."""
        return (self.latent_dim,)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder and decoder."""
        return {"encoder": self.network.encoder, "decoder": self.network.decoder}

    @property
    def channel_gain(self) -> np.ndarray | None:
        """See ``Encoder.channel_gain``; of features, in the unit of one scale for all their channels."""
        return channel_gain(self.network.decoder) if self.linear_start else None

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Encoder.fit``."""
        scaling = statistics(source.train, "x", gain=source.gain)
        self.standard.standardise(scaling)
        self.restored.restore(scaling)
        if self.linear_start:
            start_from_components(
                self.network.encoder,
                self.network.decoder,
                source,
                trainer,
                noise=self.beta,
                prepare=lambda x: self.standard(x),
            )
        return trainer.fit(self.network, source, batch_size=64, learning_rate=1e-3)

    def encode(self, x: np.ndarray) -> Latents:
        """See ``Encoder.encode``."""
        x = as_items(x, self.input_shape, "x")
        return Latents(*in_chunks(self.network.encoder.predict_on_batch, x))

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Encoder.decode``."""
        x = in_chunks(self.network.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0]
        return self.restored.clip(x)

    def _encoder(self) -> keras.Model:
        """Build the network from items (n, *input_shape) to mean and log variance, (n, d) each."""
        features = keras.Input(self.input_shape, name="features")
        standard = self.standard(features)
        x = layers.Flatten(name="flat")(standard)
        for i, width in enumerate(self.widths):
            start = keras.initializers.HeNormal(self.seed + i)
            x = layers.Dense(width, swish, kernel_initializer=start, name=f"dense_{i}")(x)
        x = layers.LayerNormalization(name="norm")(x)
        linear = self.linear_start
        start = keras.initializers.Zeros() if linear else keras.initializers.GlorotUniform(self.seed + 100)
        mean = layers.Dense(self.latent_dim, kernel_initializer=start, name="mean")(x)
        log_var = log_variance(x, layers.Dense(self.latent_dim, **bounded_start(linear=linear)), linear=linear)
        if linear:
            path = Components(Patches(self.input_shape), self.latent_dim, self.seed + 200, decode=False)
            mean = layers.Add(name="sum")([path(standard), mean])
        return keras.Model(features, [mean, log_var], name="encoder")

    def _decoder(self) -> keras.Model:
        """Build the network from latents (n, d) to items (n, *input_shape)."""
        z = x = keras.Input((self.latent_dim,), name="z")
        for i, width in enumerate(reversed(self.widths)):
            start = keras.initializers.HeNormal(self.seed + 1000 + i)
            x = layers.Dense(width, swish, kernel_initializer=start, name=f"dense_{i}")(x)
        # The output starts at zero beside a linear path, or near zero, which is the mean item.
        start = keras.initializers.RandomNormal(0, 0.0 if self.linear_start else 0.02, self.seed + 1100)
        x = layers.Dense(math.prod(self.input_shape), kernel_initializer=start, name="output")(x)
        x = layers.Reshape(self.input_shape, name="shape")(x)
        if self.linear_start:
            path = Components(Patches(self.input_shape), self.latent_dim, self.seed + 1200, decode=True)
            x = layers.Add(name="sum")([path(z), x])
        return keras.Model(z, self.restored(x), name="decoder")
