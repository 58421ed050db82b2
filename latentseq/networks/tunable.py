"""Encoders and dynamics that can be trained together, on the error of the frames that they imagine."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import keras

from latentseq.arrays import Batch, Source
from latentseq.networks.plugin import KerasPlugin
from latentseq.protocols import Dynamics, Encoder


class TunableEncoder(KerasPlugin, Encoder):
    """An encoder whose ``networks`` are called ``encoder`` and ``decoder``.

    The first maps items to their mean, or to mean and log variance. The second maps latents back to items.
    """

    @property
    def augmentation(self) -> Sequence[keras.layers.Layer]:
        """Layers that change frames (n, h, w, c) at random in training; none by default."""
        return ()


class TunableDynamics(KerasPlugin, Dynamics):
    """Dynamics with one network, through which gradients flow from imagined latents back to true ones."""

    network: keras.Model
    """The network that is trained."""

    @abstractmethod
    def burn_in(self, length: int) -> int:
        """Number of true items at the start of a training window; the items after them are imagined."""

    @abstractmethod
    def forecasts(self, batch: Batch, skip: int, training: bool) -> Any:
        """Forecasts at temperature 0, as a tensor.

        Args:
            batch: ``mean`` (b, t, *latent_shape) in the encoder's units, and the conditions (b, t, f). Items after
                the first ``burn_in(t)`` are not looked at.
            skip: number of forecasts at the start that are not computed.
            training: whether noise and dropout are on.

        Returns:
            (b, t - 1 - skip, *latent_shape), forecasts of items ``1 + skip``.. in the encoder's units.
        """

    @abstractmethod
    def calibrate(self, latents: Source) -> None:
        """Measure what is not trained by gradients, on windows of ``mean`` and the conditions, after training."""
