"""What importing costs: no framework before a model is touched, no plugin before it is asked for."""

import subprocess
import sys

import pytest

HEAVY = ("keras", "tensorflow", "jax", "torch", "tensorflow_probability", "sklearn", "matplotlib", "skimage")
CHECK = f"""
import sys
heavy = [name for name in {HEAVY} if name in sys.modules]
plugins = [name for name in sys.modules if name.startswith("latentseq_plugins.")]
sys.exit(f"imported: {{heavy + plugins}}" if heavy or plugins else 0)
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code + CHECK], capture_output=True, text=True, check=False)


EVERY = """
import pkgutil, {0}
for module in pkgutil.iter_modules({0}.__path__, "{0}."):
    if module.name != "latentseq.media.charts":  # It is matplotlib, and says so: imported where a chart is drawn.
        __import__(module.name)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import latentseq; latentseq.Encoder; latentseq.Latents; latentseq.open_data",
        EVERY.format("latentseq.media"),
        EVERY.format("latentseq.storage"),
        EVERY.format("latentseq.training"),
        "import latentseq.testing, latentseq.evaluation.protocol, latentseq.describe, latentseq.previews",
        "import latentseq; latentseq.train_ae; latentseq.encode; latentseq.train_lstm; latentseq.sample",
        "import latentseq.demo",
    ],
    ids=["latentseq", "media", "storage", "training", "testing", "functions", "demo"],
)
def test_the_library_imports_no_framework(code):
    run = python(code)
    assert run.returncode == 0, run.stderr


def test_the_command_line_imports_no_framework_and_no_numpy():
    code = """
import pkgutil, sys, latentseq_cli, latentseq_cli.main
for module in pkgutil.iter_modules(latentseq_cli.__path__, "latentseq_cli."):
    __import__(module.name)
assert "numpy" not in sys.modules
for command in latentseq_cli.main.COMMANDS:
    assert latentseq_cli.main.run([command, "--help"]) == 0
assert "numpy" not in sys.modules
"""
    run = python(code)
    assert run.returncode == 0, run.stderr


def test_listing_plugins_imports_none():
    run = python("from latentseq_cli.main import run\nassert run(['plugins']) == 0")
    assert run.returncode == 0, run.stderr
    assert "latentseq_plugins.encoders.vae:VAE" in run.stdout


def test_opening_generated_data_imports_that_dataset_only():
    code = """
from latentseq import open_data
open_data("moving-squares").read(0)
import sys
assert sorted(n for n in sys.modules if n.startswith("latentseq_plugins.")) == [
    "latentseq_plugins.datasets", "latentseq_plugins.datasets.moving_squares"
]
for name in [n for n in sys.modules if n.startswith("latentseq_plugins.")]:
    del sys.modules[name]
"""
    run = python(code)
    assert run.returncode == 0, run.stderr
