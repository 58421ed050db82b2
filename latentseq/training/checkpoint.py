"""The whole state of training, as plain arrays: weights, optimiser, seeds, metrics."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from latentseq.errors import DataError
from latentseq.storage.atomic import write_bytes


def save_tensors(tensors: Mapping[str, np.ndarray], path: Path) -> str:
    """Write arrays to a safetensors file; returns its SHA-256. The same arrays give the same bytes."""
    return write_bytes(path, save({k: np.array(tensors[k], order="C") for k in sorted(tensors)}))


def load_tensors(path: Path, expected: Mapping[str, tuple[tuple[int, ...], str]]) -> dict[str, np.ndarray]:
    """Read arrays, each of the shape and dtype that the configuration calls for.

    Args:
        path: a safetensors file.
        expected: shape and dtype by name.

    Raises:
        DataError: unreadable, or other names, shapes or dtypes.
    """
    try:
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError, KeyError, ValueError) as cause:
        raise DataError(f"{path} cannot be read: {cause}. Copy the folder again, or train again.") from cause
    found = {key: (tuple(a.shape), str(a.dtype)) for key, a in tensors.items()}
    for key in sorted({*found, *expected}):
        if found.get(key) != expected.get(key):
            raise DataError(
                f"{path} does not fit the configuration beside it: {key} is {found.get(key, 'missing')}; "
                f"expected {expected.get(key, 'no such array')}."
            )
    return tensors


def training_state(models: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Everything that the next step depends on, by model and variable: weights, optimiser, seeds, metrics.

    Args:
        models: compiled keras.Model by name.
    """
    return {key: np.array(v) for key, v in _variables(models).items()}


def restore_training_state(models: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> None:
    """Put back what ``training_state`` gave.

    Raises:
        DataError: it is of other models.
    """
    variables = _variables(models)
    if variables.keys() != state.keys():
        odd = sorted(variables.keys() ^ state.keys())[0]
        raise DataError(f"The saved state of training is of another model: {odd} is only in one of the two.")
    for key, variable in variables.items():
        variable.assign(state[key])


def _variables(models: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, model in models.items():
        if model.optimizer and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        for kind, variables in (
            ("model", model.variables),
            ("optimizer", model.optimizer.variables if model.optimizer else []),
        ):
            found.update({f"{name}/{kind}/{i:04d}": v for i, v in enumerate(variables)})
    return found
