"""Moving digits, 10 frames seen and 10 predicted: the whole chain from nothing in a budget of wall time.

python tests/benchmarks/moving_digits.py --digits digits.npz --latent map --minutes 10 --seeds 0 1 2

Every chain is the four commands that ``recipe`` lists, each a process of its own, started one after the other; their
wall time is the budget's. The error is that of ``latentseq evaluate`` on the test digits.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

CONTEXT = HORIZON = 10
STARTS = 0.2
"""Minutes that the start of a command takes, with encoding and compiling."""
SHARES = {"map": (0.07, 0.03, 0.35, 0.55), "vector": (0.2, 0.03, 0.32, 0.45)}
"""Of the minutes that are left: encoder, dynamics on latents, tuning on short windows, tuning on whole ones."""
PARTS = ("reconstruction", "one_step", "drift")
LATENTS = {"map": ["--set", "latent=map"], "vector": ["--set", "latent=vector"]}
DYNAMICS = {"map": ["conv-lstm"], "vector": ["lstm"]}


def recipe(latent: str, minutes: float, seed: int, digits: str, out: Path) -> list[list[str]]:
    """The commands of a chain; few held-out clips, since to validate on a thousand would take minutes."""
    data = ["moving-digits", "--data-set", f"digits={digits}", "--data-set", "held_out=64"]
    left = minutes - 4 * STARTS
    budgets = [["--max-minutes", f"{left * share:.2f}", "--seed", str(seed), "--quiet"] for share in SHARES[latent]]
    encoder = ["--encoder", "conv-ae", *LATENTS[latent], "--set", "widths=[16,32,64]", "--set", "augment=false"]
    few, dynamics = ["--data-set", "count=400"], ["--dynamics", *DYNAMICS[latent], "--head", "mse"]
    ae, lstm, short, tuned = (str(out / name) for name in ("ae", "lstm", "short", "tuned"))
    return [
        ["train-ae", *data, ae, *encoder, *budgets[0]],
        ["train-lstm", *data, *few, ae, lstm, *dynamics, "--batch-size", "16", *budgets[1]],
        ["train", *data, short, "--from", lstm, "--length", "8", *budgets[2]],
        ["train", *data, tuned, "--from", short, *budgets[3]],
    ]


def run(arguments: list[str]) -> None:
    """Run a command as its users do."""
    subprocess.run(
        [str(Path(sys.executable).with_name("latentseq")), *arguments], check=True, stdout=subprocess.DEVNULL
    )


def chain(latent: str, minutes: float, seed: int, digits: str, out: Path) -> tuple[float, dict]:
    """Wall minutes of a chain, and what ``evaluate`` says of it."""
    began = time.monotonic()
    for command in recipe(latent, minutes, seed, digits, out):
        run(command)
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
    parser.add_argument("--latent", choices=LATENTS, default="map")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, default=Path("runs/moving-digits"))
    given = parser.parse_args()
    errors = []
    print("seed  minutes    MSE  at 1  at 10  reconstruction  one-step  drift", flush=True)
    for seed in given.seeds:
        out = given.out / f"{given.latent}-{given.minutes:g}-{seed}"
        wall, found = chain(given.latent, given.minutes, seed, given.digits, out)
        mse, parts = found["prediction"]["mse"], found["attribution"]
        cells = [mse["mean"], mse["by_horizon"][0], mse["by_horizon"][-1], *(parts[k]["mean"] for k in PARTS)]
        print(f"{seed:4}  {wall:7.2f}  " + "  ".join(f"{x:5.1f}" for x in cells), flush=True)
        errors.append(mse["mean"])
    print(f"median of {len(errors)}: {statistics.median(errors):.1f}")


if __name__ == "__main__":
    main()
