"""What Keras computes with: TensorFlow or JAX, looked at without importing either.

The backend is that of ``--backend``, which is the same as ``KERAS_BACKEND``; where neither is there, the ``backend``
of Keras's own file ``keras.json``, if it is jax or tensorflow; else TensorFlow.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from latentseq.errors import UsageError, did_you_mean, listed

BACKENDS = {"jax": 'pip install "latentseq[jax]"', "tensorflow": 'pip install "tensorflow>=2.20"'}
"""Name, as Keras has it -> how it is installed."""
VARIABLE = "KERAS_BACKEND"
"""Of the environment; Keras reads it when it is imported, and never again."""


def check_backend(name: str | None = None) -> None:
    """Refuse a backend that is none of ours or is not installed.

    Args:
        name: of the backend; the one that Keras runs on, or will, where None.

    Raises:
        UsageError: saying which there are, or how it is installed.
    """
    name = name or _chosen()
    if name not in BACKENDS:
        raise UsageError(
            f"Keras is to run on {name!r}. {did_you_mean(name, BACKENDS)}Expected {' or '.join(BACKENDS)}. "
            f"Choose one of them with --backend, or in the environment variable {VARIABLE}."
        )
    if find_spec(name) is None:
        others = listed(other for other in BACKENDS if find_spec(other))
        raise UsageError(
            f"Keras is to run on {name!r}, which is not installed. Install it with {BACKENDS[name]}, or choose "
            f"another backend with --backend; installed: {others}."
        )


def choose_backend(name: str) -> None:
    """Have Keras run on a backend; call it before Keras is imported.

    Args:
        name: jax or tensorflow.

    Raises:
        UsageError: there is none of that name, or it is not installed.
    """
    check_backend(name)
    os.environ[VARIABLE] = name


@contextlib.contextmanager
def default_backend() -> Iterator[None]:
    """Within it, Keras is not imported on a backend that is none of ours, only because its ``keras.json`` says so.

    What the environment says stands, and so does Keras where it is imported already.
    """
    if VARIABLE in os.environ or "keras" in sys.modules:
        yield
        return
    os.environ[VARIABLE] = _chosen()
    try:
        yield
    finally:
        del os.environ[VARIABLE]


def _chosen() -> str:
    """The backend that Keras runs on, or the one that it will be imported on."""
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    home = os.environ.get("KERAS_HOME") or Path("~", ".keras").expanduser()
    try:
        said = json.loads(Path(home, "keras.json").read_text())["backend"]
    except (OSError, ValueError, LookupError, TypeError):
        said = None
    return said if said in BACKENDS and find_spec(said) else "tensorflow"
