"""What is wrong with an encoder's latents, in plain words: a collapsed posterior, dead dimensions, an unused Z."""

from collections.abc import Iterable

import numpy as np

from latentseq.protocols import Encoder

LEAST_KL = 0.01
"""Nats below which a dimension's posterior is its prior."""
LEAST_VARIANCE = 1e-6
"""Share of the largest variance of a dimension, below which one is dead."""
LEAST_USE = 0.01
"""Share of the error that another item's latent makes, by which an item's own has to be better."""
NAMED = 8
"""Dimensions that are named, at most."""


def findings(encoder: Encoder, batches: Iterable[np.ndarray]) -> list[str]:
    """Look for latents that say nothing.

    A dimension of a map is one of its channels, at the position where it says most.

    Args:
        encoder: trained.
        batches: validation items, (n, *input_shape) float32 each.

    Returns:
        A sentence or two for everything that was found; none where nothing is wrong, or all items are the same.

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
            # Half a batch away: frames that follow each other would be too much alike.
            swapped = np.roll(latents.mean, len(x) // 2, axis=0)
            own += _error(encoder.decode(latents.mean), x)
            other += _error(encoder.decode(swapped), x)
    if items.n < 2 or not items.variance().max() > 0:
        return []
    d = encoder.latent_shape[-1]
    variance = means.variance().reshape(-1, d).max(axis=0)
    dead = np.flatnonzero(variance <= LEAST_VARIANCE * variance.max())
    said = []
    if kls.n:
        kl = kls.mean().reshape(-1, d).max(axis=0)
        dead = np.flatnonzero(kl < LEAST_KL)
        if len(dead) == d:
            said.append(
                f"The posterior collapsed: the KL divergence is below {LEAST_KL} nats in all {d} dimensions, so Z "
                "says nothing about the input. Try a lower beta, or free_bits above 0."
            )
    if not variance.max() > 0:
        dead = np.arange(d)
    if len(dead) and not (kls.n and len(dead) == d):
        why = "their posterior is the prior" if kls.n else "they are the same for every input"
        advice = "A smaller latent_dim would do" + (
            ", and free_bits above 0 would put them to use." if kls.n else "."
        )
        said.append(f"{len(dead)} of {d} dimensions of Z are dead ({_numbers(dead)}): {why}. {advice}")
    if other > 0 and other - own < LEAST_USE * other:
        beta = ", or with a lower beta," if kls.n else ""
        said.append(
            "The decoder ignores Z: it reconstructs an input no better from its own latent than from another "
            f"input's. Train longer{beta} before anything is trained on these latents."
        )
    return said


class _Moments:
    """Mean and variance over all items that were added, for each value of an item."""

    def __init__(self) -> None:
        self.n, self._mean, self._squares = 0, np.zeros(()), np.zeros(())

    def add(self, x: np.ndarray) -> None:
        n, mean, moved = len(x), x.mean(axis=0, dtype=np.float64), x.var(axis=0, dtype=np.float64) * len(x)
        if self.n:
            # Chan et al., 1979.
            moved = self._squares + moved + (mean - self._mean) ** 2 * self.n * n / (self.n + n)
            mean = self._mean + (mean - self._mean) * n / (self.n + n)
        self.n, self._mean, self._squares = self.n + n, mean, moved

    def mean(self) -> np.ndarray:
        return self._mean

    def variance(self) -> np.ndarray:
        return self._squares / self.n


def _error(made: np.ndarray, x: np.ndarray) -> float:
    return float(np.square(made.astype(np.float64) - x).sum())


def _numbers(dead: np.ndarray) -> str:
    shown = ", ".join(map(str, dead[:NAMED]))
    return f"{shown} and {len(dead) - NAMED} more" if len(dead) > NAMED else shown
