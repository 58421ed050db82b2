"""The examples are short, registered under their own names, and shown on the tutorial page."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGE = (ROOT / "docs" / "plugins.md").read_text()
PLUGINS = {"keras-ae": "encoders", "keras-gru": "dynamics", "numpy-pca": "encoders"}
FILES = {p.relative_to(EXAMPLES): p.read_text() for p in sorted(EXAMPLES.glob("*/*.py"))}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_an_example_has_at_most_60_lines(path):
    assert len(FILES[path].splitlines()) <= 60


@pytest.mark.parametrize("name", PLUGINS)
def test_an_entry_point_names_the_class(name):
    module = name.replace("-", "_")
    project = tomllib.loads((EXAMPLES / name / "pyproject.toml").read_text())["project"]
    assert project["name"] == name
    [(group, points)] = project["entry-points"].items()
    assert (group, list(points)) == (f"latentseq.{PLUGINS[name]}", [name])
    where, _, kind = points[name].partition(":")
    text = FILES[Path(name) / f"{where}.py"]
    assert where == module
    assert f"\nclass {kind}(" in text and f'    name = "{name}"\n' in text


def blocks():
    """The Python blocks of the tutorial page, in order."""
    return re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def code(text):
    """The lines without indentation and empty lines, since the page shows methods without their class."""
    return "\n".join(line.strip() for line in text.splitlines() if line.strip())


def test_every_block_after_the_first_is_a_part_of_an_example():
    files = [code(text) for text in FILES.values()]
    strangers = [block for block in blocks()[1:] if not any(code(block) in text for text in files)]
    assert not strangers, "No example holds these blocks of docs/plugins.md:\n" + "\n".join(strangers)


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "test_keras_ae.py"], ids=str)
def test_the_page_shows_whole_examples(path):
    assert FILES[path] in blocks(), f"docs/plugins.md shows another {path}."


def test_the_smallest_encoder_works(install, tmp_path):
    from latentseq import Budget, load_encoder, train_ae

    install("brightness", {"encoders": {"brightness": "brightness:Brightness"}}, brightness=blocks()[0])
    run = train_ae("moving-squares", tmp_path / "run", encoder="brightness", budget=Budget(steps=1), quiet=True)
    model = load_encoder(run, allow_plugins=["brightness"])
    frames = np.linspace(0, 1, 3, dtype=np.float32)[:, None, None, None] * np.ones((1, 40, 40, 1), np.float32)
    np.testing.assert_allclose(model.decode(model.encode(frames).mean), frames, atol=1e-6)
