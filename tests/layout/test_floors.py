"""Who may import whom: the contracts of pyproject.toml hold, and each of them catches what it is for."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("latentseq", "cli/latentseq_cli", "plugins/latentseq_plugins")
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(str(folder / root) for root in (".", "cli", "plugins"))
    return subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_import_goes_down():
    run = lint(ROOT)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "Contracts: 5 kept, 0 broken." in run.stdout


@pytest.mark.parametrize(
    ("module", "line", "contract"),
    [
        ("latentseq/arrays.py", "from latentseq.storage import atomic", "lower layers only"),
        (
            "latentseq/data/open.py",
            "def later():\n    from latentseq.commands.encode import encode",
            "lower layers only",
        ),
        ("latentseq/media/video.py", "from latentseq.data.open import open_data", "lower layers only"),
        ("latentseq/novelty.py", "from latentseq import errors", "lower layers only"),
        ("latentseq/commands/encode.py", "import latentseq_plugins.encoders.vae", "neither plugins nor commands"),
        ("plugins/latentseq_plugins/dynamics/lstm.py", "import latentseq_cli.main", "neither plugins nor commands"),
        ("latentseq/storage/shards.py", "def later():\n    import keras", "before a model is touched"),
        ("latentseq/media/images.py", "import tensorflow", "before a model is touched"),
        ("latentseq/ingestion/work.py", "def later():\n    import keras", "before a model is touched"),
        ("cli/latentseq_cli/sample.py", "import keras", "imports no framework itself"),
        ("plugins/latentseq_plugins/encoders/vae.py", "import tensorflow_probability", "has one import"),
        ("latentseq/networks/heads/kl.py", "import tensorflow", "has one import"),
    ],
)
def test_a_wrong_import_is_caught(module, line, contract, copy):
    with (copy / module).open("a") as file:
        file.write(f"\n{line}\n")
    run = lint(copy)
    # A contract that is not broken is a line that ends in KEPT, with how many imports it ignores.
    broken = [row for row in run.stdout.splitlines() if row.split(" (")[0].endswith("BROKEN")]
    assert run.returncode == 1, run.stdout + run.stderr
    assert any(contract in row for row in broken), run.stdout


def test_the_page_on_architecture_lists_the_layers_of_pyproject():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers = next(c["layers"] for c in contracts if c["id"] == "layers")
    page = (ROOT / "docs" / "architecture.md").read_text().split("| layer | one rule |")[1].split("\n\n")[0]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in page.splitlines() if line.count("|") == 3][1:]
    assert rows == [layer.split(" | ") for layer in layers]


def test_the_top_of_the_library_is_small():
    top = [path for path in (ROOT / "latentseq").iterdir() if not path.name.startswith("_")]
    assert len([path for path in top if path.suffix == ".py"]) == 6
    assert len([path for path in top if (path / "__init__.py").is_file()]) <= 11
