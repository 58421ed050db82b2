"""A short film of five scenes: trained on the first four, tested on the fifth, against copy-last.

python tests/benchmarks/film.py bikes.mp4 --scenes 0 30 76 137 187 242 --minutes 8
"""

import argparse
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

SHARES = (0.3, 0.05, 0.3, 0.35)
"""Of the minutes: encoder, dynamics on latents, tuning on short windows, tuning on longer ones."""


def scenes(film: Path, borders: list[int], folder: Path) -> None:
    """The scenes as arrays: the last one for testing, the others for training."""
    with av.open(str(film)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    for number, (start, stop) in enumerate(pairwise(borders)):
        split = "test" if stop == borders[-1] else "train"
        (folder / split).mkdir(parents=True, exist_ok=True)
        np.save(folder / split / f"scene{number}.npy", np.stack(frames[start:stop]))


def main() -> None:
    """Train, evaluate, and print PSNR by step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--scenes", type=int, nargs="+", required=True, help="First frame of each, and the end.")
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/film"))
    given = parser.parse_args()
    program, out = str(Path(sys.executable).with_name("latentseq")), given.out
    clips, ae, lstm, short, tuned = (str(out / name) for name in ("clips", "ae", "lstm", "short", "tuned"))
    scenes(given.film, given.scenes, out / "scenes")
    # Maps of 16x16: of a scene that it never saw, an encoder of few layers and small fields keeps more.
    encoder = ["--encoder", "conv-ae", "--set", "latent=map", "--set", "widths=[32,64]"]
    dynamics = ["--dynamics", "conv-lstm", "--set", "units=32", "--set", "readout=[32,32]"]
    commands = [
        ["train-ae", clips, ae, *encoder],
        ["train-lstm", clips, ae, lstm, *dynamics, "--length", "20"],
        ["tune", lstm, clips, short, "--length", "8"],
        ["tune", short, clips, tuned, "--length", "20"],
    ]
    # The scenes of validation and test are not trained on.
    options = ["--size", "64", "--hold-out", "clips", "--overwrite", "--quiet"]
    subprocess.run([program, "ingest", str(out / "scenes"), clips, *options], check=True)
    for command, share in zip(commands, SHARES, strict=True):
        budget = ["--max-minutes", f"{given.minutes * share:.2f}", "--seed", str(given.seed), "--quiet"]
        subprocess.run([program, *command, *budget], check=True)
    found = out / "evaluation"
    subprocess.run([program, "evaluate", tuned, "--data", clips, "--out", str(found)], check=True)
    metrics = json.loads((found / "metrics.json").read_text())
    model = metrics["models"]["tuned"]
    rows = {
        "model": model["prediction"],
        "its ceiling": model["reconstruction"],
        "copy last": metrics["floors"]["copy_last"],
    }
    for name, scores in rows.items():
        psnr = scores["psnr"]["by_horizon"]
        print(
            f"{name:11} PSNR " + "".join(f"{x:7.2f}" for x in psnr) + f"   steps 5 to 10: {np.mean(psnr[4:10]):.2f}"
        )


if __name__ == "__main__":
    main()
