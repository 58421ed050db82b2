"""Promises of decoders: K1 to K6, in addition to C1 to C9."""

from functools import partial

import numpy as np

from latentseq.arrays import Source
from latentseq.errors import DataError
from latentseq.protocols import Decoder
from latentseq.testing.common import (
    frozen,
    promise,
    require,
    require_array,
    require_close,
    require_error,
    require_same,
)
from latentseq.testing.configured import PluginPromises
from latentseq.testing.generated import TRAIN, blobs, generated

MANY = 300
"""Number of latents in a large batch."""


class DecoderPromises(PluginPromises[Decoder]):
    """The kit for decoders: derive a class ``Test…`` from it and implement ``make``."""

    def source(self, model: Decoder) -> Source:
        """Blobs and their latents."""
        return generated(lambda rows: {"z": self._z(model, rows), "x": _x(model, rows)})

    def latents(self, decoder: Decoder, n: int = 8) -> np.ndarray:
        """New (n, *latent_shape) float32 latents that are not in the training data."""
        return self._z(decoder, TRAIN + np.arange(n) % 32)

    def answers(self, model: Decoder) -> dict[str, np.ndarray]:
        """Frames from latents like those in training, and from latents with a wider spread."""
        return {"frames": model.decode(self.latents(model)), "wide": model.decode(_wide(model))}

    @promise
    def test_k01_decode(self) -> None:
        """K1: decode returns (n, *output_shape), float32, finite and in [0, 1], for any latents."""
        for what, array in self.answers(self.trained()).items():
            shape = (8, *self.trained().output_shape)
            require_array(array, f"The result for {what!r}", shape, unit=True)

    @promise
    def test_k02_deterministic(self) -> None:
        """K2: decode is deterministic: the same latents give the same bytes."""
        model = self.trained()
        require_same(model.decode(self.latents(model)), model.decode(self.latents(model)), "Two results")

    @promise
    def test_k03_row_by_row(self) -> None:
        """K3: decode is row by row: the frame of a latent does not depend on its batch, be it of 1 or of 300."""
        model, z = self.trained(), self.latents(self.trained(), MANY)
        whole = model.decode(z)
        require(whole.shape == (MANY, *model.output_shape), f"{MANY} latents are decoded to shape {whole.shape}.")
        for n in (1, 3):
            part = model.decode(z[:n].copy())
            require_close(part, whole[:n], f"The first {n} decoded alone and in a batch", self.tolerance)

    @promise
    def test_k04_other_latents(self) -> None:
        """K4: decode raises a DataError for latents of another shape or dtype."""
        model, z = self.instance(), self.latents(self.instance())
        wrong = {
            "A wider latent": np.concatenate([z, z], axis=-1),
            "A latent without a batch axis": z[0],
            "A batch of int64": z.astype(np.int64),
        }
        for what, latents in wrong.items():
            require_error((DataError,), partial(model.decode, latents), f"{what}, of shape {latents.shape},")

    @promise
    def test_k05_fit(self) -> None:
        """K5: fit returns a History, and lowers the error on held-out latents."""
        self.require_history()
        z, x = self.latents(self.instance(), 32), _x(self.instance(), TRAIN + np.arange(32))
        before, after = (float(np.mean((m.decode(z.copy()) - x) ** 2)) for m in (self.instance(), self.trained()))
        require(after < before, f"The mean squared error was {before:.4g} before training and is {after:.4g} after.")

    @promise
    def test_k06_input_is_left_alone(self) -> None:
        """K6: decode does not change its input, and accepts a read-only array."""
        model = self.trained()
        model.decode(frozen(self.latents(model)))

    def _z(self, decoder: Decoder, rows: np.ndarray) -> np.ndarray:
        """A fixed linear code of the blobs, with its own mean and scale."""
        x, shape = _x(decoder, rows), tuple(decoder.latent_shape)
        x = x.reshape(len(x), -1)
        code = np.random.default_rng(3).normal(size=(x.shape[1], int(np.prod(shape)))) / np.sqrt(x.shape[1])
        return (5 + 20 * (x @ code)).astype(np.float32).reshape(-1, *shape)


def _x(decoder: Decoder, rows: np.ndarray) -> np.ndarray:
    return blobs(rows, 1, tuple(decoder.output_shape))[:, 0]


def _wide(decoder: Decoder) -> np.ndarray:
    """Latents (8, *latent_shape) unlike those in training."""
    return np.random.default_rng(5).normal(scale=30, size=(8, *decoder.latent_shape)).astype(np.float32)
