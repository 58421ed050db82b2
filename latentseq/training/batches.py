"""The order in which training sees the windows of the data."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from latentseq.arrays import Batch, Windows

MAX_STEPS = 500
"""Maximum number of batches in an epoch; an epoch is otherwise one pass over the windows."""


def ordered_batches(windows: Windows, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
    """Iterate over one epoch of full batches; the next batches are read ahead in a thread.

    The order depends on (seed, epoch) alone.

    Args:
        windows: training windows.
        batch_size: windows in a batch; all windows, if there are fewer.
        seed: random seed of the run.
        epoch: number of the epoch, from 0.
        start: number of batches to skip, so that an interrupted epoch can be resumed.
    """
    batch_size = min(batch_size, len(windows))
    order = np.random.default_rng([seed, epoch]).permutation(len(windows))
    order = order[: steps_per_epoch(windows, batch_size) * batch_size].reshape(-1, batch_size)[start:]
    with ThreadPoolExecutor(1) as reader:
        queue = [reader.submit(windows.take, row) for row in order[:2]]
        for i in range(len(order)):
            if i + 2 < len(order):
                queue.append(reader.submit(windows.take, order[i + 2]))
            yield queue.pop(0).result()


def steps_per_epoch(windows: Windows, batch_size: int) -> int:
    """Number of batches in an epoch."""
    return max(1, min(len(windows) // max(1, batch_size), MAX_STEPS))
