"""What every head has: a width, a loss, a density, and a way to draw from it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from latentseq.configurable import Configurable

MIN_SCALE = 0.01
"""Smallest standard deviation, in standardised units. It bounds the likelihood of a dimension that does not move."""


class Head(Configurable):
    """Says what the output of a network means: a density of the next latent, and the loss that trains it.

    A network does not know which head it has. It is asked for ``width`` outputs at each position, and the head does
    the rest. All tensors are of the Keras backend and hold standardised latents. Their last axis is the latent's, so
    vectors (..., d) and maps (..., h', w', d) are treated alike; a map has one density at each position.

    Three arguments come back in every method:

    * ``outputs`` (..., width): the output of the network.
    * ``base`` (..., d): what locations are added to. It is the last latent where the network predicts differences,
      and zero where it does not.
    * ``spread`` (d,): standard deviation of the one-step error on validation data.

    The constructor takes ``d``, the number of channels of a latent. Its other keywords are the options of the head,
    given by ``--set head.KEY=VALUE``.

    Temperature tau means the same for every head: logits are divided by tau, and scales are multiplied by sqrt(tau).
    At tau = 0 a head gives the mean of its most probable component.
    """

    description: ClassVar[str] = ""
    needs_posterior: ClassVar[bool] = False
    """Whether the loss needs the variance of the encoder's posterior."""
    squared: ClassVar[bool] = False
    """Whether the loss is a squared error. It depends on the scale of each channel, which a likelihood does not."""
    start_variance: ClassVar[float] = 0.0
    """Variance of the outputs before training, as a share of that of the features. At 0 the first forecast is the
    base; above 0 the parts of a density differ, so that they can learn different things."""
    bound: ClassVar[bool] = False
    """Whether ``log_prob`` is a lower bound of the log-likelihood. It is exact where this is False."""

    def __init__(self, d: int):
        """Set up the head for latents of d channels."""
        self.d = d

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of outputs that the head needs at each position."""

    @property
    @abstractmethod
    def noise_width(self) -> int:
        """Number of random values that one draw needs at each position; 0 where nothing is drawn."""

    @property
    def layers(self) -> Sequence[keras.layers.Layer]:
        """Keras layers that the head trains; most heads have none. They are saved with the network."""
        return ()

    @abstractmethod
    def loss(self, outputs: Any, base: Any, mean: Any, log_var: Any = None) -> Any:
        """What training minimises.

        Args:
            outputs: (..., width).
            base: (..., d).
            mean: (..., d), mean of the encoder's posterior of the next latent.
            log_var: (..., d), log variance of that posterior; None where the encoder has none.

        Returns:
            (...).
        """

    @abstractmethod
    def log_prob(self, outputs: Any, base: Any, z: Any, spread: Any) -> Any:
        """Log density in nats of latents z (..., d) -> (...)."""

    @abstractmethod
    def mean(self, outputs: Any, base: Any) -> Any:
        """(..., d), the mean of the density."""

    @abstractmethod
    def draw(self, outputs: Any, base: Any, noise: Any) -> Any:
        """(..., d), a draw from the density, computed from noise (..., noise_width); the mode where that is zero."""

    @abstractmethod
    def noise(self, rng: np.random.Generator, shape: tuple[int, ...], temperature: float) -> np.ndarray:
        """Noise for ``draw``, scaled to the temperature: (*shape, noise_width) float32; zero at temperature 0."""

    @abstractmethod
    def first_bias(self, scale: np.ndarray) -> np.ndarray:
        """(width,), outputs whose density lies around the base with standard deviation ``scale`` (d,)."""

    def units(self, scale: np.ndarray) -> np.ndarray:
        """(width,), the unit in which the network learns each output; ones by default.

        Locations that are learned in units of a usual one-step error, ``scale`` (d,), start with small steps.
        """
        return np.ones(self.width)


def to_scale(raw: Any) -> Any:
    """Raw outputs to standard deviations of at least ``MIN_SCALE``."""
    return MIN_SCALE + ops.softplus(raw)


def from_scale(scale: np.ndarray) -> np.ndarray:
    """The inverse of ``to_scale``, for standard deviations above the smallest one."""
    return np.log(np.expm1(np.maximum(scale - MIN_SCALE, MIN_SCALE)))
