"""The complete state of training as plain arrays, and its checkpoints on disk."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from latentseq.errors import DataError
from latentseq.storage.atomic import read_json, write_bytes, write_sealed
from latentseq.storage.inside import inside
from latentseq.storage.reading import SEAL, Fields, is_plain, open_regular, seal
from latentseq.storage.tensors import save_tensors


class Saved(NamedTuple):
    """A checkpoint that was read from disk.

    Attributes:
        tensors: arrays by name.
        progress: progress of training, as JSON types.
        damaged: whether there was a later checkpoint that is damaged.
        path: file that holds the progress.
    """

    tensors: dict[str, np.ndarray]
    progress: dict[str, Any]
    damaged: bool
    path: Path


class Checkpoints:
    """The checkpoints of one stage of a run: the newest and the one before it.

    A checkpoint is a file of tensors and a pointer to it. The pointer holds the SHA-256 of the tensors, the progress
    and a SHA-256 of its own. Saving writes the tensors, copies the previous pointer to another name, and then writes
    the new pointer. So a process may end between any two steps without losing both checkpoints.
    """

    def __init__(self, folder: Path, stage: str):
        """Set the location of the checkpoints; nothing is written yet.

        Args:
            folder: folder of all checkpoints of a run.
            stage: name of the stage; letters, digits and dots.
        """
        self._folder = folder
        self._stage = stage
        self._newest = folder / f"{stage}.json"
        self._before = folder / f"{stage}.before.json"

    def save(self, tensors: Mapping[str, np.ndarray], step: int, progress: Mapping[str, Any]) -> None:
        """Write a checkpoint, keep the one before it and delete older ones.

        Args:
            tensors: arrays by name.
            step: number of steps taken so far.
            progress: progress of training, as JSON types.

        Raises:
            TryAgainError: the disk is full; the earlier checkpoints are unchanged.
        """
        newest, name = _pointer(self._newest), f"{self._stage}-{step:08d}"
        file = f"{name}.safetensors"
        if newest and newest["file"] == file:  # The earlier file must survive until the new one is complete.
            file = f"{name}-again.safetensors"
        digest = save_tensors(tensors, self._folder / file)
        if newest:
            write_bytes(self._before, self._newest.read_bytes())
        write_sealed(self._newest, {"file": file, "sha256": digest, "progress": dict(progress)})
        current = {file, newest["file"] if newest else None}
        for path in self._folder.glob(f"{self._stage}-*.safetensors"):
            if path.name not in current:
                path.unlink()

    def load(self) -> Saved | None:
        """Read the newest intact checkpoint; None if no checkpoint was ever written.

        Raises:
            DataError: every checkpoint is damaged, or a pointer has invalid fields.
        """
        pointers = [path for path in (self._newest, self._before) if path.exists()]
        for path in pointers:
            pointer = _pointer(path)
            file = inside(self._folder, pointer["file"]) if pointer else path
            data = _content(file, pointer["sha256"]) if pointer else None
            if pointer and data is not None:
                if path != self._newest:  # The next save must not keep the damaged pointer as the previous one.
                    write_bytes(self._newest, path.read_bytes())
                return Saved(_tensors(data, file), pointer["progress"], damaged=path != self._newest, path=path)
        if pointers:
            raise DataError(
                f"Every checkpoint of {self._stage!r} in {self._folder} is damaged: the stored SHA-256 checksums do "
                "not match. Copy the folder again, or start the run again with --overwrite."
            )
        return None


def _pointer(path: Path) -> dict[str, Any] | None:
    """Read a pointer; None if it is missing or damaged.

    Raises:
        DataError: its checksum is right, but a field is invalid.
    """
    try:
        pointer = read_json(path, "a checkpoint")
    except DataError:
        return None
    if pointer.get(SEAL) != seal(pointer):
        return None
    fields = Fields(pointer, path)  # Anyone can write a file with a matching seal, so the fields are checked too.
    fields.digest("sha256")
    fields.inner("progress")
    if not is_plain(pointer.get("file")):
        fields.refuse("file", pointer.get("file"), "the name of a file in the same folder")
    return pointer


def _content(path: Path, digest: str) -> bytes | None:
    """Read the bytes of a file; None if it is missing or its SHA-256 differs from ``digest``."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _tensors(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """Parse the bytes of a safetensors file.

    Raises:
        DataError: they are not a safetensors file.
    """
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError) as cause:
        raise DataError(f"{path} cannot be read as the arrays of a checkpoint: {cause}. Do not use it.") from cause


def check_tensors(tensors: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], what: str) -> None:
    """Refuse arrays that do not belong to a model.

    Args:
        tensors: arrays by name.
        expected: arrays by name, with the expected shapes and dtypes.
        what: name of the arrays, for the error.

    Raises:
        DataError: a name, shape or dtype differs.
    """
    for key in sorted(tensors.keys() | expected.keys()):
        if key not in tensors:
            raise DataError(f"{what} belongs to another model: {key} is missing.")
        if key not in expected:
            raise DataError(f"{what} belongs to another model: {key} is not expected.")
        received, needed = (f"{a.shape} {a.dtype}" for a in (tensors[key], expected[key]))
        if received != needed:
            raise DataError(f"{what} belongs to another model: {key} is {received}; expected {needed}.")


def training_state(models: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Copy everything that the next step depends on: weights, optimiser state, seeds and metrics.

    Args:
        models: compiled keras.Model by name.

    Returns:
        Arrays by model, kind and number of the variable.
    """
    return {key: np.array(v) for key, v in _variables(models).items()}


def restore_training_state(models: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> None:
    """Restore a state that ``training_state`` returned.

    Raises:
        DataError: it belongs to other models.
    """
    check_tensors(state, training_state(models), "The saved state of training")
    for key, variable in _variables(models).items():
        variable.assign(state[key])


def _variables(models: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, model in models.items():
        if model.optimizer and not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        for kind, variables in (
            ("model", model.variables),
            ("optimizer", model.optimizer.variables if model.optimizer else []),
        ):
            result.update({f"{name}/{kind}/{i:04d}": v for i, v in enumerate(variables)})
    return result
