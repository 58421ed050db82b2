"""Windows of data, their splits, and the order in which training sees them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from latentseq.arrays import Batch, Windows

MAX_STEPS = 500
"""An epoch is one pass over the windows, or this many batches of it where there are more."""


def ordered_batches(windows: Windows, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
    """One epoch of full batches, in an order that depends on (seed, epoch) alone, the next one read ahead.

    Args:
        windows: where from; a batch is no larger than what there is.
        batch_size: windows of a batch.
        seed: of the run.
        epoch: number of the epoch.
        start: how many batches to leave out at the start: where an interrupted epoch goes on.
    """
    batch_size = min(batch_size, len(windows))
    order = np.random.default_rng([seed, epoch]).permutation(len(windows))
    order = order[: steps_per_epoch(windows, batch_size) * batch_size].reshape(-1, batch_size)[start:]
    with ThreadPoolExecutor(1) as reader:
        ahead = [reader.submit(windows.take, row) for row in order[:2]]
        for i in range(len(order)):
            if i + 2 < len(order):
                ahead.append(reader.submit(windows.take, order[i + 2]))
            yield ahead.pop(0).result()


def steps_per_epoch(windows: Windows, batch_size: int) -> int:
    """Batches of an epoch."""
    return max(1, min(len(windows) // max(1, batch_size), MAX_STEPS))
