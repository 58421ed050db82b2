"""Memory of a process that loads a model and samples from it again and again.

    python tests/benchmarks/bench_memory.py runs/lstm clips --rounds 200

prints the resident memory (Linux) after the first rounds and after every tenth.
"""

import argparse
import gc
import resource
import tempfile
from pathlib import Path

from latentseq import sample

WARM_UP = 5


def resident() -> float:
    """Resident memory of this process, MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Sample, and say what is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        first = 0.0
        for i in range(1, options.rounds + 1):
            sample(options.model, options.data, Path(folder) / "out.npz", overwrite=True)
            gc.collect()
            first = resident() if i == WARM_UP else first
            if i == WARM_UP or i % 10 == 0:
                print(f"round {i}: {resident():.1f} MB", flush=True)
        a_round = (resident() - first) / max(1, options.rounds - WARM_UP)
        print(f"{a_round:.2f} MB a round after the first {WARM_UP}")


if __name__ == "__main__":
    main()
