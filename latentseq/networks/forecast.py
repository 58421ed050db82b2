"""The forecast of a dynamics model whose network has a head."""

from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from latentseq.arrays import check_rolling
from latentseq.networks.heads.head import Head
from latentseq.protocols import Forecast


class HeadForecast(Forecast):
    """Densities computed from a head's outputs in standardised latents, given in the encoder's own units."""

    def __init__(
        self, head: Head, outputs: np.ndarray, base: np.ndarray, *, spread: Any, offset: np.ndarray, scale: np.ndarray
    ):
        """Keep what the densities are computed from.

        Args:
            head: what the outputs mean.
            outputs: (b, t, ..., width).
            base: (b, t, *latent_shape), the latents that locations are added to, standardised.
            spread: (*latent_shape), standard deviation of the error on validation data, standardised.
            offset: (*latent_shape), subtracted from a latent to standardise it.
            scale: (*latent_shape), divides the difference.
        """
        self.bound = head.bound
        self._head = head
        self._outputs = outputs
        self._base = base
        self._spread = spread
        self._offset = offset
        self._scale = scale

    @cached_property
    def mean(self) -> np.ndarray:  # type: ignore[override]
        """(b, t, *latent_shape) float32."""
        return ops.convert_to_numpy(self._head.mean(self._outputs, self._base)) * self._scale + self._offset

    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """See ``Forecast.log_prob``."""
        standard = ((z - self._offset) / self._scale).astype(np.float32)
        log_prob = ops.convert_to_numpy(self._head.log_prob(self._outputs, self._base, standard, self._spread))
        return log_prob.reshape(*z.shape[:2], -1).sum(-1) - np.log(self._scale).sum()

    def sample(self, n: int, *, seed: int, temperature: float = 1.0) -> np.ndarray:
        """See ``Forecast.sample``."""
        check_rolling(samples=n, seed=seed, temperature=temperature)
        b, *rest = self._base.shape[:-1]
        noise = self._head.noise(np.random.default_rng(seed), (b, n, *rest), temperature)
        draws = self._head.draw(self._outputs[:, None], self._base[:, None], noise)
        draws = np.broadcast_to(ops.convert_to_numpy(draws), (b, n, *self._base.shape[1:]))
        return draws * self._scale + self._offset
