"""One stage of a fit: how far it is, its best weights, its checkpoints, and what must not go into either."""

import json
import math
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from latentseq.arrays import Batch
from latentseq.errors import DataError
from latentseq.training.checkpoint import Checkpoints, check_tensors, restore_training_state, training_state
from latentseq.training.progress import Progress, read_progress

CHECKPOINT_EVERY = 30.0
"""Seconds of training that at most are lost when a process is killed."""
CHECKPOINT_SHARE = 0.02
"""What checkpoints may take of the time of training; they are further apart where they would take more."""


class Stage:
    """Models in training under one name."""

    def __init__(self, models: Mapping[str, Any], name: str, checkpoints: Checkpoints | None, *, of: str = ""):
        """Start from the beginning.

        Args:
            models: keras.Model by name.
            name: of the stage.
            checkpoints: where its checkpoints are; none are made where None.
            of: fingerprint of the data.
        """
        self.name, self.progress = name, Progress(of=of)
        self._models, self._checkpoints = models, checkpoints
        self._best: dict[str, np.ndarray] = {}
        self._saved, self._cost = time.monotonic(), 0.0

    def restore(self, per_epoch: int) -> str | None:
        """Go on from the newest checkpoint that is whole.

        Args:
            per_epoch: steps of an epoch.

        Returns:
            From where, in words; None where there is none.

        Raises:
            DataError: it is of other data or of another model, says what no training does, or every checkpoint is
                damaged.
        """
        saved = self._checkpoints.load() if self._checkpoints else None
        if saved is None:
            return None
        progress = read_progress(saved.progress, saved.path, self.name, per_epoch)
        if progress.of != self.progress.of:
            raise DataError(
                f"The checkpoint of {self.name!r} is of other data (fingerprint {progress.of[:12]}…) than there is "
                f"now ({self.progress.of[:12]}…). Put the data back as it was, or begin anew with --overwrite."
            )
        best, state = (
            {k.removeprefix(kind): v for k, v in saved.tensors.items() if k.startswith(kind)}
            for kind in ("best/", "state/")
        )
        check_tensors(best, self._weights() if progress.best else {}, "What the checkpoint keeps of the best weights")
        if not progress.done:
            restore_training_state(self._models, state)
        self.progress, self._best = progress, best
        told = f"{self.name} goes on from step {progress.step}"
        return told + "; a later checkpoint was damaged, and is not used" * saved.damaged

    def save(self) -> None:
        """Make a checkpoint.

        Raises:
            TryAgainError: the disk is full; the checkpoint before this one still stands.
        """
        if self._checkpoints is None or not self.progress.step:
            return
        began = time.monotonic()
        tensors = {f"best/{k}": v for k, v in self._best.items()}
        if not self.progress.done:
            tensors |= {f"state/{k}": v for k, v in training_state(self._models).items()}
        # As text, since a validation loss may be a number that JSON does not have.
        self._checkpoints.save(tensors, self.progress.step, {"json": json.dumps(asdict(self.progress))})
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def save_now_and_then(self) -> None:
        """Make a checkpoint where it is time to."""
        if time.monotonic() - self._saved >= max(CHECKPOINT_EVERY, self._cost / CHECKPOINT_SHARE):
            self.save()

    def check_batch(self, batch: Batch) -> None:
        """Stop before a step on data that is not finite; weights and state stay as they are.

        Raises:
            DataError: naming the array.
        """
        for key, array in batch.items():
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                self._stop(f"The training data has a value that is not finite: {key!r} of window {row} of the batch.")

    def take(self, logs: Mapping[str, Any], per_epoch: int) -> None:
        """Take the numbers of a step; stop where they, or its gradients, are not finite.

        Raises:
            DataError: naming what it was.
        """
        numbers = {k: float(v) for k, v in logs.items()}
        odd = [k for k, v in numbers.items() if not math.isfinite(v)]
        if odd:  # Before the gradients, which are not finite either then.
            self._stop(f"The {' and the '.join(odd)} became {numbers[odd[0]]}.")
        for name, model in self._models.items():
            if (broken := _broken_gradient(model)) is not None:
                self._stop(f"The gradient of {model.trainable_variables[broken].path} ({name}) was not finite.")
        self.progress.logs.append(numbers)
        self.progress.count(per_epoch)

    def end_epoch(self, validation: Mapping[str, float], seconds: float) -> None:
        """Make a row of an epoch, and keep the weights where they are the best so far.

        Args:
            validation: numbers of the validation, ``loss`` among them.
            seconds: of wall time used, with the validation.
        """
        at, logs = self.progress, self.progress.logs
        row: dict[str, Any] = {"stage": self.name, "epoch": at.epoch + (at.batch > 0), "step": at.step}
        row |= {k: float(np.mean([entry[k] for entry in logs])) for k in logs[0]}
        row |= {f"val_{k}": v for k, v in validation.items()}
        row["seconds"], at.seconds = round(seconds, 1), seconds
        at.rows.append(row)
        at.logs = []
        if row["val_loss"] < at.best.get("val_loss", math.inf):
            at.best = row
            self._best = self._weights()

    def finish(self) -> None:
        """Say that the stage is over.

        Raises:
            DataError: no epoch had a validation loss.
        """
        if not self.progress.best:
            raise DataError(
                f"The validation loss was {self.progress.rows[-1]['val_loss']} in every epoch; no weights were kept. "
                "Try a lower --learning-rate, and look for broken values in the data."
            )
        self.progress.done = True
        self.save()

    def put_best(self) -> None:
        """Give the models the best weights."""
        for name, model in self._models.items():
            keys = sorted(key for key in self._best if key.startswith(f"{name}/"))
            model.set_weights([self._best[key] for key in keys])

    def _weights(self) -> dict[str, np.ndarray]:
        """The weights of every model by its name and their order."""
        return {
            f"{name}/{i:04d}": weight
            for name, model in self._models.items()
            for i, weight in enumerate(model.get_weights())
        }

    def shown(self) -> str:
        """The progress, in a few words."""
        at = self.progress
        loss = at.logs[-1]["loss"] if at.logs else math.nan
        best = f" · best {at.best['val_loss']:.4g}" if at.best else ""
        return f"epoch {at.epoch + 1} · step {at.step} · loss {loss:.4g}{best}"

    def _stop(self, what: str) -> None:
        """Keep the weights that there were before the step that went wrong, and tell.

        Raises:
            DataError: always.
        """
        kept = "No step was taken."
        if self._checkpoints and self.progress.step:
            self.save()
            kept = f"The weights of step {self.progress.step} are kept."
        raise DataError(
            f"Training stopped at step {self.progress.step + 1} of {self.name!r}. {what} {kept} "
            "Look for broken values in the data, or go on with --resume and a lower --learning-rate."
        )


def _broken_gradient(model: Any) -> int | None:
    """Which gradient of the last step was not finite, where the model's optimiser looks for that."""
    if model.optimizer is None:
        return None
    from latentseq.networks.optimizer import GuardedAdam  # Which imports Keras, as the model has done already.

    return model.optimizer.broken_gradient() if isinstance(model.optimizer, GuardedAdam) else None
