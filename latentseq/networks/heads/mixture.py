"""A mixture of normal distributions."""

from typing import Any, ClassVar

import numpy as np
from keras import ops

from latentseq.errors import UsageError
from latentseq.networks import densities
from latentseq.networks.heads.head import Head, from_scale, to_scale


class Mixture(Head):
    """A mixture of normal distributions with diagonal covariance, joint over the latent: several different futures.

    References:
        Bishop, Mixture Density Networks, 1994.
    """

    name: ClassVar[str] = "mixture"
    start_variance: ClassVar[float] = 0.01

    def __init__(self, d: int, components: int = 5):
        """Set up the head.

        Args:
            d: channels of a latent.
            components: number of normal distributions.

        Raises:
            UsageError: fewer than one component.
        """
        super().__init__(d)
        if components < 1:
            raise UsageError(f"The head mixture has {components} components; expected 1 or more.")
        self.components = components

    @property
    def width(self) -> int:
        """A logit, a location and a raw scale for each component."""
        return self.components * (1 + 2 * self.d)

    @property
    def noise_width(self) -> int:
        """A Gumbel variate for each component, to choose one, and a normal variate for each channel."""
        return self.components + self.d

    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """Negative log-likelihood of the mean, in nats."""
        return -self.log_prob(outputs, base, mean, None)

    def log_prob(self, outputs: Any, base: Any, z: Any, spread: Any) -> Any:
        """See ``Head.log_prob``."""
        return densities.mixture(*self._split(outputs, base)).log_prob(z)

    def mean(self, outputs: Any, base: Any) -> Any:
        """See ``Head.mean``."""
        logits, loc, _ = self._split(outputs, base)
        return ops.sum(ops.softmax(logits, axis=-1)[..., None] * loc, axis=-2)

    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """See ``Head.draw``; argmax(logits + tau g) draws from logits / tau (the Gumbel-max trick)."""
        k = self.components
        logits, loc, scale = self._split(outputs, base)
        choice = ops.one_hot(ops.argmax(logits + noise[..., :k], axis=-1), k, dtype=loc.dtype)[..., None]
        return ops.sum(choice * loc, axis=-2) + ops.sum(choice * scale, axis=-2) * noise[..., k:]

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Gumbel variates times the temperature, and normal variates times its root."""
        tau = np.float32(temperature)
        choice, place = rng.spawn(2)  # One stream each, so that more rows leave the first rows as they are.
        gumbel = choice.gumbel(size=(*shape, self.components)).astype(np.float32) * tau
        return np.concatenate([gumbel, place.standard_normal((*shape, self.d), np.float32) * np.sqrt(tau)], axis=-1)

    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.first_bias``; all components are alike."""
        k = self.components
        return np.concatenate([np.zeros(k), *[np.zeros(self.d), from_scale(scale)] * k])

    def units(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.units``."""
        return np.concatenate([np.ones(self.components), *[scale, np.ones(self.d)] * self.components])

    def _split(self, outputs: Any, base: Any) -> tuple[Any, Any, Any]:
        """Logits (..., k), locations (..., k, d) and scales (..., k, d)."""
        k = self.components
        logits, rest = outputs[..., :k], outputs[..., k:]
        both = ops.reshape(rest, (*ops.shape(rest)[:-1], k, 2 * self.d))
        return logits, base[..., None, :] + both[..., : self.d], to_scale(both[..., self.d :])
