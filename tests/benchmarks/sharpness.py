"""How sharp: the multi-scale GAN beside the same generators trained with squared error alone, on crops of a film.

python tests/benchmarks/sharpness.py film.mp4 --minutes 10

Both are trained for as long on crops of 32x32 where something moves, and measured on crops of scenes that neither was
trained on: the next two frames after four, as in the paper (Mathieu, Couprie & LeCun, arXiv 1511.05440).
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("latentseq"))
MODELS = {
    "gan": [],
    "without-discriminators": ["adversarial=false"],
    "l2": ["adversarial=false", "lambda_gdl=0", "p=2"],
}
CROPS = ["--data-set", "crop=32", "--data-set", "clip_length=6"]
COLUMNS = ("psnr", "ssim", "sharp_diff", "sharpness")


def run(*words: str) -> None:
    """Run a command as its users do."""
    subprocess.run([PROGRAM, *words], check=True)


def main() -> None:
    """Train what is not there, evaluate all, print the two steps, and draw the first test clip as whole frames."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film", type=Path)
    parser.add_argument("--minutes", type=float, default=10, help="Of training, each.")
    parser.add_argument("--size", default="128", help="Of the frames that the crops are cut out of.")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["gan", "l2"])
    parser.add_argument("--out", type=Path, default=Path("runs/sharpness"))
    given = parser.parse_args()
    out, clips = given.out, str(given.out / "clips")
    if not Path(clips).is_dir():
        run("ingest", str(given.film), clips, "--size", given.size, "--cuts", "--hold-out", "clips", "--quiet")
    for name in given.models:
        if not (out / name / "artifact.json").is_file():
            options = [word for option in MODELS[name] for word in ("--set", option)]
            budget = ["--max-minutes", f"{given.minutes:g}", "--length", "6", "--quiet"]
            run("train", clips, *CROPS, str(out / name), "--predictor", "multiscale-gan", *options, *budget)
    found, models = str(out / "evaluation"), [str(out / name) for name in given.models]
    steps = ["--context", "4", "--horizon", "2"]
    run("evaluate", *models, "--data", clips, *CROPS, *steps, "--out", found, "--overwrite")
    metrics = json.loads((Path(found) / "metrics.json").read_text())
    rows = {name: metrics["models"][name]["prediction"] for name in given.models}
    for name, scores in {**rows, "copy last": metrics["floors"]["copy_last"]}.items():
        print(name)
        for key in COLUMNS:
            print(
                f"  {key:10}" + "".join("       -" if x is None else f"{x:8.3f}" for x in scores[key]["by_horizon"])
            )
    for name in given.models:
        run("sample", str(out / name), clips, str(out / f"{name}.gif"), "--prime", "8", "--steps", "8", "--overwrite")


if __name__ == "__main__":
    main()
