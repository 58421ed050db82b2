"""Who may import whom: the contracts of pyproject.toml hold, and each of them catches what it is for."""

import os
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

ROOT = Path(__file__).parents[2]
PACKAGES = ("latentseq", "cli/latentseq_cli", "plugins/latentseq_plugins")
LINTER = read_configuration(str(ROOT / "pyproject.toml"))
CONTRACTS = {each["id"]: each for each in LINTER["contracts_options"]}
KINDS = {"layers": LayersContract, "forbidden": ForbiddenContract}
LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Who imports whom, of all modules of the three roots."""
    return grimp.build_graph(
        *LINTER["session_options"]["root_packages"], include_external_packages=True, cache_dir=None
    )


def broken(graph: grimp.ImportGraph) -> set[str]:
    """The contracts that these imports break."""
    session = LINTER["session_options"]
    made = {name: KINDS[each["type"]](each["name"], session, each) for name, each in CONTRACTS.items()}
    return {name for name, each in made.items() if not each.check(deepcopy(graph), verbose=False).kept}


def test_every_import_goes_down(graph):
    assert len(CONTRACTS) == 5
    assert broken(graph) == set()


@pytest.mark.parametrize(
    ("importer", "imported", "contract"),
    [
        ("latentseq.arrays", "latentseq.storage.atomic", "layers"),
        ("latentseq.data.open", "latentseq.commands.encode", "layers"),
        ("latentseq.media.video", "latentseq.data.open", "layers"),
        ("latentseq.novelty", "latentseq.errors", "layers"),
        ("latentseq.commands.encode", "latentseq_plugins.encoders.vae", "roots"),
        ("latentseq_plugins.dynamics.lstm", "latentseq_cli.main", "roots"),
        ("latentseq.storage.shards", "keras", "frameworks"),
        ("latentseq.media.images", "tensorflow", "frameworks"),
        ("latentseq.ingestion.work", "keras", "frameworks"),
        ("latentseq_cli.sample", "keras", "commands"),
        ("latentseq_plugins.encoders.vae", "tensorflow_probability", "backends"),
        ("latentseq.networks.heads.kl", "tensorflow", "backends"),
    ],
)
def test_a_wrong_import_is_caught(importer, imported, contract, graph):
    wrong = deepcopy(graph)
    assert importer in wrong.modules or importer == "latentseq.novelty"
    wrong.add_import(importer=importer, imported=imported)
    assert contract in broken(wrong)


def test_the_linter_sees_imports_in_functions_and_for_type_checkers(tmp_path):
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module, line in {
        "latentseq/data/open.py": "import typing\nif typing.TYPE_CHECKING:\n    import latentseq.commands",
        "latentseq/commands/encode.py": "def later():\n    from latentseq_plugins.encoders import vae",
        "latentseq/storage/shards.py": "def later():\n    import keras",
        "cli/latentseq_cli/sample.py": "def later():\n    import keras",
        "plugins/latentseq_plugins/encoders/vae.py": "def later():\n    from tensorflow_probability import layers",
    }.items():
        with (tmp_path / module).open("a") as file:
            file.write(f"\n{line}\n")
    path = os.pathsep.join(str(tmp_path / root) for root in (".", "cli", "plugins"))
    run = subprocess.run(
        [sys.executable, "-c", LINT, "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    # A contract that is not kept is a line that ends in BROKEN, perhaps with how many imports it ignores.
    lines = [row.split(" (")[0] for row in run.stdout.splitlines()]
    assert run.returncode == 1, run.stdout + run.stderr
    for each in CONTRACTS.values():
        assert any(each["name"] in row and row.endswith("BROKEN") for row in lines), run.stdout


def test_the_page_on_architecture_lists_the_layers_of_pyproject():
    layers = CONTRACTS["layers"]["layers"]
    page = (ROOT / "docs" / "architecture.md").read_text().split("| layer | one rule |")[1].split("\n\n")[0]
    rows = [re.findall(r"`(\w+)`", line.split("|")[1]) for line in page.splitlines() if line.count("|") == 3][1:]
    assert rows == [layer.split(" | ") for layer in layers]


def test_the_top_of_the_library_is_small():
    top = [path for path in (ROOT / "latentseq").iterdir() if not path.name.startswith("_")]
    assert len([path for path in top if path.suffix == ".py"]) == 6
    assert len([path for path in top if (path / "__init__.py").is_file()]) <= 11
