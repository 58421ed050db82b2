"""The backend of Keras, TensorFlow or JAX, chosen without importing either.

``--backend`` and the environment variable ``KERAS_BACKEND`` come first, then the ``backend`` in Keras's own file
``keras.json`` if it is jax or tensorflow, then TensorFlow.
"""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from latentseq.errors import UsageError, did_you_mean, join_names

BACKENDS = {"jax": 'pip install "latentseq[jax]"', "tensorflow": 'pip install "tensorflow>=2.20"'}
"""Name of each backend in Keras -> command that installs it."""
VARIABLE = "KERAS_BACKEND"
"""The environment variable of the backend. Keras reads it once, when it is imported."""


def check_backend(name: str | None = None) -> None:
    """Refuse a backend that is unknown or not installed.

    Args:
        name: name of the backend; None for the backend of Keras in this process.

    Raises:
        UsageError: the backend is unknown or not installed.
    """
    name = name or _current()
    if name not in BACKENDS:
        raise UsageError(
            f"The backend of Keras is {name!r}. {did_you_mean(name, BACKENDS)}Expected {' or '.join(BACKENDS)}. "
            f"Choose one of them with --backend, or in the environment variable {VARIABLE}."
        )
    if find_spec(name) is None:
        others = join_names(other for other in BACKENDS if find_spec(other))
        raise UsageError(
            f"The backend of Keras is {name!r}, which is not installed. Install it with {BACKENDS[name]}, or choose "
            f"another backend with --backend; installed: {others}."
        )


def choose_backend(name: str) -> None:
    """Set the backend of Keras. This must happen before Keras is imported.

    Args:
        name: jax or tensorflow.

    Raises:
        UsageError: the backend is unknown or not installed.
    """
    check_backend(name)
    os.environ[VARIABLE] = name


@contextlib.contextmanager
def default_backend() -> Iterator[None]:
    """Keep Keras from starting on an unsupported backend that only its ``keras.json`` names.

    The environment variable takes precedence, and a Keras that is imported already stays as it is.
    """
    if VARIABLE in os.environ or "keras" in sys.modules:
        yield
        return
    os.environ[VARIABLE] = _current()
    try:
        yield
    finally:
        del os.environ[VARIABLE]


def _current() -> str:
    """The backend that Keras runs on, or will run on once it is imported."""
    if os.environ.get(VARIABLE):
        return os.environ[VARIABLE]
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    home = os.environ.get("KERAS_HOME") or Path("~", ".keras").expanduser()
    try:
        name = json.loads(Path(home, "keras.json").read_text())["backend"]
    except (OSError, ValueError, LookupError, TypeError):
        name = None
    return name if name in BACKENDS and find_spec(name) else "tensorflow"
