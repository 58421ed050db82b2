"""Predictors of frames, the latent model and the floors on one dataset: each trained for as long, in one table.

python tests/benchmarks/predictors.py moving-squares --minutes 10 --context 7 --horizon 8
python tests/benchmarks/predictors.py moving-digits --data-set digits=digits.npz --minutes 3
python tests/benchmarks/predictors.py bikes.mp4 --cuts --minutes 3

python tests/benchmarks/predictors.py sounding-shapes --minutes 3 --context 5 --audio

A film is made into clips of 64x64 first. The minutes of ``latent`` are those of its four commands together. What was
trained into the folder before is not trained again: give another --out with other options.
"""

import argparse
import subprocess
import sys
from pathlib import Path

PROGRAM = str(Path(sys.executable).with_name("latentseq"))
PREDICTORS = ("conv-lstm", "unet", "multiscale-gan", "audio-visual", "latent")
SHARES = (0.2, 0.1, 0.3, 0.4)
"""Of the minutes of ``latent``: encoder, dynamics on latents, tuning on short windows, tuning on whole ones."""


def run(*words: str) -> None:
    """Run a command as its users do; its table is printed."""
    subprocess.run([PROGRAM, *words], check=True)


def train(name: str, data: list[str], out: Path, minutes: float, length: int) -> None:
    """Train one predictor."""
    if name != "latent":
        budget = ["--max-minutes", f"{minutes:g}", "--length", str(length), "--quiet"]
        run("train", *data, str(out), "--predictor", name, *budget)
        return
    ae, lstm, short = (str(out.with_name(f"{out.name}-{part}")) for part in ("ae", "lstm", "short"))
    budgets = [["--max-minutes", f"{minutes * share:.2f}", "--quiet", "--overwrite"] for share in SHARES]
    run("train-ae", *data, ae, "--encoder", "conv-ae", "--set", "latent=map", "--set", "widths=[16,32]",
        "--set", "latent_dim=8", *budgets[0])  # fmt: skip
    run("train-lstm", *data, ae, lstm, "--dynamics", "conv-lstm", "--head", "mse", "--set", "units=32",
        "--set", "readout=[32,32]", "--length", str(length), *budgets[1])  # fmt: skip
    run("tune", lstm, *data, short, "--length", "8", *budgets[2])
    run("tune", short, *data, str(out), "--length", str(length), *budgets[3])


def main() -> None:
    """Train what is not there, evaluate all, and draw what each imagines of the first test clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="A dataset's name, a folder of clips, or a film.")
    parser.add_argument("--data-set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--cuts", action="store_true", help="A clip of a film ends where a scene does.")
    parser.add_argument("--predictors", nargs="+", choices=PREDICTORS, help="All but those that need sound.")
    parser.add_argument("--audio", action="store_true", help="Those that need sound, too.")
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--context", type=int, default=10)
    parser.add_argument("--horizon", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("runs/predictors"))
    given = parser.parse_args()
    chosen = given.predictors or [name for name in PREDICTORS if given.audio or name != "audio-visual"]
    out, source = given.out / Path(given.data).stem, given.data
    if Path(source).is_file():
        options = ["--size", "64", "--hold-out", "clips", "--quiet", *["--cuts"] * given.cuts]
        run("ingest", source, str(out / "clips"), *options)
        source = str(out / "clips")
    data = [source, *(word for option in given.data_set for word in ("--data-set", option))]
    for name in chosen:
        if not (out / name / "artifact.json").is_file():
            train(name, data, out / name, given.minutes, given.context + given.horizon)
    models = [str(out / name) for name in chosen]
    run("evaluate", *models, "--data", *data, "--context", str(given.context), "--horizon", str(given.horizon),
        "--out", str(out / "evaluation"), "--overwrite")  # fmt: skip
    for name in chosen:
        run("sample", str(out / name), *data, str(out / f"{name}.gif"), "--prime", str(given.context),
            "--steps", str(given.horizon), "--temperature", "0", "--overwrite")  # fmt: skip


if __name__ == "__main__":
    main()
