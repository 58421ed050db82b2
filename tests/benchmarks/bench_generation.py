"""How many clips a second are generated on one core: ``python tests/benchmarks/bench_generation.py [DIGITS]``."""

import sys
import time

import numpy as np

from latentseq.protocols import Dataset
from latentseq_plugins.datasets.moving_digits import MovingDigits
from latentseq_plugins.datasets.moving_squares import MovingSquares

BATCH = 64


def clips_a_second(dataset: Dataset, clips: int = 4096) -> float:
    """Whole clips, in batches, by the processor's own time."""
    length, n = int(dataset.lengths[0]), len(dataset.lengths)
    starts = np.zeros(BATCH, np.int64)
    dataset.read_windows(np.arange(BATCH), starts, length)
    begin = time.process_time()
    for first in range(0, clips, BATCH):
        dataset.read_windows((first + np.arange(BATCH)) % n, starts, length)
    return clips / (time.process_time() - begin)


def main() -> None:
    """Print a line for every kind of clip."""
    digits = sys.argv[1] if len(sys.argv) > 1 else None
    kinds: dict[str, Dataset] = {
        "moving-digits": MovingDigits(digits=digits),
        "moving-digits, random bounce": MovingDigits(digits=digits, bounce="random"),
        "moving-digits, colour": MovingDigits(digits=digits, colour=True),
        "moving-squares": MovingSquares(),
    }
    for name, dataset in kinds.items():
        print(f"{name:<30} {clips_a_second(dataset):8.0f} clips a second")


if __name__ == "__main__":
    main()
