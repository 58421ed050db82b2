"""How long a rollout takes: 1,000 steps of 16 futures of a 2x512 LSTM over 64 dimensions, sampling a mixture.

python tests/benchmarks/bench_rollout.py
"""

import statistics
import time

import numpy as np

from latentseq.arrays import Latents
from latentseq_plugins.dynamics.lstm import LSTM

STEPS = 1000
FUTURES = 16
RUNS = 5


def main() -> None:
    """Print the seconds of the first call, which compiles, and the median of the next five."""
    model = LSTM([64], head="mixture", layers=2, units=512)
    known = np.random.default_rng(0).normal(size=(1, 30, 64)).astype(np.float32)
    _, state = model.observe(Latents(known))
    futures = {name: np.repeat(array, FUTURES, axis=0) for name, array in state.items()}
    seconds = []
    for seed in range(1 + RUNS):
        begin = time.perf_counter()
        z, _ = model.imagine(futures, STEPS, seed=seed, temperature=1.0)
        seconds.append(time.perf_counter() - begin)
        assert z.shape == (FUTURES, STEPS, 64)
    print(f"first call {seconds[0]:.2f} s (compiles)")
    print(f"after that {statistics.median(seconds[1:]):.2f} s, the median of {RUNS}")


if __name__ == "__main__":
    main()
