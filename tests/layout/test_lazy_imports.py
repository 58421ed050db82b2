"""What importing costs: no framework before a model is touched, no plugin before it is asked for."""

import json
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
    if module.name != "latentseq.drawing.charts":  # It is matplotlib, and says so: imported where a chart is drawn.
        __import__(module.name)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import latentseq; latentseq.Encoder; latentseq.Latents; latentseq.open_data",
        EVERY.format("latentseq.media"),
        EVERY.format("latentseq.storage"),
        EVERY.format("latentseq.ingestion"),
        EVERY.format("latentseq.training"),
        EVERY.format("latentseq.evaluation"),
        "import latentseq.testing, latentseq.commands.show, latentseq.training.previews",
        "import latentseq; latentseq.train_ae; latentseq.encode; latentseq.train_lstm; latentseq.sample",
        "import latentseq.commands.demo, latentseq.commands.evaluate",
    ],
    ids=["latentseq", "media", "storage", "ingestion", "training", "evaluation", "testing", "functions", "demo"],
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


def test_ingesting_films_imports_no_framework(shared, tmp_path):
    """With cuts and sound, which have libraries of their own."""
    films = [str(shared / "data" / name) for name in ("bikes.mp4", "fire.mp4")]
    command = ["ingest", *films, str(tmp_path / "clips"), "--cuts", "--size", "16", "--quiet"]
    run = python(f"from latentseq_cli.main import run\nassert run({command}) == 0")
    assert run.returncode == 0, run.stderr
    manifest = json.loads((tmp_path / "clips" / "manifest.json").read_text())
    assert (manifest["frame_shape"], manifest["streams"]) == ([16, 16, 3], {"audio": 64, "audio_mask": 1})
    # Scenes start at 30, 76, 137, 187 and 242; the last is too short.
    assert [row["length"] for row in manifest["clips"] for _ in range(row["count"])] == [30, 46, 61, 50, 55, 25]


def test_opening_a_film_imports_that_dataset_only(write_movie):
    code = f"""
from latentseq import open_data
open_data({str(write_movie("film.mp4", 4))!r}, options={{"crop": 8, "clip_length": 2, "motion": 0.0}}).read(0)
import sys
assert sorted(n for n in sys.modules if n.startswith("latentseq_plugins.")) == [
    "latentseq_plugins.datasets", "latentseq_plugins.datasets.files"
]
for name in [n for n in sys.modules if n.startswith("latentseq_plugins.")]:
    del sys.modules[name]
"""
    run = python(code)
    assert run.returncode == 0, run.stderr


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
