"""Every command is its function: the same parameters, order and defaults, and it hands them on.

A parameter of the function that is a dataclass of options stands for its fields: the command has an option for each.
"""

import importlib
import inspect
import re
import shlex
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main

from latentseq_cli.main import COMMANDS, app

SETTINGS = ("options", "data_options", "env_options")
SHORTER = {
    "options": "--set",
    "data_options": "--data-set",
    "env_options": "--env-option",
    "allow_plugins": "--allow-plugin",
}
"""Options that are not called as the parameter is."""
TYPED = ("config",)
"""What is typed only: a file of options. In Python those are keywords (``runs.read_config``)."""


def module_of(command: str) -> Any:
    return importlib.import_module(f"latentseq_cli.{command.replace('-', '_')}")


def home_of(command: str) -> tuple[str, str]:
    """The module of a command's function, and the function: both have the command's name."""
    name = command.replace("-", "_")
    return f"latentseq.commands.{name}", name


def function_of(command: str) -> Any:
    module, name = home_of(command)
    return getattr(importlib.import_module(module), name)


def group_of(parameter: inspect.Parameter) -> Any:
    """The dataclass of options that a parameter takes; None for any other parameter."""
    return next((kind for kind in get_args(parameter.annotation) if is_dataclass(kind)), None)


def flat(function: Any) -> dict[str, inspect.Parameter]:
    """The parameters of a function, with the fields of options in the place of their dataclass."""
    parameters: dict[str, inspect.Parameter] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        group = group_of(parameter)
        fields = inspect.signature(group).parameters.values() if group else [parameter]
        parameters |= {p.name: p.replace(kind=parameter.kind) for p in fields}
        assert group is None or parameter.default is None, name
    return parameters


def default_of(parameter: inspect.Parameter) -> Any:
    """The default; a path and a number count as what one types for them."""
    value = parameter.default
    return str(value) if isinstance(value, (Path, int)) and not isinstance(value, bool) else value


def parsed_by(command: str) -> Any:
    return typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]


def examples(command: str) -> list[str]:
    return re.findall(r"`([^`]+)`", module_of(command).EXAMPLE)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_takes_what_its_function_takes(command):
    mine = {k: p for k, p in inspect.signature(module_of(command).command).parameters.items() if k not in TYPED}
    theirs = flat(function_of(command))
    assert list(mine) == list(theirs)
    assert {k: default_of(p) for k, p in mine.items()} == {k: default_of(p) for k, p in theirs.items()}
    # Arguments are what the function takes by position; options, by name only.
    kinds = {p.name: p.param_type_name for p in parsed_by(command).params if p.name not in TYPED}
    by_name = {k: p.kind is p.KEYWORD_ONLY for k, p in theirs.items()}
    assert kinds == {k: "option" if named else "argument" for k, named in by_name.items()}


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_is_called_as_its_parameter(command):
    for parameter in parsed_by(command).params:
        if parameter.param_type_name == "option":
            flag = SHORTER.get(parameter.name, "--" + parameter.name.replace("_", "-"))
            assert (parameter.opts, parameter.secondary_opts) == ([flag], [])
            assert parameter.help


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_hands_on_every_parameter(command, monkeypatch, capsys):
    module, name = home_of(command)
    signature, parameters = inspect.signature(function_of(command)), flat(function_of(command))
    passed: dict[str, Any] = {}

    def record(*args: Any, **keywords: Any) -> Any:
        passed.update(signature.bind(*args, **keywords).arguments)
        return {} if command in ("show", "verify") else [] if command == "plugins" else "the result"

    monkeypatch.setattr(f"{module}.{name}", record)
    for table in (
        "latentseq.commands.demo.table",
        "latentseq.commands.evaluate.table",
        "latentseq.commands.surprise.table",
    ):
        monkeypatch.setattr(table, lambda out: f"the table of {out}")
    groups = {name: group for name, p in signature.parameters.items() if (group := group_of(p))}
    for group in groups.values():
        monkeypatch.setattr(group, "__post_init__", lambda self: None)  # It would check the values.
    given = {key: [f"{key}=[1]"] if key in SETTINGS else object() for key in parameters}
    module_of(command).command(**given)
    for name, group in groups.items():
        options = passed.pop(name)
        assert type(options) is group
        passed |= {key: getattr(options, key) for key in inspect.signature(group).parameters}
    assert passed == {key: {key: [1]} if key in SETTINGS else value for key, value in given.items()}
    if command not in ("show", "verify", "plugins"):
        assert "the result" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("command", COMMANDS)
def test_an_example_is_a_command_line(command):
    lines = examples(command)
    assert lines
    for line in lines:
        program, name, *rest = shlex.split(line)
        assert (program, name) == ("latentseq", command)
        with parsed_by(command).make_context(name, rest) as context:
            assert set(context.params) - set(TYPED) == set(flat(function_of(command)))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_it_does_in_one_line(command):
    lines = module_of(command).command.__doc__.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(".")
