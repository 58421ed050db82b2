"""Laws of what no code here does: unpickle, evaluate, rebuild classes from names in files, start programs."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("latentseq", "cli/latentseq_cli", "plugins/latentseq_plugins")
TREES = {
    str(p.relative_to(ROOT)): ast.parse(p.read_text()) for root in ROOTS for p in sorted((ROOT / root).rglob("*.py"))
}
MODULES = {
    *("pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "dbm", "jsonpickle"),
    *("subprocess", "pty", "code", "codeop", "runpy", "ctypes", "cffi", "torch", "keras.saving", "keras.src.saving"),
}
"""Whose import is refused, and that of all that is in them."""
CALLS = {
    *("eval", "exec", "compile", "execfile", "__import__", "builtins.eval", "builtins.exec", "builtins.compile"),
    *("builtins.__import__", "os.system", "os.popen", "os.startfile", "os.posix_spawn", "importlib.reload"),
    *("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all", "torch.load", "np.fromregex"),
    *("pd.read_pickle", "pandas.read_pickle", "keras.config.enable_unsafe_deserialization"),
}
ENDINGS = {"load_model", "model_from_json", "model_from_yaml", "model_from_config", "read_pickle", "load_weights"}
"""Last names of functions that rebuild a model of a file."""
ARRAYS = {"load", "read_array", "lib.format.read_array", "lib.npyio.NpzFile", "lib.format.open_memmap"}
CONSTANT = {
    ("cli/latentseq_cli/main.py", """importlib.import_module(f"latentseq_cli.{_name.replace('-', '_')}")"""),
    ("latentseq/__init__.py", "import_module(_HOME[name])"),
    ("latentseq/media/cuts.py", "importlib.import_module('scenedetect')"),
    ("latentseq/commands/record.py", "importlib.import_module(module)"),
    ("latentseq/networks/heads/__init__.py", """import_module(f"{__name__}.{name.replace('-', '_')}")"""),
}
"""Imports by a name that stands in the source (commands, public names, optional libraries), by the name of a head,
which is the name of a file in its package, or by a name that a user types: the module of an environment to
record. No file chooses another module."""
NAMES = {
    ("cli/latentseq_cli/main.py", "COMMANDS"),
    ("latentseq/__init__.py", "_NAMES"),
}
"""The lists that those names are of."""


def aliases(tree: ast.Module) -> dict[str, str]:
    """What the names of a module stand for: ``from os import system as s`` makes ``s`` ``os.system``."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname or a.name.partition(".")[0]: a.name if a.asname else a.name.partition(".")[0]
                      for a in node.names}  # fmt: skip
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, a.name) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{a.name}") for a in node.names)


def never_unpickles(call: ast.Call) -> bool:
    """Whether the call says so, in as many words."""
    return any(k.arg == "allow_pickle" and ast.unparse(k.value) == "False" for k in call.keywords)


def unsafe(name: str, tree: ast.Module) -> Iterator[str]:
    """Everything in a module that could run what a file says."""
    for line, module in imported(tree):
        if any(module == each or module.startswith(f"{each}.") for each in MODULES):
            yield f"{name}:{line}: import of {module}"
    known = aliases(tree)
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, (ast.Name, ast.Attribute)) else ""
        first, dot, rest = text.partition(".")
        called = known.get(first, first) + dot + rest
        last = called.rpartition(".")[2]
        loading = called.startswith(
            ("keras.models.load", "keras.saving", "keras.utils.deserialize", "os.exec", "os.spawn")
        )
        if called in CALLS or last in ENDINGS or last.startswith("deserialize") or loading:
            yield f"{name}:{node.lineno}: {called}"
        if not isinstance(node, ast.Call):
            continue
        text = ast.unparse(node.func)
        first, dot, rest = text.partition(".")
        called = known.get(first, first) + dot + rest
        if called == "importlib.import_module" and (name, ast.unparse(node)) not in CONSTANT:
            yield f"{name}:{node.lineno}: {ast.unparse(node)}"
        module, _, function = called.partition(".")
        if module in ("np", "numpy") and function in ARRAYS and not never_unpickles(node):
            yield f"{name}:{node.lineno}: {ast.unparse(node)} does not say allow_pickle=False"
        if any(k.arg == "allow_pickle" for k in node.keywords) and not never_unpickles(node):
            yield f"{name}:{node.lineno}: {ast.unparse(node)}"
        if any(k.arg == "shell" and ast.unparse(k.value) != "False" for k in node.keywords):
            yield f"{name}:{node.lineno}: {ast.unparse(node)}"


def test_no_code_runs_what_a_file_says():
    assert TREES
    found = [line for name, tree in TREES.items() for line in unsafe(name, tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("name", "constant"), sorted(NAMES))
def test_a_list_of_names_to_import_is_written_out(name, constant):
    (value,) = (
        node.value
        for node in TREES[name].body
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == [constant]
    )
    words = [node for node in ast.walk(value) if isinstance(node, ast.Name)]
    assert {node.id for node in words} <= {"dict"}
    assert all(node.func.attr == "fromkeys" for node in ast.walk(value) if isinstance(node, ast.Call))


def test_what_may_be_imported_by_name_is_still_there():
    """An exception that nothing needs any more is taken off the list."""
    calls = {(name, ast.unparse(node)) for name, tree in TREES.items() for node in ast.walk(tree)}
    assert calls >= CONSTANT


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import cloudpickle as c",
        "import marshal, shelve",
        "import joblib",
        "from dill import load",
        "import subprocess",
        "from subprocess import run",
        "from keras.saving import load_model",
        "from keras import saving",
        "import keras\nkeras.saving.load_model(p)",
        "import keras\nkeras.models.load_model(p)",
        "import keras\nkeras.layers.deserialize(c)",
        "from keras.layers import deserialize as d\nd(c)",
        "import keras\nkeras.utils.deserialize_keras_object(c)",
        "import keras\nkeras.models.model_from_json(t)",
        "import tensorflow as tf\ntf.keras.models.load_model(p)",
        "eval(x)",
        "exec(x)",
        "f = eval",
        "compile(x, 'f', 'exec')",
        "__import__(x)",
        "import importlib\nimportlib.import_module(x)",
        "from importlib import import_module as load\nload(x)",
        "import os\nos.system(x)",
        "from os import system as s\ns(x)",
        "from os import popen\npopen(x)",
        "import os\nos.execv(x, y)",
        "import torch\ntorch.load(p)",
        "import yaml\nyaml.load(x)",
        "import numpy as np\nnp.load(p)",
        "import numpy\nnumpy.load(p, allow_pickle=True)",
        "import numpy as np\nnp.load(p, allow_pickle=flag)",
        "from numpy import load\nload(p)",
        "import numpy as np\nnp.lib.format.read_array(f)",
        "write(array, allow_pickle=True)",
        "run(command, shell=True)",
        "import ctypes",
    ],
)
def test_a_law_catches_what_it_is_for(text):
    assert list(unsafe("latentseq/made_up.py", ast.parse(text)))


@pytest.mark.parametrize(
    "text",
    [
        "import numpy as np\nnp.load(p, allow_pickle=False)",
        "import json\njson.loads(t)",
        "import re\nre.compile('a')",
        "model.compile(loss)",
        "artifact.load()",
        "import pickletools",
        "from importlib.metadata import version",
        "Thing.from_config(c)",
    ],
)
def test_a_law_leaves_alone_what_is_harmless(text):
    assert not list(unsafe("latentseq/made_up.py", ast.parse(text)))
