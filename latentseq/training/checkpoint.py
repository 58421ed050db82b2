"""The whole state of training, as plain arrays, and its place on disk."""

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
    """A checkpoint: arrays by name, and how far the training was, as JSON types."""

    tensors: dict[str, np.ndarray]
    progress: dict[str, Any]
    damaged: bool
    """Whether a later one was there, and damaged."""
    path: Path
    """Of the file that says the progress."""


class Checkpoints:
    """The checkpoints of one stage of a run: the newest, and the one before it until the next is safe.

    A checkpoint is a file of tensors, and a pointer to it with its SHA-256 and the progress; the pointer has a
    SHA-256 of its own. Tensors are written first, then the pointer to the checkpoint before them is kept under
    another name, then comes the pointer to the new ones: a process may end between any two steps.
    """

    def __init__(self, folder: Path, stage: str):
        """Name a place; nothing is written yet.

        Args:
            folder: of all checkpoints of a run.
            stage: of the run; letters, digits and dots.
        """
        self._folder, self._stage = folder, stage
        self._newest, self._before = folder / f"{stage}.json", folder / f"{stage}.before.json"

    def save(self, tensors: Mapping[str, np.ndarray], step: int, progress: Mapping[str, Any]) -> None:
        """Write a checkpoint; the one before it stays, older ones go.

        Args:
            tensors: by name.
            step: that it was made after.
            progress: JSON types.

        Raises:
            TryAgainError: the disk is full; the checkpoints that there were still stand.
        """
        newest, name = _pointer(self._newest), f"{self._stage}-{step:08d}"
        file = f"{name}.safetensors"
        if newest and newest["file"] == file:  # That one is not to be lost before this one stands.
            file = f"{name}-again.safetensors"
        digest = save_tensors(tensors, self._folder / file)
        if newest:
            write_bytes(self._before, self._newest.read_bytes())
        write_sealed(self._newest, {"file": file, "sha256": digest, "progress": dict(progress)})
        kept = {file, newest["file"] if newest else None}
        for path in self._folder.glob(f"{self._stage}-*.safetensors"):
            if path.name not in kept:
                path.unlink()

    def load(self) -> Saved | None:
        """The newest checkpoint that is as it was written; None where none ever was.

        Raises:
            DataError: every one that there is is damaged, or one says what no checkpoint says.
        """
        pointers = [path for path in (self._newest, self._before) if path.exists()]
        for path in pointers:
            pointer = _pointer(path)
            file = inside(self._folder, pointer["file"]) if pointer else path
            data = _content(file, pointer["sha256"]) if pointer else None
            if pointer and data is not None:
                if path != self._newest:  # The damaged one must not be taken for the one to keep.
                    write_bytes(self._newest, path.read_bytes())
                return Saved(_tensors(data, file), pointer["progress"], damaged=path != self._newest, path=path)
        if pointers:
            raise DataError(
                f"Every checkpoint of {self._stage!r} in {self._folder} is damaged: their SHA-256 are others than "
                "when they were written. Copy the folder again, or begin the run anew with --overwrite."
            )
        return None


def _pointer(path: Path) -> dict[str, Any] | None:
    """What a pointer says; None where it is missing or damaged.

    Raises:
        DataError: it is as it was written, and says what no checkpoint says.
    """
    try:
        pointer = read_json(path, "a checkpoint")
    except DataError:
        return None
    if pointer.get(SEAL) != seal(pointer):
        return None
    fields = Fields(pointer, path)  # Whoever made it can make its seal fit, so that says nothing of what it holds.
    fields.digest("sha256")
    fields.inner("progress")
    if not is_plain(pointer.get("file")):
        fields.refuse("file", pointer.get("file"), "the name of a file in the same folder")
    return pointer


def _content(path: Path, digest: str) -> bytes | None:
    """The bytes of a file; None where it is missing, or another than it was."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        return None
    return data if hashlib.sha256(data).hexdigest() == digest else None


def _tensors(data: bytes, path: Path) -> dict[str, np.ndarray]:
    """The arrays in the bytes of a file.

    Raises:
        DataError: there are none.
    """
    try:
        return load(data)
    except (SafetensorError, KeyError, ValueError) as cause:
        raise DataError(f"{path} cannot be read as the arrays of a checkpoint: {cause}. Do not use it.") from cause


def check_tensors(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], what: str) -> None:
    """Refuse arrays that are not those of a model.

    Args:
        found: by name.
        expected: by name, arrays of the shape and dtype that they must have.
        what: the arrays are, for the error.

    Raises:
        DataError: a name, shape or dtype is another.
    """
    for key in sorted(found.keys() | expected.keys()):
        if key not in found or key not in expected:
            raise DataError(f"{what} is of another model: {key} is only in one of the two.")
        mine, its = (f"{a.shape} {a.dtype}" for a in (expected[key], found[key]))
        if mine != its:
            raise DataError(f"{what} is of another model: {key} is {its}; expected {mine}.")


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
    check_tensors(state, training_state(models), "The saved state of training")
    for key, variable in _variables(models).items():
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
