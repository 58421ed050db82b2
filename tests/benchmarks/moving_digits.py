"""Moving digits, 10 frames seen and 10 predicted: the whole chain from nothing in a budget of wall time.

python tests/benchmarks/moving_digits.py --digits digits.npz --latent map --minutes 10 --seeds 0 1 2

Every chain is the commands that ``recipe`` lists, each a process of its own, started one after the other; their
wall time is the budget's. The error is that of ``latentseq evaluate`` on the test digits.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

CONTEXT = HORIZON = 10
START = 0.4
"""Minutes that a command takes beside its training; later commands make up for what it was."""
FRESH = 200_000
"""Clips to train on: more than there is time for, so that none comes twice and nothing is learnt by heart."""
PARTS = ("reconstruction", "one_step", "drift")


class Recipe(NamedTuple):
    """How a chain spends its minutes.

    Attributes:
        shares: of the minutes of training: encoder, dynamics on latents, tuning on frames.
        clips: that are encoded for the dynamics, for each minute of the budget.
        encoding: share of the budget that this takes.
        encoder: options of conv-ae.
        dynamics: which, with its options.
        batches: of the dynamics, and of tuning.
    """

    shares: tuple[float, float, float]
    clips: int
    encoding: float
    encoder: list[str]
    dynamics: list[str]
    batches: tuple[int, int]


RECIPES = {
    # The encoder starts as principal components, and needs little more. The dynamics need most of the time.
    "map": Recipe(
        (0.08, 0.50, 0.42),
        600,
        0.05,
        ["latent=map", "widths=[16,32,64]"],
        ["conv-lstm", "--learning-rate", "3e-3"],
        (8, 8),
    ),
    # For vectors a step on latents is cheap beside one through the decoder, and large batches cost little more.
    "vector": Recipe(
        (0.28, 0.32, 0.40),
        1000,
        0.13,
        ["latent_dim=128", "widths=[16,32,64]"],
        ["lstm", "--set", "layers=1"],
        (64, 32),
    ),
}


def recipe(
    latent: str, minutes: float, seed: int, digits: str, out: Path, linear: bool
) -> list[tuple[list[str], float]]:
    """The commands of a chain and their shares; few held-out clips, since to validate on 1000 would take minutes."""
    with_ = RECIPES[latent]
    data = ["moving-digits", "--data-set", f"digits={digits}", "--data-set", "held_out=64"]
    always = ["--seed", str(seed), "--quiet"]
    start = [] if linear else ["--set", "linear_start=false"]
    encoder = [word for option in ("augment=false", *with_.encoder) for word in ("--set", option)] + start
    fresh, few = (["--data-set", f"count={clips}"] for clips in (FRESH, int(with_.clips * minutes)))
    dynamics = ["--dynamics", *with_.dynamics, "--head", "mse", *start]
    on_latents, tuning = (["--batch-size", str(size)] for size in with_.batches)
    ae, lstm, tuned = (str(out / name) for name in ("ae", "lstm", "tuned"))
    commands = [
        ["train-ae", *data, *fresh, ae, "--encoder", "conv-ae", *encoder, *always],
        ["train-lstm", *data, *few, ae, lstm, *dynamics, *on_latents, *always],
        ["tune", lstm, *data, *fresh, tuned, *tuning, *always],
    ]
    return [(command, share) for command, share in zip(commands, with_.shares, strict=True) if share]


def run(arguments: list[str]) -> None:
    """Run a command as its users do."""
    subprocess.run(
        [str(Path(sys.executable).with_name("latentseq")), *arguments], check=True, stdout=subprocess.DEVNULL
    )


def chain(latent: str, minutes: float, seed: int, digits: str, out: Path, linear: bool) -> tuple[float, dict]:
    """Wall minutes of a chain, and what ``evaluate`` says of it."""
    began = time.monotonic()
    left = recipe(latent, minutes, seed, digits, out, linear)
    encoding = RECIPES[latent].encoding * minutes
    while left:
        command, share = left[0]
        minutes_left = minutes - (time.monotonic() - began) / 60 - START * len(left)
        if command[0] in ("train-ae", "train-lstm"):
            minutes_left -= encoding
        run([*command, "--max-minutes", f"{minutes_left * share / sum(each for _, each in left):.2f}"])
        left = left[1:]
    wall = (time.monotonic() - began) / 60
    found = out / "evaluation"
    run(
        [
            "evaluate",
            str(out / "tuned"),
            "--data",
            "moving-digits",
            "--data-set",
            f"digits={digits}",
            "--out",
            str(found),
        ]
    )
    return wall, json.loads((found / "metrics.json").read_text())["models"]["tuned"]


def main() -> None:
    """Print a row for each seed, and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", required=True, help="MNIST digits: .npz with images, or an idx file.")
    parser.add_argument("--latent", choices=RECIPES, default="map")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--from-scratch", action="store_true", help="Begin without the linear start.")
    parser.add_argument("--out", type=Path, default=Path("runs/moving-digits"))
    given = parser.parse_args()
    errors = []
    print("seed  minutes    MSE  at 1  at 10  reconstruction  one-step  drift", flush=True)
    for seed in given.seeds:
        out = given.out / f"{given.latent}-{given.minutes:g}-{seed}"
        wall, found = chain(given.latent, given.minutes, seed, given.digits, out, not given.from_scratch)
        mse, parts = found["prediction"]["mse"], found["attribution"]
        cells = [mse["mean"], mse["by_horizon"][0], mse["by_horizon"][-1], *(parts[k]["mean"] for k in PARTS)]
        print(f"{seed:4}  {wall:7.2f}  " + "  ".join(f"{x:5.1f}" for x in cells), flush=True)
        errors.append(mse["mean"])
    print(f"median of {len(errors)}: {statistics.median(errors):.1f}")


if __name__ == "__main__":
    main()
