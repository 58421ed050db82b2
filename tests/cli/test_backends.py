"""Commands on JAX, without TensorFlow; models that go from one backend to the other; a backend that is not there."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import SQUARES

from latentseq import registry
from latentseq.errors import UsageError

KEY = "KERAS_BACKEND"
ON_JAX = """
import json, sys

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tensorflow", "tf_keras"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NoTensorFlow())
from latentseq_cli.main import run

for line in json.loads(sys.argv[1]):
    if code := run(line):
        sys.exit(code)
import keras
print(keras.backend.backend(), sorted({"jax", "tensorflow"} & set(sys.modules)))
"""
TINY = ["--preset", "tiny", "--steps", 30, "--batch-size", 8]
FAST = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
EVALUATION = ["--data", *SQUARES, "--context", 4, "--horizon", 3]
SAMPLE = ["--prime", 4, "--steps", 8, "--samples", 1, "--temperature", 0]


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """From data to a table on JAX, where TensorFlow cannot be imported; the folder, and what was printed."""
    folder = tmp_path_factory.mktemp("jax")
    lines = [
        ["train-ae", *SQUARES, folder / "ae", *TINY, "--set", "widths=[4, 8]", "--learning-rate", 0.01],
        ["encode", *SQUARES, folder / "ae", folder / "z"],
        ["train-lstm", folder / "z", folder / "ae", folder / "lstm", *TINY, "--set", "free_steps=0", "--head", "mse"],
        ["sample", folder / "lstm", *SQUARES, folder / "sample.npz", *SAMPLE],
        ["train", *SQUARES, folder / "unet", "--predictor", "unet", *TINY],
        ["evaluate", folder / "lstm", folder / "unet", *EVALUATION, "--out", folder / "found", "--quiet"],
    ]
    typed = json.dumps([[str(word) for word in [*line, "--backend", "jax"]] for line in lines])
    run = subprocess.run(
        [sys.executable, "-c", ON_JAX, typed],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XLA_FLAGS": FAST},
    )
    assert run.returncode == 0, run.stderr
    return folder, run.stdout.splitlines()


def test_jax_trains_encodes_and_samples_without_tensorflow(on_jax):
    folder, out = on_jax
    made = [str(folder / name) for name in ("ae", "z", "lstm", "sample.npz", "unet", "found")]
    assert ([line for line in out if line in made], out[-1]) == (made, "jax ['jax']")


def test_a_model_of_one_backend_rolls_on_in_the_same_way_on_the_other(on_jax, cli, tmp_path):
    import keras

    assert keras.backend.backend() == "tensorflow"
    assert cli("sample", on_jax[0] / "lstm", *SQUARES, tmp_path / "sample.npz", *SAMPLE).code == 0
    with np.load(on_jax[0] / "sample.npz") as wanted, np.load(tmp_path / "sample.npz") as found:
        assert wanted["futures"].shape == (1, 8, 16, 16, 1)
        assert np.ptp(wanted["futures"]) > 1e-3  # A hundred times what they may differ by.
        for name in ("futures", "reconstruction", "one_step"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-5, err_msg=name)


def test_what_one_backend_trained_is_worth_as_much_on_the_other(on_jax, cli, tmp_path):
    models = [on_jax[0] / name for name in ("lstm", "unet")]
    assert cli("evaluate", *models, *EVALUATION, "--out", tmp_path / "found").code == 0
    wanted, found = (json.loads((f / "found" / "metrics.json").read_text())["models"] for f in (on_jax[0], tmp_path))
    for name in ("lstm", "unet"):
        for key in ("mse", "psnr", "ssim"):
            here, there = (each[name]["prediction"][key]["by_horizon"] for each in (found, wanted))
            assert here == pytest.approx(there, rel=1e-4), (name, key)


def test_an_unknown_backend(refused):
    message = (
        "The backend of Keras is 'tensorflo'. Did you mean 'tensorflow'? Expected jax or tensorflow. Choose one of "
        "them with --backend, or in the environment variable KERAS_BACKEND."
    )
    assert refused(2, "plugins", "--backend", "tensorflo") == message
    assert refused(2, "--backend=tensorflo", "plugins") == message


@pytest.mark.parametrize(("name", "line"), [("jax", '"latentseq[jax]"'), ("tensorflow", '"tensorflow>=2.20"')])
def test_a_backend_that_is_not_installed(name, line, refused, monkeypatch):
    monkeypatch.setattr("latentseq.backend.find_spec", lambda asked: asked != name or None)
    other = {"jax": "tensorflow", "tensorflow": "jax"}[name]
    assert refused(2, "plugins", "--backend", name) == (
        f"The backend of Keras is '{name}', which is not installed. Install it with pip install {line}, or choose "
        f"another backend with --backend; installed: {other}."
    )


def test_the_backend_is_taken_wherever_it_stands(cli, monkeypatch):

    for line in (
        ["plugins", "--backend", "jax"],
        ["--backend=jax", "plugins"],
        ["plugins", "--backend=jax", "encoders"],
    ):
        monkeypatch.setenv(KEY, "tensorflow")
        assert cli(*line).code == 0
        assert os.environ[KEY] == "jax"


def test_a_plugin_that_fails_for_its_backend_says_so(install, monkeypatch):
    install("faulty", {"encoders": {"faulty": "faulty_encoder:Faulty"}}, faulty_encoder="raise ValueError('Keras')")
    monkeypatch.setenv(KEY, "teapot")
    with pytest.raises(UsageError) as error:
        registry.load("encoders", "faulty")
    assert str(error.value).startswith("The backend of Keras is 'teapot'. Expected jax or tensorflow. ")
