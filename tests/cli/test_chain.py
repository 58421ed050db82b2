"""The whole path, from data to a picture of what is imagined, as it is typed."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

SQUARES = ["moving-squares", "--data-set", "count=12", "--data-set", "length=12", "--data-set", "size=16"]
BUDGET = ["--steps", 5, "--batch-size", 8]
ENCODER = ["--set", "latent_dim=4", "--set", "widths=[4, 8]"]
DYNAMICS = ["--set", "units=8", "--set", "layers=1"]
HEADS = ["kl", "mixture"]


@pytest.fixture(scope="module")
def runs(cli, tmp_path_factory):
    """An encoder, latents, and dynamics with two heads, as the commands made them, with what they answered."""
    folder = tmp_path_factory.mktemp("runs")
    answers = {
        "ae": cli("train-ae", *SQUARES, folder / "ae", *ENCODER, *BUDGET),
        "z": cli("encode", *SQUARES, folder / "ae", folder / "z"),
    }
    for head in HEADS:
        out = folder / head
        answers[head] = cli("train-lstm", folder / "z", folder / "ae", out, "--head", head, *DYNAMICS, *BUDGET)
    return folder, answers


@pytest.fixture(scope="module")
def sample(runs, cli, tmp_path_factory):
    """Samples from the mixture into a file of a name."""
    folder = tmp_path_factory.mktemp("samples")

    def call(name, *options, head="mixture", data=SQUARES):
        arguments = ["--prime", 6, "--steps", 5, "--samples", 2, *options]
        answer = cli("sample", runs[0] / head, *data, folder / name, *arguments)
        assert answer == (0, f"{folder / name}\n", ""), answer
        return folder / name

    return call


@pytest.fixture(scope="module")
def arrays(sample):
    with np.load(sample("first.npz")) as file:
        return dict(file)


def test_standard_output_is_the_path_and_nothing_else(runs):
    folder, answers = runs
    for name, answer in answers.items():
        assert (answer.code, answer.out) == (0, f"{folder / name}\n"), answer


def test_progress_goes_to_standard_error(runs):
    _, answers = runs
    # On a slow machine there are lines on the way.
    line = r"({0} +\d+% · .*\n)*({0} · squared error of free .*\n)?{0} · 5 steps in \d+ s · best validation loss \S+ "
    line += r"(in epoch \d of \d|at the start)\n"
    # What is wrong with the latents follows, a line each: after 5 steps there may be something.
    assert re.fullmatch(line.format("vae") + r"(vae · [A-Z0-9].*\.\n)*", answers["ae"].err)
    assert re.fullmatch(line.format("lstm"), answers["kl"].err)
    assert re.fullmatch(r"(encode +\d+% · .*\n)*", answers["z"].err)


def test_quiet_is_quiet(runs, honest, cli, tmp_path):
    answer = cli("encode", *SQUARES, runs[0] / "ae", tmp_path / "z", "--quiet")
    assert answer == (0, f"{tmp_path / 'z'}\n", "")
    quick = ["--dynamics", "honest-dynamics", *BUDGET]
    answer = cli("train-lstm", tmp_path / "z", runs[0] / "ae", tmp_path / "out", *quick, "--quiet")
    assert answer == (0, f"{tmp_path / 'out'}\n", "")


@pytest.mark.parametrize("name", ["ae", *HEADS])
def test_a_run_holds_all_that_is_promised(name, runs):
    run = runs[0] / name
    files = {str(p.relative_to(run)) for p in run.rglob("*") if p.is_file()}
    previews = {f for f in files if f.startswith("previews/")}
    inner = {f"encoder/{f}" for f in ("artifact.json", "weights.safetensors")} if name in HEADS else set()
    assert files - previews == {
        "artifact.json",
        "weights.safetensors",
        "history.csv",
        "run.json",
        "cost.json",
        *inner,
    }
    assert previews
    for preview in previews:
        with Image.open(run / preview) as picture:
            assert min(picture.size) > 16
    about = json.loads((run / "artifact.json").read_text())
    assert about["preprocessing"] == {"size": [16, 16], "fit": "crop", "gray": True, "skip": 1, "fps": None}
    rows = (run / "history.csv").read_text().splitlines()
    assert {"stage", "epoch", "step", "loss", "val_loss", "seconds"} <= set(rows[0].split(","))
    assert len(rows) >= 2


def test_the_encoder_that_goes_along_is_the_one_that_was_trained(runs):
    inner, outer = (json.loads((runs[0] / p / "artifact.json").read_text()) for p in ("mixture/encoder", "ae"))
    assert inner == outer
    assert json.loads((runs[0] / "z" / "manifest.json").read_text())["encoder"] == outer["fingerprint"]


def test_what_a_sample_holds(arrays):
    assert {k: (a.shape, str(a.dtype)) for k, a in arrays.items()} == {
        "truth": ((11, 16, 16, 1), "float32"),
        "reconstruction": ((11, 16, 16, 1), "float32"),
        "one_step": ((5, 16, 16, 1), "float32"),
        "futures": ((2, 5, 16, 16, 1), "float32"),
    }
    for array in arrays.values():
        assert array.min() >= 0
        assert array.max() <= 1


def test_the_truth_is_the_clip(arrays):
    from latentseq import open_data

    squares = open_data("moving-squares", options={"count": 12, "length": 12, "size": 16})
    np.testing.assert_array_equal(arrays["truth"], squares.read(0, 0, 11).frames / np.float32(255))


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.mp4"])
def test_a_sample_is_written_as_its_suffix_says(name, sample):
    path = sample(name)
    if name == "a.mp4":
        with av.open(str(path)) as file:
            pictures = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    else:
        with Image.open(path) as file:
            pictures = [np.asarray(file.convert("RGB")) for i in range(file.n_frames) if file.seek(i) is None]
    # Truth, reconstruction and two futures, a row each: enlarged, and 11 frames in time or, in a sheet, side by side.
    assert 1 <= len(pictures) <= 11
    h, w = pictures[0].shape[:2]
    assert h >= 4 * 16
    assert w >= (11 * 16 if name == "a.png" else 16)
    assert all(np.ptp(picture) > 100 for picture in pictures)


@pytest.mark.parametrize("suffix", ["npz", pytest.param("gif", marks=pytest.mark.slow)])
def test_one_seed_gives_the_same_bytes_and_another_others(suffix, sample):
    first = sample(f"one.{suffix}", "--seed", 3).read_bytes()
    assert sample(f"two.{suffix}", "--seed", 3).read_bytes() == first
    assert sample(f"three.{suffix}", "--seed", 4).read_bytes() != first


def test_at_temperature_0_every_future_is_the_same(sample):
    with np.load(sample("cold.npz", "--temperature", 0, "--seed", 1)) as file:
        futures = file["futures"]
    np.testing.assert_array_equal(futures[0], futures[1])


def test_another_head_imagines(sample):
    with np.load(sample("kl.npz", head="kl")) as file:
        assert file["futures"].shape == (2, 5, 16, 16, 1)
        assert np.isfinite(file["futures"]).all()


def test_another_clip_and_a_later_start(sample):
    from latentseq import open_data

    squares = open_data("moving-squares", options={"count": 12, "length": 12, "size": 16})
    with np.load(sample("later.npz", "--clip", 4, "--start", "0.2s", "--prime", 4)) as file:
        np.testing.assert_array_equal(file["truth"], squares.read(4, 5, 12).frames / np.float32(255))
        assert file["one_step"].shape[0] == 3


def test_show_tells_what_was_made(runs, cli):
    folder, _ = runs
    told = {name: cli("show", folder / name) for name in ("ae", "z", "mixture")}
    assert all((answer.code, answer.err) == (0, "") for answer in told.values())
    assert "vae (encoders)" in told["ae"].out
    assert "lstm (dynamics)" in told["mixture"].out
    assert '"mixture"' in told["mixture"].out
    fingerprint = json.loads((folder / "ae" / "artifact.json").read_text())["fingerprint"]
    assert fingerprint in told["ae"].out
    assert f"vae, {fingerprint[:12]}…" in told["mixture"].out
    assert "144 of 4, 25 a second" in told["z"].out


def test_plugins_are_listed_a_line_each_for_other_programs_to_read(cli):
    answer = cli("plugins")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split() for line in answer.out.splitlines()]
    version = "0.1.0"
    assert ["encoders", "vae", "latentseq", version, "latentseq_plugins.encoders.vae:VAE"] in rows
    assert [
        "datasets",
        "moving-digits",
        "latentseq",
        version,
        "latentseq_plugins.datasets.moving_digits:MovingDigits",
    ] in rows
    assert [line for line in rows[1:] if line[0] != "encoders"]
    assert all(
        line[0] == "dynamics" for line in (row.split() for row in cli("plugins", "dynamics").out.splitlines()[1:])
    )


def test_a_movie_from_end_to_end(cli, write_movie, tmp_path):
    film, ae, lstm, out = write_movie("film.mp4", frames=60), tmp_path / "ae", tmp_path / "lstm", tmp_path / "out.npz"
    assert cli("train-ae", film, ae, *ENCODER, *BUDGET, "--size", "12x24", "--skip", 2).code == 0
    about = json.loads((ae / "artifact.json").read_text())
    assert about["preprocessing"] == {"size": [12, 24], "fit": "crop", "gray": False, "skip": 2, "fps": None}
    assert cli("show", ae / "cache").code == 0
    # Straight from the film: it is encoded on the way, and prepared as the encoder's film was.
    trained = cli("train-lstm", film, ae, lstm, *DYNAMICS, *BUDGET, "--length", 8)
    assert (trained.code, trained.out) == (0, f"{lstm}\n"), trained
    assert cli("sample", lstm, film, out, "--start", "0.4s", "--prime", 10, "--steps", 5) == (0, f"{out}\n", "")
    with np.load(out) as file:
        assert file["truth"].shape == (15, 12, 24, 3)
        # The film is at 25 frames a second and every second one is kept: 0.4 s are 5 of them.
        bits = file["truth"][:, 6, 1::2, 0] > 0.5
    assert (bits @ (1 << np.arange(12))).tolist() == list(range(10, 40, 2))


def test_a_movie_at_another_rate_is_encoded_at_it(honest, cli, write_movie, tmp_path):
    film, ae, z = write_movie("film.mp4", frames=60), tmp_path / "ae", tmp_path / "z"
    assert cli("train-ae", film, ae, "--encoder", "honest-encoder", *BUDGET, "--fps", 12.5, "--fit", "pad").code == 0
    about = json.loads((ae / "artifact.json").read_text())
    assert about["preprocessing"] == {"size": [48, 96], "fit": "pad", "gray": False, "skip": 1, "fps": 12.5}
    assert cli("encode", film, ae, z).code == 0
    latents = json.loads((z / "manifest.json").read_text())
    assert (latents["fps"], [run["length"] for run in latents["clips"]]) == (12.5, [30])


def test_a_head_that_needs_a_posterior_says_so(honest, cli, tmp_path, tree):
    ae, z, out = tmp_path / "ae", tmp_path / "z", tmp_path / "out"
    assert cli("train-ae", *SQUARES, ae, "--encoder", "numpy-pca", "--set", "latent_dim=4", *BUDGET).code == 0
    assert cli("encode", *SQUARES, ae, z).code == 0
    before = tree(tmp_path)
    answer = cli("train-lstm", z, ae, out, "--head", "kl", *DYNAMICS, *BUDGET)
    assert (answer.code in (2, 65), answer.out) == (True, "")
    assert answer.err.startswith("error: ")
    assert all(word in answer.err for word in ("kl", "posterior", "mixture", "mse"))
    answer = cli("train-lstm", z, ae, out, "--head", "mixtur", *DYNAMICS, *BUDGET)
    assert (answer.code, answer.out) == (2, "")
    assert "Did you mean 'mixture'?" in answer.err
    answer = cli("train-lstm", z, ae, out, "--set", "unitz=8", *BUDGET)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: lstm has no option 'unitz'. Did you mean 'units'? Its options: ")
    answer = cli("train-ae", *SQUARES, out, "--set", "latent_dimm=8", *BUDGET)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("error: vae has no option 'latent_dimm'. Did you mean 'latent_dim'? Its options: ")
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_no_log_line_of_a_native_library_reaches_the_terminal(tmp_path):
    script = Path(sys.executable).parent / "latentseq"
    arguments = ["train-ae", *SQUARES, tmp_path / "ae", *ENCODER, "--steps", 2]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    run = subprocess.run(
        [sys.executable, script, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{tmp_path / 'ae'}\n"
    assert re.fullmatch(r"(vae .*\n)+", run.stderr), run.stderr
