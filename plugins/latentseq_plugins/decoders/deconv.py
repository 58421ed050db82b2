"""A decoder of transposed convolutions."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np

from latentseq.arrays import Source, as_items
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.plugin import KerasPlugin, in_chunks
from latentseq.protocols import Decoder, History, Trainer
from latentseq_plugins.convolutions import SquaredErrorNetwork, decoder_network, padding
from latentseq_plugins.features import Scaling, statistics
from latentseq_plugins.linear_path import start_from_regression


class Deconv(KerasPlugin, Decoder):
    """Decodes latents or features to frames, trained on squared error.

    The input is standardised by statistics of the training items, which are saved with the weights.

    References:
        Zeiler et al., Deconvolutional Networks, 2010.
    """

    name = "deconv"
    description = "Transposed convolutions: a vector, or a map of features, to frames."
    presets: ClassVar[Presets] = {"tiny": {"widths": [4, 8, 8]}, "cpu": {}, "gpu": {"widths": [64, 128, 256]}}
    earlier: ClassVar[Mapping[str, Any]] = {"linear_start": False}

    def __init__(
        self,
        latent_shape: list[int],
        output_shape: list[int],
        widths: list[int] = (32, 64, 128),  # type: ignore[assignment]
        linear_start: bool = True,
        seed: int = 0,
    ):
        """Build the network.

        Args:
            latent_shape: (d,) for a vector, or (h', w', d) for a map.
            output_shape: frame shape (h, w, c); any size.
            widths: channels of each layer, from the highest resolution to the lowest, in the same order as in the
                encoders; every layer doubles the resolution.
            linear_start: begin as the linear regression of frames on their latents, which is fitted in closed form.
                The network starts at zero beside it and learns what is not linear.
            seed: random seed of the initial weights.

        Raises:
            UsageError: an option is out of range, or the size of the map does not fit the frame.
        """
        if len(output_shape) != 3 or min(output_shape) < 1:
            raise UsageError(
                f"deconv: output_shape is {list(output_shape)}; expected (height, width, channels) of frames."
            )
        if len(latent_shape) not in (1, 3) or min(latent_shape) < 1:
            raise UsageError(
                f"deconv: latent_shape is {list(latent_shape)}; expected (d,) for a vector or (height, width, "
                "channels) for a map."
            )
        if not widths or min(widths) < 1:
            raise UsageError(f"deconv: widths is {list(widths)}; expected at least one width, each 1 or more.")
        self.latent_shape = tuple(latent_shape)
        self.output_shape = tuple(output_shape)
        self.widths = tuple(widths)
        self.linear_start = linear_start
        self.seed = seed
        if len(latent_shape) == 3:
            self._check_map()
        self.standard = Scaling(name="standard")
        z = keras.Input(self.latent_shape, name="z")
        inner = decoder_network(self.latent_shape, self.output_shape, self.widths, seed, linear=linear_start)
        self.inner = inner
        self.decoder = keras.Model(z, inner(self.standard(z)), name="decoder")
        self.network = SquaredErrorNetwork("deconv", [self.decoder], source="z")

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The decoder."""
        return {"decoder": self.decoder}

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Decoder.fit``."""
        self.standard.standardise(statistics(source.train, "z"))
        if self.linear_start:
            start_from_regression(self.inner, source, trainer, lambda z: self.standard(z))
        return trainer.fit(self.network, source, batch_size=32, learning_rate=2e-3)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Decoder.decode``; in [0, 1]."""
        frames = in_chunks(self.decoder.predict_on_batch, as_items(z, self.latent_shape, "z"))[0]
        return np.clip(frames, 0, 1)

    def _check_map(self) -> None:
        """Check that the map has the positions of the smallest layer."""
        sizes = [padding(self.output_shape, [1] * n)[2] for n in range(1, 12)]
        expected, (h, w) = sizes[len(self.widths) - 1], self.latent_shape[:2]
        if expected == (h, w):
            return
        numbers = [n for n, size in enumerate(sizes, 1) if size == (h, w)]
        advice = f"Use {_widths(numbers[0])} for this map." if numbers else "Use a map of that size, or other widths."
        verb = "needs" if len(self.widths) == 1 else "need"
        raise UsageError(
            f"deconv: {_widths(len(self.widths))} {verb} a map of {expected[0]} x {expected[1]} positions for frames "
            f"of {self.output_shape[0]} x {self.output_shape[1]}; the map has {h} x {w}. {advice}"
        )


def _widths(n: int) -> str:
    return f"{n} {'width' if n == 1 else 'widths'}"
