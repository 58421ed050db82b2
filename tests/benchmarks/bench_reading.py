"""What reading from shards costs: the time that it adds to a training step, and the memory that more clips take.

python tests/benchmarks/bench_reading.py
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from latentseq.arrays import Batch, Source, Windows
from latentseq.data.windows import frame_source, latent_source
from latentseq.storage.frames import FORMAT as CLIPS
from latentseq.storage.frames import ClipFolder
from latentseq.storage.latents import FORMAT as LATENTS
from latentseq.storage.latents import LatentFolder
from latentseq.storage.shards import ShardWriter
from latentseq.training.batches import ordered_batches
from latentseq.training.trainer import RunTrainer

D = 64
LENGTH = 30
SIZE = 64
BATCH = 32
BLOCKS = 8
STEPS = 30
FEW = {"latents": 100, "frames": 20}
"""Clips of the small set; the large one has a hundred times as many."""


class InMemory(Windows):
    """The windows of another, all read once."""

    def __init__(self, windows: Windows):
        """Read them."""
        self._arrays = windows.take(np.arange(len(windows)))

    def __len__(self) -> int:
        return len(next(iter(self._arrays.values())))

    def take(self, indices: np.ndarray) -> Batch:
        """See ``Windows.take``."""
        return {name: array[indices] for name, array in self._arrays.items()}


def write(kind: str, clips: int, folder: Path) -> None:
    """Write clips of noise of LENGTH items as ``encode`` writes latents, or as frames are cached."""
    rng, writer = np.random.default_rng(0), ShardWriter(folder)
    for _ in range(clips):
        if kind == "latents":
            mean = rng.standard_normal((LENGTH, D), np.float32)
            writer.add({"mean": mean, "log_var": np.full_like(mean, -3)})
        else:
            writer.add({"frames": rng.integers(0, 256, (LENGTH, SIZE, SIZE, 1), np.uint8)})
        writer.end_clip(LENGTH, split=None)
    if kind == "latents":
        about = {"latent_shape": [D], "has_posterior": True, "encoder": "", "data": ""}
        writer.close(format=LATENTS, streams={}, fps=25.0, **about)
    else:
        writer.close(format=CLIPS, streams={}, fps=25.0, frame_shape=[SIZE, SIZE, 1], source={})


def source_of(kind: str, folder: Path) -> Source:
    """Windows as training gets them."""
    return latent_source(LatentFolder(folder)) if kind == "latents" else frame_source(ClipFolder(str(folder)))


def seconds_a_step(folder: Path) -> tuple[list[float], list[float]]:
    """Of the default LSTM: on windows in shards, and on the same windows in memory; blocks of steps in turn."""
    import keras

    from latentseq_plugins.dynamics.lstm import LSTM

    shards = source_of("latents", folder).train
    sources = {"shards": shards, "memory": InMemory(shards)}
    network = LSTM([D]).network
    network.compile(optimizer=keras.optimizers.Adam(1e-3, global_clipnorm=1.0), jit_compile=False)
    network.train_on_batch(shards.take(np.arange(BATCH)))
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for block in range(BLOCKS):
        for name in sorted(sources, reverse=bool(block % 2)):
            begin, steps = time.perf_counter(), 0
            for batch in ordered_batches(sources[name], BATCH, seed=0, epoch=block):
                network.train_on_batch(batch)
                steps += 1
            seconds[name].append((time.perf_counter() - begin) / steps)
    return seconds["shards"], seconds["memory"]


def train(kind: str, folder: Path) -> None:
    """Train the built-in plugin for some steps and print the peak of resident memory in MB."""
    if kind == "latents":
        from latentseq_plugins.dynamics.lstm import LSTM

        LSTM([D], units=256).fit(source_of(kind, folder), RunTrainer(steps=STEPS))
    else:
        from latentseq_plugins.encoders.vae import VAE

        VAE([SIZE, SIZE, 1]).fit(source_of(kind, folder), RunTrainer(steps=STEPS))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def memory(kind: str, folder: Path) -> float:
    """Peak of resident memory in MB of a fresh process that trains on what is in a folder."""
    command = [sys.executable, __file__, "train", kind, str(folder)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print the two ratios."""
    with tempfile.TemporaryDirectory() as work:
        for kind, clips in FEW.items():
            peaks = []
            for n in (clips, 100 * clips):
                folder = Path(work) / f"{kind}-{n}"
                write(kind, n, folder)
                peaks.append(memory(kind, folder))
            print(
                f"{kind}: {peaks[0]:.0f} MB at {clips} clips, {peaks[1]:.0f} MB at {100 * clips}: "
                f"{peaks[1] / peaks[0] - 1:+.1%}"
            )
        folder = Path(work) / "timed"
        write("latents", 800, folder)
        shards, in_memory = seconds_a_step(folder)
        ratio = statistics.median(a / b for a, b in zip(shards, in_memory, strict=True))
        print(
            f"a training step: {1000 * min(shards):.1f} ms on shards, {1000 * min(in_memory):.1f} ms in memory at "
            f"best; {ratio - 1:+.1%} in the median of {BLOCKS} pairs"
        )


if __name__ == "__main__":
    if sys.argv[1:2] == ["train"]:
        train(sys.argv[2], Path(sys.argv[3]))
    else:
        main()
