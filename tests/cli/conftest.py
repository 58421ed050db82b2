"""The command line, run in this process, and small runs to give it."""

import contextlib
import io
from collections.abc import Callable
from typing import NamedTuple

import pytest

from latentseq_cli.main import run


class Answer(NamedTuple):
    """What a command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Command = Callable[..., Answer]
SQUARES = ["moving-squares", "--data-set", "count=12", "--data-set", "length=12", "--data-set", "size=16"]
TRUSTED = tuple(
    word for name in ("honest-encoder", "honest-dynamics", "numpy-pca") for word in ("--allow-plugin", name)
)
QUICK = ["--encoder", "honest-encoder", "--steps", 2]


@pytest.fixture(scope="session")
def cli() -> Command:
    """Runs ``latentseq`` with arguments of any type; the tests' own plugins are allowed where a model names them."""

    def call(*arguments: object) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        if arguments and arguments[0] in ("encode", "train-lstm", "sample", "evaluate", "surprise", "interpolate"):
            arguments += TRUSTED
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(a) for a in arguments])
        return Answer(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="module")
def runs(honest, cli, tmp_path_factory):
    """Two encoders, the latents of the first, and dynamics on them: all NumPy."""
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("ae", 0), ("other", 1)):
        data = [*SQUARES, "--data-set", f"seed={seed}"]
        assert cli("train-ae", *data, folder / name, *QUICK).code == 0
    assert cli("encode", *SQUARES, folder / "ae", folder / "z").code == 0
    dynamics = ["--dynamics", "honest-dynamics", "--steps", 2]
    assert cli("train-lstm", folder / "z", folder / "ae", folder / "lstm", *dynamics).code == 0
    return folder


@pytest.fixture
def refused(runs, cli, tmp_path, tree):
    """Runs a command that has to fail; checks that nothing changed; its message without ``error:``."""

    def call(code, *arguments):
        before = tree(runs), tree(tmp_path)
        answer = cli(*arguments)
        assert (answer.code, answer.out) == (code, ""), answer
        lines = answer.err.splitlines()
        assert len(lines) == 1, answer.err
        assert lines[0].startswith("error: ")
        assert "This is a defect" not in lines[0]
        after = tree(runs), tree(tmp_path)
        assert after == before, "Something was written or lost."
        return lines[0].removeprefix("error: ")

    return call
