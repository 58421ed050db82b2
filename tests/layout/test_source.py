"""Laws that are read off the source: what is documented, how long a file is, what no code does."""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOTS = ("latentseq", "cli/latentseq_cli", "plugins/latentseq_plugins")
SOURCES = {str(p.relative_to(ROOT)): p.read_text() for root in ROOTS for p in sorted((ROOT / root).rglob("*.py"))}
TREES = {name: ast.parse(text) for name, text in SOURCES.items()}
TESTS = {str(p.relative_to(ROOT)): p.read_text() for p in sorted((ROOT / "tests").rglob("*.py"))}
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef
MOST_PARAMETERS = 16
Rule = Callable[[str, ast.Module], Iterator[str]]


def public(tree: ast.Module) -> Iterator[tuple[str, Definition]]:
    """Classes and functions without a leading underscore, and the same in those classes, by dotted name."""

    def inside(body: list[ast.stmt], prefix: str) -> Iterator[tuple[str, Definition]]:
        for node in body:
            if isinstance(node, Definition) and (not node.name.startswith("_") or node.name == "__init__"):
                yield prefix + node.name, node
                if isinstance(node, ast.ClassDef):
                    yield from inside(node.body, f"{prefix}{node.name}.")

    return inside(tree.body, "")


def own_nodes(function: Function) -> Iterator[ast.AST]:
    """What a function's body holds, without the functions and classes in it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, (*Function.__args__, ast.ClassDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def undocumented(name: str, tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield f"{name}: the module has no docstring"
    for dotted, node in public(tree):
        if not ast.get_docstring(node):
            yield f"{name}:{node.lineno}: {dotted} has no docstring"


def raises_unsaid(name: str, tree: ast.Module) -> Iterator[str]:
    for dotted, node in public(tree):
        if ".test_" in dotted:
            continue  # A promise of the conformance kit: its docstring is the sentence that is broken.
        if isinstance(node, Function) and any(isinstance(n, ast.Raise) for n in own_nodes(node)):
            said = ast.get_docstring(node) or ""
            if "Raises:" not in said:
                yield f"{name}:{node.lineno}: {dotted} raises, and its docstring has no Raises:"


def long_file(name: str, tree: ast.Module) -> Iterator[str]:
    lines = len((SOURCES | TESTS)[name].splitlines())
    if lines > 400:
        yield f"{name} has {lines} lines; expected at most 400"


def assertions(name: str, tree: ast.Module) -> Iterator[str]:
    """An assert may tell a type checker that something is not None; it checks no input, and vanishes under -O."""
    for function in (n for n in ast.walk(tree) if isinstance(n, Function)):
        for node in (n for n in own_nodes(function) if isinstance(n, ast.Assert)):
            test = node.test
            narrows = isinstance(test, ast.Compare) and ast.unparse(test).endswith(" is not None")
            if not narrows or function.name == "__init__":
                yield f"{name}:{node.lineno}: assert {ast.unparse(test)}"


def calls_of(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def forbidden_calls(name: str, tree: ast.Module) -> Iterator[str]:
    """No guessing at what an object has, nothing evaluated, nothing unpickled."""
    never = {
        "hasattr",
        "eval",
        "exec",
        "pickle.load",
        "pickle.loads",
        "keras.models.load_model",
        "keras.saving.load_model",
    }
    for node, called in calls_of(tree):
        pickles = any(k.arg == "allow_pickle" and ast.unparse(k.value) != "False" for k in node.keywords)
        if called in never or pickles:
            yield f"{name}:{node.lineno}: {ast.unparse(node)}"


def unseeded(name: str, tree: ast.Module) -> Iterator[str]:
    """Randomness comes from a seed that is given: no global state, no generator that seeds itself."""
    seeded = {"default_rng", "Generator", "Philox", "PCG64", "SeedSequence"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(a.name == "random" for a in node.names):
            yield f"{name}:{node.lineno}: import random"
    for node, called in calls_of(tree):
        module, _, function = called.rpartition(".")
        given = bool(node.args or node.keywords)
        if module in ("np.random", "numpy.random") and not (function in seeded and given):
            yield f"{name}:{node.lineno}: {ast.unparse(node)}"
        if module == "keras.random" and function != "SeedGenerator" and "seed" not in {k.arg for k in node.keywords}:
            yield f"{name}:{node.lineno}: {ast.unparse(node)} has no seed"


def changing_state(name: str, tree: ast.Module) -> Iterator[str]:
    """No module state that changes: nothing is declared global, and a lower-case module name is bound once."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield f"{name}:{node.lineno}: global {', '.join(node.names)}"
    for node in tree.body:
        if isinstance(node, ast.AugAssign):
            yield f"{name}:{node.lineno}: {ast.unparse(node)}"


def loose_keywords(name: str, tree: ast.Module) -> Iterator[str]:
    """A plugin's keywords are its configuration: all named, all with a type, none swallowed."""
    plugin = {"Dataset", "Encoder", "Decoder", "Dynamics", "Predictor"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and plugin & {ast.unparse(b) for b in node.bases}:
            for made in (n for n in node.body if isinstance(n, Function) and n.name == "__init__"):
                taken = made.args
                if taken.vararg or taken.kwarg:
                    yield f"{name}:{made.lineno}: {node.name} takes *args or **kwargs"
                for argument in [*taken.args[1:], *taken.kwonlyargs]:
                    if argument.annotation is None:
                        yield f"{name}:{argument.lineno}: {node.name}: {argument.arg} has no type"


def hidden_networks(name: str, tree: ast.Module) -> Iterator[str]:
    """TensorFlow refuses a scope that begins with an underscore, and Keras names a network after its class."""
    networks = {"keras.Model", "layers.Layer", "keras.layers.Layer"}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ClassDef)
            and node.name.startswith("_")
            and networks & set(map(ast.unparse, node.bases))
        ):
            yield f"{name}:{node.lineno}: class {node.name}"


def printing(name: str, tree: ast.Module) -> Iterator[str]:
    """Only commands print; the library shows progress through its Watcher."""
    if not name.startswith("cli/") and not name.endswith("__main__.py"):
        for node, called in calls_of(tree):
            if called == "print":
                yield f"{name}:{node.lineno}: {ast.unparse(node)}"


def many_parameters(name: str, tree: ast.Module) -> Iterator[str]:
    """Options that go together are a dataclass; only a command of the command line has a parameter for each."""
    for dotted, node in public(tree):
        command = name.startswith("cli/") and dotted == "command"
        if isinstance(node, Function) and not command:
            arguments = node.args
            names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
            names = [a for a in names if a not in ("self", "cls")]
            if len(names) > MOST_PARAMETERS:
                yield f"{name}:{node.lineno}: {dotted} has {len(names)} parameters, more than {MOST_PARAMETERS}"


LAWS: list[Rule] = [
    undocumented,
    raises_unsaid,
    long_file,
    assertions,
    forbidden_calls,
    unseeded,
    changing_state,
    loose_keywords,
    hidden_networks,
    printing,
    many_parameters,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_source_keeps_the_law(law):
    found = [line for name, tree in TREES.items() for line in law(name, tree)]
    assert not found, "\n".join(found)


def test_test_files_are_short_too():
    assert not [line for name in TESTS for line in long_file(name, ast.Module([], []))]


@pytest.mark.parametrize(
    ("law", "text"),
    [
        (undocumented, '"""Module."""\n\n\ndef f(): ...\n'),
        (undocumented, '"""Module."""\n\n\nclass C:\n    """C."""\n\n    def __init__(self): ...\n'),
        (undocumented, "x = 1\n"),
        (raises_unsaid, 'def f(x):\n    """F."""\n    if x:\n        raise ValueError\n'),
        (assertions, "def f(x):\n    assert x > 0\n"),
        (assertions, "class C:\n    def __init__(self, x):\n        assert x is not None\n"),
        (forbidden_calls, "hasattr(x, 'y')\n"),
        (forbidden_calls, "np.load(p, allow_pickle=True)\n"),
        (unseeded, "np.random.normal()\n"),
        (unseeded, "np.random.default_rng()\n"),
        (unseeded, "import random\n"),
        (unseeded, "keras.random.normal(s)\n"),
        (changing_state, "def f():\n    global x\n    x = 1\n"),
        (loose_keywords, "class C(Encoder):\n    def __init__(self, **kwargs): ...\n"),
        (loose_keywords, "class C(KerasPlugin, Dynamics):\n    def __init__(self, units=3): ...\n"),
        (hidden_networks, "class _Net(keras.Model): ...\n"),
        (printing, "print(1)\n"),
        (many_parameters, f"def f({', '.join(f'a{i}' for i in range(17))}): ...\n"),
        (many_parameters, f"class C:\n    def __init__(self, *, {', '.join(f'a{i}' for i in range(17))}): ...\n"),
    ],
)
def test_a_law_catches_what_it_is_for(law, text):
    assert list(law("latentseq/made_up.py", ast.parse(text)))
