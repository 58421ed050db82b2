"""Moving squares: after 30 free frames, is the error below copy-last's, and are the squares still squares?

python tests/benchmarks/moving_squares.py --minutes 5

Clips of 40 frames, 10 seen and 30 predicted. Squares are counted as connected white regions of at least 4 pixels,
after a threshold of 0.5, in the truth and in the prediction alike.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from scipy import ndimage

from latentseq import load_predictor
from latentseq.arrays import to_float
from latentseq.evaluation.metrics import squared_error
from latentseq_plugins.datasets.moving_squares import MovingSquares

CONTEXT, HORIZON, CLIPS, LENGTH = 10, 30, 1200, 40
SHARES = (0.1, 0.04, 0.36, 0.5)
"""Of the minutes: encoder, dynamics on latents, tuning on short windows, tuning on whole ones."""


def train(minutes: float, out: Path) -> None:
    """The four commands."""
    data = ["moving-squares", "--data-set", f"length={LENGTH}", "--data-set", f"count={CLIPS}"]
    few = ["moving-squares", "--data-set", f"length={LENGTH}", "--data-set", "count=200"]
    encoder = ["--encoder", "conv-ae", "--set", "latent=map", "--set", "widths=[16,32]", "--set", "augment=false"]
    ae, lstm, short, tuned = (str(out / name) for name in ("ae", "lstm", "short", "tuned"))
    commands = [
        ["train-ae", *data, ae, *encoder, "--set", "latent_dim=8"],
        ["train-lstm", *few, ae, lstm, "--dynamics", "conv-lstm", "--set", "units=32", "--set", "readout=[32,32]"],
        ["tune", lstm, *data, short, "--length", "8"],
        ["tune", short, *data, tuned, "--length", "20"],
    ]
    for command, share in zip(commands, SHARES, strict=True):
        budget = ["--max-minutes", f"{minutes * share:.2f}", "--quiet"]
        program = str(Path(sys.executable).with_name("latentseq"))
        subprocess.run([program, *command, *budget], check=True, stdout=subprocess.DEVNULL)


def squares(frames: np.ndarray) -> tuple[int, int]:
    """How many regions of at least 4 pixels, and how many pixels they have together; frames (n, h, w)."""
    count = area = 0
    for frame in frames:
        labels, n = ndimage.label(frame > 0.5)
        sizes = ndimage.sum_labels(np.ones_like(frame), labels, np.arange(1, n + 1))
        count, area = count + int((sizes >= 4).sum()), area + int(sizes[sizes >= 4].sum())
    return count, area


def main() -> None:
    """Train, and print the error by step, and count and area at the last one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/moving-squares"))
    given = parser.parse_args()
    if not (given.out / "tuned" / "artifact.json").is_file():
        train(given.minutes, given.out)
    model = load_predictor(given.out / "tuned")
    # Another seed than the training clips'.
    dataset = MovingSquares(count=100, length=CONTEXT + HORIZON, seed=1)
    frames = to_float(dataset.read_windows(np.arange(100), np.zeros(100, int), CONTEXT + HORIZON).frames)
    known, truth = np.split(frames, [CONTEXT], axis=1)
    made = model.predict(known, HORIZON, temperature=0.0)[:, 0]
    last = np.repeat(known[:, -1:], HORIZON, axis=1)
    errors = {name: squared_error(p, truth).mean(0) for name, p in (("model", made), ("copy last", last))}
    print("squared error at step " + "".join(f"{i:>8}" for i in (1, 5, 10, 20, 30)))
    for name, error in errors.items():
        print(f"{name:22}" + "".join(f"{error[i - 1]:8.1f}" for i in (1, 5, 10, 20, 30)))
    for step in (1, 10, 20, 30):
        found, wanted = (squares(x[:, step - 1, :, :, 0]) for x in (made, truth))
        print(f"step {step:2}: {found[0]} squares, {found[0] / wanted[0]:.2f} of the true number; "
              f"{found[1]} pixels, {found[1] / wanted[1]:.2f} of the true area")  # fmt: skip


if __name__ == "__main__":
    main()
