"""Squared error."""

from typing import Any, ClassVar

import numpy as np
from keras import ops

from latentseq.networks import densities
from latentseq.networks.heads.head import Head


class MSE(Head):
    """Squared error. The density is a normal around the output, as wide as the error on validation data."""

    name: ClassVar[str] = "mse"
    squared: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """One location for each channel."""
        return self.d

    @property
    def noise_width(self) -> int:
        """0: a draw is the mean."""
        return 0

    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """Squared error, summed over the latent."""
        return ops.sum(ops.square(base + outputs - mean), axis=-1)

    def log_prob(self, outputs: Any, base: Any, z: Any, spread: Any) -> Any:
        """See ``Head.log_prob``."""
        return densities.normal(base + outputs, spread).log_prob(z)

    def mean(self, outputs: Any, base: Any) -> Any:
        """See ``Head.mean``."""
        return base + outputs

    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """The mean."""
        return base + outputs

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """An array without channels."""
        return np.zeros((*shape, 0), np.float32)

    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """Zero; the width of the density comes from validation data."""
        return np.zeros(self.d)

    def units(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.units``."""
        return scale
