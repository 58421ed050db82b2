"""Every encoder as it is typed: trained, loaded, encoding and decoding, and what is said of its latents."""

import json

import numpy as np
import pytest

from latentseq.models.latent import encode_windows
from latentseq.storage.artifact import read_artifact
from latentseq_plugins.datasets.moving_squares import MovingSquares

SQUARES = ["moving-squares", "--data-set", "count=12", "--data-set", "length=12", "--data-set", "size=16"]
BUDGET = ["--steps", 6, "--batch-size", 8]
SMALL = ["--set", "widths=[4, 8]"]
STACK = [
    *("--set", "features=conv-ae", "--set", "features.widths=[4, 8]", "--set", "features.latent_dim=3"),
    *("--set", "latents=feature-vae", "--set", "latents.latent_dim=5", "--set", "latents.widths=[16]"),
    *("--set", "decoder=deconv", "--set", "decoder.widths=[4, 8]"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize(
    ("name", "options", "shape"),
    [
        ("conv-ae", [*SMALL, "--set", "latent=map", "--set", "latent_dim=2"], (4, 4, 2)),
        pytest.param(
            *("feature-vae", ["--set", "widths=[16]", "--set", "latent_dim=4"], (4,)), marks=pytest.mark.slow
        ),
        ("pca", ["--set", "latent_dim=4"], (4,)),
        pytest.param("stack", STACK, (5,), marks=pytest.mark.slow),  # In Python in tests/plugins/test_stack.py.
        pytest.param(
            *("vae", [*SMALL, "--set", "latent=map", "--set", "latent_dim=2", "--set", "free_bits=0.1"], (4, 4, 2)),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_it_trains_encodes_and_loads(name, options, shape, cli, runs):
    answer = cli("train-ae", *SQUARES, runs / name, "--encoder", name, *options, *BUDGET)
    assert (answer.code, answer.out) == (0, f"{runs / name}\n"), answer
    assert all(line.startswith(f"{name} ") for line in answer.err.splitlines()), answer.err
    assert cli("encode", *SQUARES, runs / name, runs / f"{name}-z").code == 0
    manifest = json.loads((runs / f"{name}-z" / "manifest.json").read_text())
    assert tuple(manifest["latent_shape"]) == shape
    model = read_artifact(runs / name, "encoders").load()
    x = MovingSquares(count=12, length=12, size=16).read(0).frames[None] / np.float32(255)
    assert encode_windows(model, x).mean.shape == (1, 12, *shape)


@pytest.mark.slow  # In Python in tests/plugins/test_stack.py.
def test_a_stack_takes_a_trained_run_in(cli, runs):
    cae = ["--encoder", "conv-ae", *SMALL, "--set", "latent=map", "--set", "latent_dim=2"]
    assert cli("train-ae", *SQUARES, runs / "cae", *cae, *BUDGET).code == 0
    stack = ["--set", f"features={runs / 'cae'}", *STACK[6:]]
    answer = cli("train-ae", *SQUARES, runs / "on-cae", "--encoder", "stack", *stack, *BUDGET)
    assert answer.code == 0, answer
    files = {str(p.relative_to(runs / "on-cae")) for p in (runs / "on-cae").rglob("*.safetensors")}
    assert files == {f"{part}/weights.safetensors" for part in ("features", "latents", "decoder")}
    features = (runs / "on-cae" / "features" / "weights.safetensors").read_bytes()
    assert features == (runs / "cae" / "weights.safetensors").read_bytes()
    stages = {row.split(",")[0] for row in (runs / "on-cae" / "history.csv").read_text().splitlines()[1:]}
    assert stages == {"latents.main", "decoder.main"}


SCRATCH = ("--set", "linear_start=false")  # A linear start ignores nothing.


def test_what_is_wrong_with_the_latents_is_told(cli, tmp_path):
    answer = cli("train-ae", *SQUARES, tmp_path / "vae", *SMALL, "--set", "latent_dim=2", *SCRATCH, "--steps", 1)
    assert answer.code == 0, answer
    assert "vae · The decoder ignores Z: it reconstructs an input no better" in answer.err


def test_an_option_of_a_part_that_there_is_not(cli, tmp_path):
    answer = cli("train-ae", *SQUARES, tmp_path / "out", "--encoder", "pca", "--set", "features.widths=[4]")
    assert answer.code == 2
    assert answer.err == ("error: pca has no part 'features' for the option features.widths. Its parts: none.\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_dynamics_on_a_stack_hold_a_copy_of_all_its_parts(cli, runs):
    small = ["--set", "units=8", "--set", "layers=1", *BUDGET]
    assert cli("train-lstm", runs / "stack-z", runs / "stack", runs / "lstm", *small).code == 0
    assert cli("verify", runs / "lstm").code == 0
    answer = cli("sample", runs / "lstm", *SQUARES, runs / "out.npz", "--prime", 4, "--steps", 3)
    assert answer.code == 0, answer
    with np.load(runs / "out.npz") as file:
        assert all(np.isfinite(a).all() for a in file.values() if a.dtype.kind == "f")


def test_maps_are_refused_by_what_takes_vectors(cli, runs, tmp_path):
    answer = cli("train-lstm", runs / "conv-ae-z", runs / "conv-ae", tmp_path / "out")
    assert answer.code == 2
    assert answer.err.startswith("error: lstm: the latents are maps of shape (4, 4, 2); expected vectors (d,). ")
