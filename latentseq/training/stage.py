"""One stage of training: progress, best weights, checkpoints, and checks for values that are not finite."""

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
"""Seconds between two checkpoints: about the training time that is lost when a process is killed."""
CHECKPOINT_SHARE = 0.02
"""Largest share of the training time that checkpoints take; if they are slow, they are made less often."""


class Stage:
    """The models of one training stage, with its progress and checkpoints."""

    def __init__(
        self, models: Mapping[str, Any], name: str, checkpoints: Checkpoints | None, *, data_fingerprint: str = ""
    ):
        """Start a stage from the beginning.

        Args:
            models: keras.Model by name.
            name: name of the stage.
            checkpoints: checkpoints of the stage; None to make none.
            data_fingerprint: fingerprint of the data.
        """
        self.name = name
        self.progress = Progress(of=data_fingerprint)
        self._models = models
        self._checkpoints = checkpoints
        self._best: dict[str, np.ndarray] = {}
        self._saved = time.monotonic()
        self._cost = 0.0

    def restore(self, per_epoch: int) -> str | None:
        """Resume from the newest intact checkpoint.

        Args:
            per_epoch: number of steps in an epoch.

        Returns:
            A line that says where training resumes; None if there is no checkpoint.

        Raises:
            DataError: the checkpoint belongs to other data or another model, a field is invalid, or every checkpoint
                is damaged.
        """
        saved = self._checkpoints.load() if self._checkpoints else None
        if saved is None:
            return None
        progress = read_progress(saved.progress, saved.path, self.name, per_epoch)
        if progress.of != self.progress.of:
            raise DataError(
                f"The checkpoint of {self.name!r} was trained on other data: its fingerprint is {progress.of[:12]}…, "
                f"and that of the data is now {self.progress.of[:12]}…. Restore the data, or start again with "
                "--overwrite."
            )
        best, state = (
            {k.removeprefix(kind): v for k, v in saved.tensors.items() if k.startswith(kind)}
            for kind in ("best/", "state/")
        )
        check_tensors(best, self._weights() if progress.best else {}, "The set of best weights in the checkpoint")
        if not progress.done:
            restore_training_state(self._models, state)
        self.progress = progress
        self._best = best
        message = f"{self.name} resumes from step {progress.step}"
        return message + "; a later checkpoint is damaged and is not used" * saved.damaged

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            TryAgainError: the disk is full; the previous checkpoint is unchanged.
        """
        if self._checkpoints is None or not self.progress.step:
            return
        began = time.monotonic()
        tensors = {f"best/{k}": v for k, v in self._best.items()}
        if not self.progress.done:
            tensors |= {f"state/{k}": v for k, v in training_state(self._models).items()}
        # As text, since a validation loss may be NaN or infinite, which JSON cannot hold.
        self._checkpoints.save(tensors, self.progress.step, {"json": json.dumps(asdict(self.progress))})
        self._saved = time.monotonic()
        self._cost = self._saved - began

    def save_now_and_then(self) -> None:
        """Write a checkpoint if the last one is old enough."""
        if time.monotonic() - self._saved >= max(CHECKPOINT_EVERY, self._cost / CHECKPOINT_SHARE):
            self.save()

    def check_batch(self, batch: Batch) -> None:
        """Stop before a step on data that is not finite; weights and state are unchanged.

        Raises:
            DataError: an array of the batch has a value that is not finite.
        """
        for key, array in batch.items():
            if not np.isfinite(array).all():
                row = int(np.argwhere(~np.isfinite(array))[0][0])
                self._stop(f"The training data has a value that is not finite: {key!r} of window {row} of the batch.")

    def take(self, logs: Mapping[str, Any], per_epoch: int) -> None:
        """Record the numbers of a step; stop if a number or a gradient is not finite.

        Args:
            logs: numbers of the step, ``loss`` among them.
            per_epoch: number of steps in an epoch.

        Raises:
            DataError: a number or a gradient is not finite.
        """
        numbers = {k: float(v) for k, v in logs.items()}
        broken = [k for k, v in numbers.items() if not math.isfinite(v)]
        if broken:  # The loss is reported first: a loss that is not finite also breaks the gradients.
            self._stop(f"The {' and the '.join(broken)} became {numbers[broken[0]]}.")
        for name, model in self._models.items():
            if (index := _broken_gradient(model)) is not None:
                self._stop(f"The gradient of {model.trainable_variables[index].path} ({name}) was not finite.")
        self.progress.logs.append(numbers)
        self.progress.count(per_epoch)

    def add_row(self, validation: Mapping[str, float], seconds: float) -> None:
        """Add a row for the epoch, or for the start, to the history; keep the weights if they are the best so far.

        Args:
            validation: numbers of the validation, ``loss`` among them.
            seconds: wall time used, including the validation.
        """
        progress, logs = self.progress, self.progress.logs
        epoch = progress.epoch + (progress.batch > 0)
        row: dict[str, Any] = {"stage": self.name, "epoch": epoch, "step": progress.step}
        row |= {k: float(np.mean([entry[k] for entry in logs])) for k in (logs[0] if logs else ())}
        row |= {f"val_{k}": v for k, v in validation.items()}
        row["seconds"] = round(seconds, 1)
        progress.seconds = seconds
        progress.rows.append(row)
        progress.logs = []
        if math.isfinite(loss := row["val_loss"]) and loss < progress.best.get("val_loss", math.inf):
            progress.best = row
            self._best = self._weights()

    def finish(self, keep: str) -> None:
        """Mark the stage as complete and save it.

        Args:
            keep: weights to keep: ``best`` or ``last``.

        Raises:
            DataError: no epoch had a finite validation loss, or the last one had none and its weights are to be kept.
        """
        progress = self.progress
        loss = progress.rows[-1]["val_loss"]
        if not any(math.isfinite(row["val_loss"]) for row in progress.rows if row["epoch"]):
            raise DataError(
                f"The validation loss was {loss} in every epoch, so no weights were saved. Try a lower "
                "--learning-rate, and look for broken values in the data."
            )
        if keep == "last":
            if not math.isfinite(loss):
                raise DataError(
                    f"The validation loss was {loss} after the last step, whose weights were to be kept. "
                    "Train again with --keep best, or with a lower --learning-rate."
                )
            progress.best = progress.rows[-1]
            self._best = self._weights()
        progress.done = True
        self.save()

    def put_kept(self) -> None:
        """Put the weights that are kept into the models."""
        for name, model in self._models.items():
            keys = sorted(key for key in self._best if key.startswith(f"{name}/"))
            model.set_weights([self._best[key] for key in keys])

    def _weights(self) -> dict[str, np.ndarray]:
        """Copy the weights of every model; keys are the model's name and the number of the weight."""
        return {
            f"{name}/{i:04d}": weight
            for name, model in self._models.items()
            for i, weight in enumerate(model.get_weights())
        }

    def summary(self) -> str:
        """The progress as a short text."""
        progress = self.progress
        loss = progress.logs[-1]["loss"] if progress.logs else math.nan
        best = f" · best {progress.best['val_loss']:.4g}" if progress.best else ""
        return f"epoch {progress.epoch + 1} · step {progress.step} · loss {loss:.4g}{best}"

    def _stop(self, what: str) -> None:
        """Save the weights from before the failed step and raise.

        Raises:
            DataError: always.
        """
        outcome = "No step was saved."
        if self._checkpoints and self.progress.step:
            self.save()
            outcome = f"The weights of step {self.progress.step} are saved."
        raise DataError(
            f"Training stopped at step {self.progress.step + 1} of {self.name!r}. {what} {outcome} "
            "Look for broken values in the data, or go on with --resume and a lower --learning-rate."
        )


def _broken_gradient(model: Any) -> int | None:
    """Number of a gradient of the last step that is not finite; None if there is none or it is not checked."""
    if model.optimizer is None:
        return None
    from latentseq.networks.optimizer import GuardedAdam  # Imports Keras, which the model has done already.

    return model.optimizer.broken_gradient() if isinstance(model.optimizer, GuardedAdam) else None
