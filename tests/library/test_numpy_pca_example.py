"""The plugin that the tutorial is about: small, right, and free of every framework."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np

import latentseq
from latentseq.testing import EncoderPromises, promises

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "numpy-pca"
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
error = np.sum((pca.encode(x).mean @ pca.table[1:] - flat) ** 2)
print(error / best, np.abs(pca.table[0] - x.reshape(240, -1).mean(0)).max())
"""


def python(code, *args):
    """Run Python with the example and this latentseq importable, and nothing installed for it."""
    path = os.pathsep.join([str(EXAMPLE), str(Path(latentseq.__file__).parents[1])])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, env=env, check=False)


def test_it_keeps_every_promise_where_no_framework_can_be_imported():
    run = python(BLOCKER + RUN, str(EXAMPLE))
    assert run.returncode == 0, run.stdout + run.stderr
    assert f"{len(promises(EncoderPromises))} passed" in run.stdout


def test_it_has_at_most_35_lines():
    assert len((EXAMPLE / "numpy_pca.py").read_text().splitlines()) <= 35


def test_its_entry_point_names_its_class():
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["latentseq.encoders"] == {"numpy-pca": "numpy_pca:NumpyPCA"}


def test_learning_a_batch_at_a_time_comes_close_to_the_best_linear_encoder():
    run = python(TRAIN)
    assert run.returncode == 0, run.stderr
    ratio, off = map(float, run.stdout.split())
    assert 1 <= np.round(ratio, 4) < 1.1
    assert off < 1e-5


def test_the_tutorial_shows_the_example_as_it_is():
    tutorial = (EXAMPLE.parents[1] / "plugins.md").read_text()
    for name in ("numpy_pca.py", "test_numpy_pca.py"):
        assert (EXAMPLE / name).read_text() in tutorial, f"docs/plugins.md shows another {name}."
