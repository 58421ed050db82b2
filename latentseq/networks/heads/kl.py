"""Divergence from the encoder's posterior."""

from typing import Any, ClassVar

import numpy as np
from keras import ops

from latentseq.networks import densities
from latentseq.networks.heads.head import Head, from_scale, to_scale


class KL(Head):
    """KL(posterior of the encoder ‖ forecast). The forecast is a normal distribution with diagonal covariance."""

    name: ClassVar[str] = "kl"
    needs_posterior: ClassVar[bool] = True

    @property
    def width(self) -> int:
        """A location and a raw scale for each channel."""
        return 2 * self.d

    @property
    def noise_width(self) -> int:
        """One normal variate for each channel."""
        return self.d

    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """Divergence in nats."""
        posterior = densities.normal(mean, ops.exp(0.5 * log_var))
        return densities.kl_divergence(posterior, densities.normal(*self._split(outputs, base)))

    def log_prob(self, outputs: Any, base: Any, z: Any, spread: Any) -> Any:
        """See ``Head.log_prob``."""
        return densities.normal(*self._split(outputs, base)).log_prob(z)

    def mean(self, outputs: Any, base: Any) -> Any:
        """See ``Head.mean``."""
        return self._split(outputs, base)[0]

    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """See ``Head.draw``."""
        loc, scale = self._split(outputs, base)
        return loc + scale * noise

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Normal variates times sqrt(temperature)."""
        return rng.standard_normal((*shape, self.d), np.float32) * np.float32(temperature**0.5)

    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.first_bias``."""
        return np.concatenate([np.zeros(self.d), from_scale(scale)])

    def units(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.units``."""
        return np.concatenate([scale, np.ones(self.d)])

    def _split(self, outputs: Any, base: Any) -> tuple[Any, Any]:
        return base + outputs[..., : self.d], to_scale(outputs[..., self.d :])
