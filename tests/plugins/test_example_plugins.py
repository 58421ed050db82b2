"""The examples of the tutorial: they keep every promise, and numpy-pca keeps them without any framework."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import latentseq
from latentseq.testing import DynamicsPromises, EncoderPromises, promises

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
EXAMPLE = EXAMPLES / "numpy-pca"
BLOCKER = """
import sys

BLOCKED = {"keras", "tensorflow", "tensorflow_probability", "jax", "torch"}


class Blocker:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is blocked")


sys.meta_path.insert(0, Blocker)
"""
RUN = """
import importlib, pytest
for name in BLOCKED:
    try:
        importlib.import_module(name)
    except ImportError as error:
        assert "is blocked" in str(error)
    else:
        raise SystemExit(f"{name} could be imported")
sys.exit(pytest.main(["-p", "no:cacheprovider", "--rootdir", sys.argv[1], sys.argv[1]]))
"""
TRAIN = """
import numpy as np
from numpy_pca import NumpyPCA
from latentseq.testing.generated import blobs, generated
from latentseq.training.trainer import RunTrainer
x = blobs(np.arange(240), 1, (16, 16, 1))[:, 0]
pca = NumpyPCA((16, 16, 1), 8)
pca.fit(generated(lambda rows: {"x": blobs(rows, 1, (16, 16, 1))[:, 0]}), RunTrainer(None, epochs=1, batch_size=48))
flat = x.reshape(240, -1) - x.reshape(240, -1).mean(0)
best = np.sum(np.linalg.svd(flat, compute_uv=False)[8:] ** 2)
error = np.sum((pca.encode(x).mean @ pca.components - flat) ** 2)
print(error / best, np.abs(pca.mean - x.reshape(240, -1).mean(0)).max())
"""


def kit(folder: str, name: str) -> type:
    """The test class of an example, from the file that its author runs."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(EXAMPLES / folder))
        return getattr(import_module(f"test_{folder.replace('-', '_')}"), name)


@pytest.mark.jax
class TestKerasAE(kit("keras-ae", "TestKerasAE")):
    """The promises of the Keras encoder."""


@pytest.mark.jax
class TestKerasGRU(kit("keras-gru", "TestKerasGRU")):
    """The promises of the Keras dynamics."""

    far = 500


def test_the_examples_are_tested_by_the_kit():
    assert issubclass(TestKerasAE, EncoderPromises)
    assert issubclass(TestKerasGRU, DynamicsPromises)


@pytest.mark.parametrize(
    ("group", "folder", "name"), [("encoders", "keras-ae", "KerasAE"), ("dynamics", "keras-gru", "KerasGRU")]
)
def test_the_seed_decides_the_initial_weights(group, folder, name):
    model = kit(folder, f"Test{name}")().make()
    first, second, other = (
        np.concatenate([np.ravel(w) for n in each.networks.values() for w in n.get_weights()])
        for each in (
            model,
            type(model).from_config(model.get_config()),
            type(model).from_config({**model.get_config(), "seed": 1}),
        )
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def python(code, *args):
    """Run Python with the example and this latentseq importable, and nothing installed for it."""
    path = os.pathsep.join([str(EXAMPLE), str(Path(latentseq.__file__).parents[1])])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=env, check=False)


def test_it_keeps_every_promise_where_no_framework_can_be_imported():
    run = python(BLOCKER + RUN, str(EXAMPLE))
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(promises(EncoderPromises))} passed" in run.stdout


def test_learning_a_batch_at_a_time_comes_close_to_the_best_linear_encoder():
    run = python(TRAIN)
    assert run.returncode == 0, run.stderr
    ratio, off = map(float, run.stdout.split())
    assert 1 <= np.round(ratio, 4) < 1.1
    assert off < 1e-5
