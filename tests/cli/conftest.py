"""The command line, run in this process."""

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


@pytest.fixture(scope="session")
def cli() -> Command:
    """Runs ``latentseq`` with arguments of any type."""

    def call(*arguments: object) -> Answer:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([str(a) for a in arguments])
        return Answer(code, out.getvalue(), err.getvalue())

    return call
