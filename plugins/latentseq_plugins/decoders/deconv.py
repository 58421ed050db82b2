"""A decoder of transposed convolutions."""

from typing import ClassVar

import keras
import numpy as np

from latentseq.arrays import Source, as_items
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.plugin import KerasPlugin, in_chunks
from latentseq.protocols import Decoder, History, Trainer
from latentseq_plugins.convolutions import SquaredErrorNetwork, decoder_network, padding
from latentseq_plugins.features import Scaling, statistics


class Deconv(KerasPlugin, Decoder):
    """Latents or features back to frames, trained on squared error.

    What it decodes is standardised by statistics of the training items, which are kept among the weights.

    References:
        Zeiler et al., Deconvolutional Networks, 2010.
    """

    name = "deconv"
    description = "Transposed convolutions: a vector, or a map of features, to frames."
    presets: ClassVar[Presets] = {"tiny": {"widths": [4, 8, 8]}, "cpu": {}, "gpu": {"widths": [64, 128, 256]}}

    def __init__(
        self,
        latent_shape: list[int],
        output_shape: list[int],
        widths: list[int] = (32, 64, 128),  # type: ignore[assignment]
        seed: int = 0,
    ):
        """Build the network.

        Args:
            latent_shape: (d,), or (h', w', d) of a map.
            output_shape: (h, w, c) of a frame; any size.
            widths: channels of each layer, the largest picture's first, as those of the encoders; every layer doubles
                the resolution.
            seed: of the initial weights.

        Raises:
            UsageError: an option out of its range, or a map that is not doubled to the frame.
        """
        if len(output_shape) != 3 or min(output_shape) < 1:
            raise UsageError(
                f"deconv: output_shape is {list(output_shape)}; expected (height, width, channels) of frames."
            )
        if len(latent_shape) not in (1, 3) or min(latent_shape) < 1:
            raise UsageError(
                f"deconv: latent_shape is {list(latent_shape)}; expected (d,) of a vector or (height, width, "
                "channels) of a map."
            )
        if not widths or min(widths) < 1:
            raise UsageError(f"deconv: widths is {list(widths)}; expected at least one width, each 1 or more.")
        self.latent_shape, self.output_shape = tuple(latent_shape), tuple(output_shape)
        self.widths, self.seed = tuple(widths), seed
        if len(latent_shape) == 3:
            self._check_map()
        self.standard = Scaling(name="standard")
        z = keras.Input(self.latent_shape, name="z")
        inner = decoder_network(self.latent_shape, self.output_shape, self.widths, seed)
        self.decoder = keras.Model(z, inner(self.standard(z)), name="decoder")
        self.network = SquaredErrorNetwork("deconv", [self.decoder], given="z")

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The decoder."""
        return {"decoder": self.decoder}

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Decoder.fit``."""
        self.standard.standardise(statistics(source.train, "z"))
        return trainer.fit(self.network, source, batch_size=32, learning_rate=2e-3)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Decoder.decode``; in [0, 1]."""
        frames = in_chunks(self.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0]
        return np.clip(frames, 0, 1)

    def _check_map(self) -> None:
        """Refuse a map whose positions are not those of the smallest layer."""
        sizes = [padding(self.output_shape, [1] * n)[2] for n in range(1, 12)]
        h, w = self.latent_shape[:2]
        if sizes[len(self.widths) - 1] == (h, w):
            return
        fitting = [n for n, size in enumerate(sizes, 1) if size == (h, w)]
        what_fits = (
            f"Give it {fitting[0]} widths."
            if fitting
            else f"Maps that fit these widths are of {' x '.join(map(str, sizes[len(self.widths) - 1]))} positions."
        )
        raise UsageError(
            f"deconv: a map of {h} x {w} positions is not what {len(self.widths)} layers double to frames of "
            f"{self.output_shape[0]} x {self.output_shape[1]}. {what_fits}"
        )
