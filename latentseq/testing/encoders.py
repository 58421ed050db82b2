"""Promises of encoders: E1 to E13, in addition to C1 to C9."""

from functools import partial

import numpy as np

from latentseq.arrays import Source
from latentseq.errors import DataError
from latentseq.protocols import Encoder
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
from latentseq.testing.generated import TRAIN, blobs, generated, waves

MANY = 300
"""Number of items in a large batch."""


class EncoderPromises(PluginPromises[Encoder]):
    """The kit for encoders: derive a class ``Test…`` from it and implement ``make``."""

    def is_frames(self, encoder: Encoder) -> bool:
        """Whether the input is frames (h, w, 1 or 3) in [0, 1]; override this for maps of 1 or 3 features."""
        return len(encoder.input_shape) == 3 and encoder.input_shape[-1] in (1, 3)

    def items(self, encoder: Encoder, n: int = 8) -> np.ndarray:
        """New (n, *input_shape) float32 items that are not in the training data."""
        return self._items(encoder, TRAIN + np.arange(n) % 32)

    def source(self, model: Encoder) -> Source:
        """Blobs, or waves if the input is features."""
        return generated(lambda rows: {"x": self._items(model, rows)})

    def answers(self, model: Encoder) -> dict[str, np.ndarray]:
        """Means, log variances if there are any, and decoded latents."""
        latents = model.encode(self.items(model))
        log_var = {} if latents.log_var is None else {"log_var": latents.log_var}
        return {"mean": latents.mean, **log_var, "decode": model.decode(self._wide(model))}

    @promise
    def test_e01_latent_shape(self) -> None:
        """E1: latent_shape is (d,) or (h', w', d), and is the same before and after training."""
        before, after = self.instance().latent_shape, self.trained().latent_shape
        valid = isinstance(before, tuple) and len(before) in (1, 3) and all(type(n) is int and n > 0 for n in before)
        require(valid, f"latent_shape is {before!r}; expected a tuple of 1 or 3 positive ints.")
        require(before == after, f"latent_shape is {before} before training and {after} after it.")

    @promise
    def test_e02_mean(self) -> None:
        """E2: encode returns a mean (n, *latent_shape), float32 and finite."""
        model = self.trained()
        require_array(model.encode(self.items(model)).mean, "The mean", (8, *model.latent_shape))

    @promise
    def test_e03_log_var(self) -> None:
        """E3: encode returns a log_var that is None, or has the shape of the mean and is float32 and finite."""
        model = self.trained()
        log_var = model.encode(self.items(model)).log_var
        if log_var is not None:
            require_array(log_var, "log_var", (8, *model.latent_shape))

    @promise
    def test_e04_deterministic(self) -> None:
        """E4: encode and decode are deterministic: the same input gives the same bytes."""
        first, second = self.answers(self.trained()), self.answers(self.trained())
        for what, array in first.items():
            require_same(second[what], array, f"Two results for {what!r}")

    @promise
    def test_e05_encode_row_by_row(self) -> None:
        """E5: encode is row by row: the latent of an item does not depend on the rest of its batch."""
        model = self.trained()
        whole, part = model.encode(self.items(model)), model.encode(self.items(model)[:3])
        require_close(part.mean, whole.mean[:3], "The means of rows 0 to 2 alone and in a batch", self.tolerance)
        if whole.log_var is not None and part.log_var is not None:
            require_close(
                part.log_var, whole.log_var[:3], "log_var of rows 0 to 2 alone and in a batch", self.tolerance
            )

    @promise
    def test_e06_decode(self) -> None:
        """E6: decode returns (n, *input_shape), float32 and finite, and in [0, 1] for frames, for any latents."""
        model = self.trained()
        decoded = model.decode(self._wide(model))
        require_array(decoded, "The result of decode", (8, *model.input_shape), unit=self.is_frames(model))

    @promise
    def test_e07_decode_row_by_row(self) -> None:
        """E7: decode is row by row: the result for a latent does not depend on the rest of its batch."""
        model = self.trained()
        whole, part = model.decode(self._wide(model)), model.decode(self._wide(model)[:3])
        require_close(part, whole[:3], "Rows 0 to 2 decoded alone and in a batch", self.tolerance)

    @promise
    def test_e08_one_and_many(self) -> None:
        """E8: encode and decode accept a batch of one item and a batch of 300."""
        model = self.trained()
        for n in (1, MANY):
            mean = model.encode(self.items(model, n)).mean
            require(mean.shape == (n, *model.latent_shape), f"{n} items are encoded to shape {mean.shape}.")
            decoded = model.decode(mean.copy()).shape
            require(decoded == (n, *model.input_shape), f"{n} latents are decoded to shape {decoded}.")

    @promise
    def test_e09_other_items(self) -> None:
        """E9: encode raises a DataError for items of another shape or dtype."""
        model, x = self.instance(), self.items(self.instance())
        wrong = {
            "A wider item": np.concatenate([x, x], axis=1),
            "An item without a batch axis": x[0],
            "A batch of int64": x.astype(np.int64),
        }
        for what, items in wrong.items():
            require_error((DataError,), partial(model.encode, items), f"{what}, of shape {items.shape},")

    @promise
    def test_e10_untrained(self) -> None:
        """E10: An untrained encoder also encodes and decodes, with finite values of the same shapes."""
        model = self.instance()
        mean, decoded = model.encode(self.items(model)).mean, model.decode(self._wide(model))
        require(mean.shape == (8, *model.latent_shape), f"8 items are encoded to shape {mean.shape}.")
        require(decoded.shape == (8, *model.input_shape), f"8 latents are decoded to shape {decoded.shape}.")
        require(bool(np.isfinite(mean).all() and np.isfinite(decoded).all()), "Some values are not finite.")

    @promise
    def test_e11_fit(self) -> None:
        """E11: fit returns a History, and lowers the reconstruction error on held-out items."""
        self.require_history()
        before, after = (self._error(model) for model in (self.instance(), self.trained()))
        require(after < before, f"The mean squared error was {before:.4g} before training and is {after:.4g} after.")

    @promise
    def test_e12_input_is_left_alone(self) -> None:
        """E12: encode and decode do not change their input, and accept read-only arrays."""
        model = self.trained()
        model.encode(frozen(self.items(model)))
        model.decode(frozen(self._wide(model)))

    @promise
    def test_e13_channel_gain(self) -> None:
        """E13: channel_gain is None, or (d,) finite numbers of 0 or more that are not all 0."""
        model = self.trained()
        gain = model.channel_gain
        if gain is not None:
            shape = np.shape(gain)
            require(
                shape == (model.latent_shape[-1],), f"It has shape {shape}; expected ({model.latent_shape[-1]},)."
            )
            require(bool(np.isfinite(gain).all()), "Some gains are not finite.")
            require(bool(np.min(gain) >= 0 and np.max(gain) > 0), f"Gains are {np.min(gain):g} to {np.max(gain):g}.")

    def _items(self, encoder: Encoder, rows: np.ndarray) -> np.ndarray:
        shape = tuple(encoder.input_shape)
        return (blobs if self.is_frames(encoder) else waves)(rows, 1, shape)[:, 0]

    def _wide(self, encoder: Encoder) -> np.ndarray:
        """Latents (8, *latent_shape) with a wider spread than those of an encoder."""
        return np.random.default_rng(5).normal(scale=3, size=(8, *encoder.latent_shape)).astype(np.float32)

    def _error(self, encoder: Encoder) -> float:
        decoded = encoder.decode(encoder.encode(self.items(encoder, 32)).mean.copy())
        return float(np.mean((decoded - self.items(encoder, 32)) ** 2))
