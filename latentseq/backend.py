"""What Keras computes with: TensorFlow or JAX. Looked at without importing either."""

import os
from importlib.util import find_spec

from latentseq.errors import UsageError, did_you_mean, listed

BACKENDS = {"jax": 'pip install "latentseq[jax]"', "tensorflow": 'pip install "tensorflow>=2.20"'}
"""Name, as Keras has it -> how it is installed."""
VARIABLE = "KERAS_BACKEND"
"""Of the environment; Keras reads it when it is imported, and never again."""


def check_backend(name: str | None = None) -> None:
    """Refuse a backend that is none of ours or is not installed.

    Args:
        name: of the backend; that of the environment where None, or TensorFlow, which is Keras' default.

    Raises:
        UsageError: saying which there are, or how it is installed.
    """
    name = name or os.environ.get(VARIABLE) or "tensorflow"
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
