"""Checks of an encoder's latents: a collapsed posterior, dead dimensions, a decoder that ignores Z."""

from collections.abc import Iterable

import numpy as np

from latentseq.protocols import Encoder

LEAST_KL = 0.01
"""KL divergence in nats, below which a dimension's posterior counts as equal to its prior."""
LEAST_VARIANCE = 1e-6
"""Share of the largest variance of any dimension, below which a dimension is dead."""
LEAST_USE = 0.01
"""Smallest relative gain in reconstruction error of an item's own latent over that of another item."""
NAMED = 8
"""Maximum number of dead dimensions that a message lists."""


def findings(encoder: Encoder, batches: Iterable[np.ndarray]) -> list[str]:
    """Look for latents that hold no information.

    A dimension of a map is one of its channels, measured at the position where it holds most information.

    Args:
        encoder: trained encoder.
        batches: batches of validation items, (n, *input_shape) float32 each.

    Returns:
        A message for each problem; an empty list if there is no problem, or if all items are equal.

    References:
        Burda et al., Importance Weighted Autoencoders, arXiv 1509.00519, appendix C (active units).
    """
    items, means, kls = _Moments(), _Moments(), _Moments()
    own = other = 0.0
    for x in batches:
        latents = encoder.encode(x)
        items.add(x)
        means.add(latents.mean)
        if latents.log_var is not None:
            mean, log_var = latents.mean.astype(np.float64), latents.log_var.astype(np.float64)
            kls.add(0.5 * (np.exp(log_var) + mean**2 - 1 - log_var))
        if len(x) > 1:
            # The other item is half a batch away, since successive frames are too similar.
            swapped = np.roll(latents.mean, len(x) // 2, axis=0)
            own += _error(encoder.decode(latents.mean), x)
            other += _error(encoder.decode(swapped), x)
    if items.n < 2 or not items.variance().max() > 0:
        return []
    d = encoder.latent_shape[-1]
    variance = means.variance().reshape(-1, d).max(axis=0)
    dead = np.flatnonzero(variance <= LEAST_VARIANCE * variance.max())
    messages = []
    if kls.n:
        kl = kls.mean().reshape(-1, d).max(axis=0)
        dead = np.flatnonzero(kl < LEAST_KL)
        if len(dead) == d:
            messages.append(
                f"The posterior collapsed: the KL divergence is below {LEAST_KL} nats in all {d} dimensions, so Z "
                "says nothing about the input. Try a lower beta, or free_bits above 0."
            )
    if not variance.max() > 0:
        dead = np.arange(d)
    if len(dead) and not (kls.n and len(dead) == d):
        why = "the posterior equals the prior" if kls.n else "the value is the same for every input"
        advice = "Use a smaller latent_dim" + (", or free_bits above 0." if kls.n else ".")
        verb = "is" if len(dead) == 1 else "are"
        messages.append(f"{len(dead)} of {d} dimensions of Z {verb} dead ({_numbers(dead)}): {why}. {advice}")
    if other > 0 and other - own < LEAST_USE * other:
        beta = ", or with a lower beta," if kls.n else ""
        messages.append(
            "The decoder ignores Z: it reconstructs an input no better from its own latent than from that of another "
            f"input. Train longer{beta} before you train a model on these latents."
        )
    return messages


class _Moments:
    """Running mean and variance over items, for each value of an item.

    References:
        Chan, Golub & LeVeque, Updating formulae and a pairwise algorithm for computing sample variances, 1979.
    """

    def __init__(self) -> None:
        self.n = 0
        self._mean = np.zeros(())
        self._squares = np.zeros(())

    def add(self, x: np.ndarray) -> None:
        n, mean, squares = len(x), x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64) * len(x)
        if self.n:
            squares = self._squares + squares + (mean - self._mean) ** 2 * self.n * n / (self.n + n)
            mean = self._mean + (mean - self._mean) * n / (self.n + n)
        self.n += n
        self._mean = mean
        self._squares = squares

    def mean(self) -> np.ndarray:
        return self._mean

    def variance(self) -> np.ndarray:
        return self._squares / self.n


def _error(reconstruction: np.ndarray, x: np.ndarray) -> float:
    return float(np.square(reconstruction.astype(np.float64) - x).sum())


def _numbers(dead: np.ndarray) -> str:
    numbers = ", ".join(map(str, dead[:NAMED]))
    return f"{numbers} and {len(dead) - NAMED} more" if len(dead) > NAMED else numbers
