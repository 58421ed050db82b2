"""What is installed is what pyproject.toml says."""

import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest

from latentseq import __version__, registry

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
NO_PRESETS = [("predictors", "latent")]  # Its parts have some.
GROUPS = {f"latentseq.{group}": group for group in registry.KINDS}


def test_installed_entry_points_are_those_of_pyproject():
    installed: dict[str, dict[str, str]] = {}
    for point in distribution("latentseq").entry_points:
        installed.setdefault(point.group, {})[point.name] = point.value
    assert installed == {"console_scripts": PROJECT["scripts"], **PROJECT["entry-points"]}, (
        "Install again: pip install -e ."
    )


def test_every_group_is_one_that_is_read():
    assert set(PROJECT["entry-points"]) <= set(GROUPS)


def test_the_version_is_said_once_too_often_but_alike():
    assert __version__ == PROJECT["version"] == distribution("latentseq").version


@pytest.mark.parametrize(
    ("group", "name"), [(GROUPS[g], name) for g, points in PROJECT["entry-points"].items() for name in points]
)
def test_a_plugin_is_registered_under_its_own_name(group, name):
    plugin = registry.load(group, name)
    assert plugin.name == name
    if (group, name) not in NO_PRESETS and group != "datasets":
        assert list(plugin.presets) == ["tiny", "cpu", "gpu"], "--preset means the same everywhere."
