"""The linear start: reconstruction of held-out frames after ten seconds, and a thousand free steps of a texture.

python tests/benchmarks/linear_start.py --bunny bunny30.webm --bikes bikes.mp4 --fire fire.mp4

Each encoder is trained by ``train-ae`` for ten seconds, with and without the linear start. Held out are the last
fifth of every scene of the first film, whose second half chooses the weights, and the fifth scene of the second film.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from film import scenes  # It lies beside this file.

import latentseq
from latentseq.arrays import to_float

BIKES = [0, 30, 76, 137, 187, 242]
"""First frames of the scenes of the second film, and its end."""
STEPS = 1000
"""Number of free steps of a texture."""


def run(*arguments: str) -> None:
    """Run a command as its users do."""
    command = [str(Path(sys.executable).with_name("latentseq")), *arguments, "--quiet"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def reconstruction(run_folder: Path, frames: np.ndarray) -> tuple[float, float]:
    """Squared error of a frame, and PSNR in dB, as means over frames (n, h, w, c)."""
    model = latentseq.load_encoder(run_folder)
    error = np.square(model.decode(model.encode(frames).mean) - frames).sum(axis=(1, 2, 3))
    return float(error.mean()), float((10 * np.log10(frames[0].size / error)).mean())


def encoders(name: str, clips: Path, held: np.ndarray, latents: dict[str, list[str]], out: Path) -> None:
    """Train each encoder with and without the linear start, and print a row for each latent."""
    for latent, options in latents.items():
        cells = []
        for linear in ("true", "false"):
            folder = out / f"{name}-{latent}-{linear}"
            words = [word for option in (*options, f"linear_start={linear}") for word in ("--set", option)]
            run(
                "train-ae",
                str(clips),
                str(folder),
                "--encoder",
                "conv-ae",
                *words,
                "--max-minutes",
                f"{1 / 6:.3f}",
                "--overwrite",
            )
            cells.append("{:.1f} ({:.1f} dB)".format(*reconstruction(folder, held)))
        print(f"| {name} | {latent} | {cells[0]} | {cells[1]} |", flush=True)


def texture(name: str, data: str, options: list[str], out: Path) -> None:
    """Fit the dynamics ``linear`` to a film, and print how its variance over a thousand free steps compares."""
    words = [word for option in options for word in ("--data-set", option)]
    ae, dynamics = out / f"{name}-ae", out / f"{name}-linear"
    encoder = ["--encoder", "conv-ae", "--set", "latent_dim=16", "--steps", "1"]
    run("train-ae", data, str(ae), *encoder, *words, "--overwrite")
    run("train-lstm", data, str(ae), str(dynamics), "--dynamics", "linear", *words, "--overwrite")
    film = to_float(latentseq.open_data(ae / "cache").read(0).frames)
    free = latentseq.load_predictor(dynamics).predict(film[None, :10], STEPS, seed=0)[0, 0]
    shares = [free[i : i + 100].var(axis=0).mean() / film.var(axis=0).mean() for i in range(0, STEPS, 100)]
    print(f"| {name} | {' '.join(f'{share:.2f}' for share in shares)} |", flush=True)


def drifting(path: Path) -> None:
    """Write a film of a smooth texture that drifts and changes: 200 frames of 64x64."""
    rng = np.random.default_rng(0)
    y, x = np.meshgrid(np.linspace(0, 2 * np.pi, 64), np.linspace(0, 2 * np.pi, 64), indexing="ij")
    frames = np.zeros((200, 64, 64))
    for _ in range(12):
        a, b, speed, phase = rng.integers(1, 4), rng.integers(-3, 4), rng.uniform(-0.3, 0.3), rng.uniform(0, 6)
        frames += np.cos(a * x + b * y + phase + speed * np.arange(200)[:, None, None])
    frames = 0.5 + 0.04 * frames + 0.01 * rng.normal(size=frames.shape)
    np.save(path, (np.clip(frames, 0, 1) * 255).astype(np.uint8))


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for film in ("bunny", "bikes", "fire"):
        parser.add_argument(f"--{film}", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/linear-start"))
    given = parser.parse_args()
    out = given.out
    out.mkdir(parents=True, exist_ok=True)
    print("| film | latent | linear start | from scratch |\n|---|---|---|---|")
    run("ingest", str(given.bunny), str(out / "bunny"), "--size", "64", "--cuts", "--overwrite")
    clips = latentseq.open_data(out / "bunny")
    held = [clips.read(i, int(0.8 * n)).frames for i, n in enumerate(clips.lengths.tolist())]
    latents = {"vector of 64": ["latent_dim=64"], "8x8x16 map": ["latent=map"]}
    encoders("bunny30", out / "bunny", to_float(np.concatenate(held)), latents, out)
    scenes(given.bikes, BIKES, out / "scenes")
    run("ingest", str(out / "scenes"), str(out / "bikes"), "--size", "64", "--overwrite")
    clips = latentseq.open_data(out / "bikes")
    assert clips.split is not None
    (last,) = np.flatnonzero(clips.split == "test")
    latents = {"16x16x16 map": ["latent=map", "widths=[32,64]"]}
    encoders("bikes, fifth scene", out / "bikes", to_float(clips.read(int(last)).frames), latents, out)
    print("\n| film | variance of each hundred free steps, as a share of the film's |\n|---|---|")
    texture("fire", str(given.fire), [], out)
    drifting(out / "drift.npy")
    texture("drifting texture", str(out / "drift.npy"), [], out)


if __name__ == "__main__":
    main()
