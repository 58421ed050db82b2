"""What a network's output means: a width, a density, a loss, a way to draw. A network never knows which it has.

Everything here is in standardised latents, on tensors of the Keras backend; the last axis is the latent's, so a
vector (..., d) and a map (..., h', w', d) are treated alike, a map as one density a position.

``base`` is what the network's locations are added to: zeros, or the last latent where differences are predicted.
``spread`` is the standard deviation of the residual on validation data; only ``mse`` needs it.
One temperature tau, everywhere: mixture logits / tau, scale * sqrt(tau). At tau = 0 every head gives the mean of
its most probable component.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from keras import ops

from latentseq.errors import UsageError, did_you_mean, listed
from latentseq.networks import densities

MIN_SCALE = 0.01
"""Floor of a scale, in standardised units: a likelihood cannot be raised without end on a dimension that is still."""


class Head(ABC):
    """Turns outputs (..., width) into a density over latents (..., d)."""

    name: ClassVar[str]
    needs_posterior: ClassVar[bool] = False

    def __init__(self, d: int):
        """Set up for latents of d channels."""
        self.d = d

    @property
    @abstractmethod
    def width(self) -> int:
        """Outputs that it needs, for each position."""

    @property
    @abstractmethod
    def noise_width(self) -> int:
        """Numbers of noise that one draw takes, for each position; 0 where there is nothing to draw."""

    @abstractmethod
    def distribution(self, outputs: Any, base: Any, spread: Any, temperature: float = 1.0) -> Any:
        """The TFP distribution: event (d,), batch the axes before. Temperature above 0."""

    @abstractmethod
    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """(..., d) -> (...): what training lowers, for a target's mean and log variance."""

    @abstractmethod
    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """(d,), a standard deviation -> (width,), the outputs whose density is that wide around the base."""

    @abstractmethod
    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Noise for ``draw``: (*shape, noise_width) float32, already scaled to the temperature; zeros at 0."""

    @abstractmethod
    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """(..., d) from the density, a function of the noise; the mean of the most probable one where that is 0."""


class MSE(Head):
    """Squared error. Its density is a normal around the output, as wide as the residual on validation data."""

    name = "mse"

    @property
    def width(self) -> int:
        """A location."""
        return self.d

    @property
    def noise_width(self) -> int:
        """It draws its mean."""
        return 0

    def distribution(self, outputs: Any, base: Any, spread: Any, temperature: float = 1.0) -> Any:
        """See ``Head.distribution``."""
        return densities.normal(base + outputs, spread * temperature**0.5)

    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """Squared error, summed over the latent."""
        return ops.sum(ops.square(base + outputs - mean), axis=-1)

    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.first_bias``; how wide it is comes from validation data."""
        return np.zeros(self.d)

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Nothing."""
        return np.zeros((*shape, 0), np.float32)

    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """The mean."""
        return base + outputs


class KL(Head):
    """KL(the encoder's posterior ‖ forecast), the forecast a normal with diagonal covariance."""

    name = "kl"
    needs_posterior = True

    @property
    def width(self) -> int:
        """A location and a raw scale."""
        return 2 * self.d

    @property
    def noise_width(self) -> int:
        """A normal a dimension."""
        return self.d

    def distribution(self, outputs: Any, base: Any, spread: Any, temperature: float = 1.0) -> Any:
        """See ``Head.distribution``."""
        loc, scale = self._split(outputs, base)
        return densities.normal(loc, scale * temperature**0.5)

    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """Nats."""
        posterior = densities.normal(mean, ops.exp(0.5 * log_var))
        return densities.kl_divergence(posterior, densities.normal(*self._split(outputs, base)))

    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.first_bias``."""
        return np.concatenate([np.zeros(self.d), _raw(scale)])

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Normals."""
        return rng.standard_normal((*shape, self.d), np.float32) * np.float32(temperature**0.5)

    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """See ``Head.draw``."""
        loc, scale = self._split(outputs, base)
        return loc + scale * noise

    def _split(self, outputs: Any, base: Any) -> tuple[Any, Any]:
        return base + outputs[..., : self.d], _scale(outputs[..., self.d :])


class Mixture(Head):
    """A mixture of k normals with diagonal covariance, joint over the latent: several futures at once."""

    name = "mixture"

    def __init__(self, d: int, k: int = 5):
        """Set up for latents of d channels and k components."""
        super().__init__(d)
        self.k = k

    @property
    def width(self) -> int:
        """k logits, k locations, k raw scales."""
        return self.k * (1 + 2 * self.d)

    @property
    def noise_width(self) -> int:
        """A Gumbel variate a component, to choose one; a normal a dimension."""
        return self.k + self.d

    def distribution(self, outputs: Any, base: Any, spread: Any, temperature: float = 1.0) -> Any:
        """See ``Head.distribution``."""
        logits, loc, scale = self._split(outputs, base)
        return densities.mixture(logits / temperature, loc, scale * temperature**0.5)

    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """Negative log likelihood of the mean, nats."""
        return -self.distribution(outputs, base, None).log_prob(mean)

    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """See ``Head.first_bias``."""
        return np.concatenate([np.zeros(self.k), *[np.zeros(self.d), _raw(scale)] * self.k])

    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Gumbel variates times tau: argmax(logits + tau g) draws from logits / tau (the Gumbel-max trick)."""
        tau = np.float32(temperature)
        choice, place = rng.spawn(2)  # A stream each, so that more rows leave the first ones as they are.
        gumbel = choice.gumbel(size=(*shape, self.k)).astype(np.float32) * tau
        return np.concatenate([gumbel, place.standard_normal((*shape, self.d), np.float32) * np.sqrt(tau)], axis=-1)

    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """See ``Head.draw``."""
        logits, loc, scale = self._split(outputs, base)
        chosen = ops.one_hot(ops.argmax(logits + noise[..., : self.k], axis=-1), self.k, dtype=loc.dtype)[..., None]
        return ops.sum(chosen * loc, axis=-2) + ops.sum(chosen * scale, axis=-2) * noise[..., self.k :]

    def _split(self, outputs: Any, base: Any) -> tuple[Any, Any, Any]:
        logits, rest = outputs[..., : self.k], outputs[..., self.k :]
        both = ops.reshape(rest, (*ops.shape(rest)[:-1], self.k, 2 * self.d))
        return logits, base[..., None, :] + both[..., : self.d], _scale(both[..., self.d :])


HEADS: dict[str, type[Head]] = {head.name: head for head in (MSE, KL, Mixture)}


def make_head(name: str, d: int, components: int) -> Head:
    """The head of a name.

    Args:
        name: mse, kl or mixture.
        d: channels of a latent.
        components: of a mixture.

    Raises:
        UsageError: no such head, or no component.
    """
    if name not in HEADS:
        raise UsageError(f"No head is called {name!r}. {did_you_mean(name, HEADS)}Heads: {listed(HEADS)}.")
    if components < 1:
        raise UsageError(f"components is {components}; expected 1 or more.")
    return Mixture(d, components) if name == "mixture" else HEADS[name](d)


def check_posterior(head: Head, has_posterior: bool) -> None:
    """Refuse a head that needs what the encoder does not give.

    Raises:
        UsageError: the head needs a posterior and there is none.
    """
    if head.needs_posterior and not has_posterior:
        fitting = listed(name for name, kind in HEADS.items() if not kind.needs_posterior)
        raise UsageError(
            f"The head {head.name!r} needs the encoder's posterior, and this encoder gives a mean only. "
            f"Heads that work with it: {fitting}."
        )


def _scale(raw: Any) -> Any:
    return MIN_SCALE + ops.softplus(raw)


def _raw(scale: np.ndarray) -> np.ndarray:
    """What ``_scale`` makes ``scale`` of, for those above the floor."""
    return np.log(np.expm1(np.maximum(scale - MIN_SCALE, MIN_SCALE)))
