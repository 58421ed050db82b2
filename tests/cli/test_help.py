"""Help: an example for every command, on the terminal at once."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from latentseq_cli.main import COMMANDS


def words(text):
    """The words of a help page, without its frames and line breaks."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


def example(command):
    text = importlib.import_module(f"latentseq_cli.{command.replace('-', '_')}").EXAMPLE
    return " ".join(text.replace("`", "").split())


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """A terminal that is wide enough for the help to be read by a test."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 200)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_of_a_command_ends_in_its_example(command, flag, cli):
    answer = cli(command, flag)
    assert (answer.code, answer.err) == (0, "")
    assert words(answer.out).endswith(example(command))
    assert f"Usage: latentseq {command}" in words(answer.out)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_explains_every_option(command, cli):
    import typer.main

    from latentseq_cli.main import app

    text = words(cli(command, "--help").out)
    for parameter in typer.main.get_command(app).commands[command].params:
        if parameter.param_type_name == "option":
            assert parameter.opts[0] in text
        assert words(parameter.help.replace("`", "")).partition(" [default")[0] in text


def test_the_help_lists_every_command_in_order(cli):
    answer = cli("--help")
    assert answer.code == 0
    text = words(answer.out)
    places = [text.index(f" {command} ") for command in COMMANDS]
    assert places == sorted(places)
    assert "Start with latentseq demo." in text


def test_no_command_is_no_success(cli):
    answer = cli()
    assert answer.code == 2
    assert words(answer.out) == words(cli("--help").out)
    assert answer.err == ""


def test_the_installed_command_answers_without_keras():
    script = Path(sys.executable).parent / "latentseq"
    code = [sys.executable, "-X", "importtime", str(script), "sample", "--help"]
    run = subprocess.run(code, capture_output=True, text=True, check=True)
    assert example("sample") in words(run.stdout).replace("  ", " ")
    imported = {
        line.rpartition("|")[2].strip() for line in run.stderr.splitlines() if line.startswith("import time:")
    }
    assert not {"numpy", "keras", "tensorflow", "av", "h5py"} & imported
    assert "latentseq_cli.options" in imported
