"""A Laplace distribution: heavier tails than a normal distribution."""

from typing import Any, ClassVar

import numpy as np
from keras import ops

from latentseq.networks.heads.head import Head, from_scale, to_scale


class Laplace(Head):
    """A location and a scale for each channel. The loss is the negative log-likelihood."""

    name: ClassVar[str] = "laplace"

    @property
    def width(self) -> int:
        """Two outputs for each channel."""
        return 2 * self.d

    @property
    def noise_width(self) -> int:
        """One Laplace variate for each channel."""
        return self.d

    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """Negative log-likelihood in nats."""
        return -self.log_prob(outputs, base, mean, None)

    def log_prob(self, outputs: Any, base: Any, z: Any, spread: Any) -> Any:
        """Sum over the channels of -|z - location| / scale - log(2 scale)."""
        scale = to_scale(outputs[..., self.d :])
        distance = ops.abs(z - self.mean(outputs, base)) / scale
        return -ops.sum(distance + ops.log(2 * scale), axis=-1)

    def mean(self, outputs: Any, base: Any) -> Any:
        """The locations."""
        return base + outputs[..., : self.d]

    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """Location + scale * noise."""
        return self.mean(outputs, base) + to_scale(outputs[..., self.d :]) * noise

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Laplace variates times sqrt(temperature)."""
        return (rng.laplace(size=(*shape, self.d)) * temperature**0.5).astype(np.float32)

    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """Locations at the base, scales at a usual step."""
        return np.concatenate([np.zeros(self.d), from_scale(scale)])
