"""The trainer that every ``fit`` receives: budget, order, validation, checkpoints, history and previews."""

import contextlib
import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.arrays import Batch, Source
from latentseq.data.windows import validation_batches
from latentseq.errors import DataError
from latentseq.protocols import History, Trainer
from latentseq.storage.atomic import write_bytes
from latentseq.storage.folders import CHECKPOINTS, HISTORY
from latentseq.training.batches import ordered_batches, steps_per_epoch
from latentseq.training.budget import Budget
from latentseq.training.checkpoint import Checkpoints
from latentseq.training.halt import Halt, halting
from latentseq.training.progress import Progress
from latentseq.training.stage import Stage
from latentseq.training.watch import Watcher, write_history

DEFAULT_MINUTES = 10.0
"""Budget when none is set."""
WARM_UP = 0.03
"""Share of the budget in which the learning rate rises."""
PLAIN_STAGES = ("main", "tune")  # Their names are not shown, since most trainings have no other stage.
CLOSED_FORM = 0.05
"""Largest share of the wall time of a budget in which a fit in closed form reads its data."""
FINAL_RATE = 0.03
"""Learning rate at the end of the budget, as a share of the highest one."""
ADVICE = (
    "Use more footage, hold out the ends of the scenes (ingest --hold-out ends) if whole scenes are held out, or "
    "keep the last weights with --keep last."
)
"""What to do if training does not help on held-out data."""
PREVIEW_EVERY = 5.0
"""Minimum number of seconds between two previews, so that drawing does not dominate short epochs."""


class RunTrainer(Trainer):
    """Trains within a budget, with validation, best weights, exact resuming and previews.

    The budget is ``epochs``, ``steps`` or ``max_minutes``, whichever ends first; the default is 10 minutes. Every
    stage of a fit gets the whole budget. The order of examples is a function of (seed, epoch), and the learning rate
    is a function of the share of the budget that is used, so a resumed run continues both exactly.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        max_minutes: float | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        keep: str = "best",
        seed: int = 0,
        resume: bool = False,
        data_fingerprint: str = "",
        preview: Callable[[], bytes] | None = None,
        watcher: Watcher | None = None,
    ):
        """Set up the trainer of one run.

        Args:
            folder: folder for history.csv, previews/ and checkpoints/; None writes nothing.
            epochs: maximum number of epochs. An epoch is one pass over the data, or ``batches.MAX_STEPS`` batches.
            steps: maximum number of batches.
            max_minutes: maximum wall time of the training loop, in minutes.
            batch_size: batch size in place of the plugin's own.
            learning_rate: highest learning rate in place of the plugin's own.
            keep: weights to keep: ``best``, those with the lowest validation loss, or ``last``.
            seed: random seed for the order of examples.
            resume: go on from the checkpoints in ``folder``, if there are any.
            data_fingerprint: fingerprint of the data. A run does not go on with other data.
            preview: function that draws a PNG of what the model does at the moment.
            watcher: shows progress.

        Raises:
            UsageError: a limit is not above 0 or not finite, or ``keep`` is none of the two names.
        """
        Budget(epochs, steps, max_minutes, batch_size, learning_rate, keep)  # It checks the values.
        if epochs is None and steps is None and max_minutes is None:
            max_minutes = DEFAULT_MINUTES
        self.folder = folder
        self.epochs = epochs
        self.steps = steps
        self.max_minutes = max_minutes
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.keep = keep
        self.seed = seed
        self.resume = resume
        self.data_fingerprint = data_fingerprint
        self.preview = preview
        self.watcher = watcher or Watcher(quiet=True)
        self.history: list[dict[str, Any]] = []
        self.prefix = ""

    def part(self, name: str, share: float) -> "RunTrainer":
        """Make a trainer for one part of a plugin that consists of several parts.

        Args:
            name: name of the part; its stages are called ``name.stage``. An empty name leaves names as they are.
            share: share of this trainer's budget for the part, in (0, 1]; it gets at least one step.

        Returns:
            A trainer with the same progress display, history, previews and checkpoints.
        """
        other = copy.copy(self)
        other.prefix = f"{self.prefix}{name}." if name else self.prefix
        least = 1 if name else 0  # One step cannot be divided among stages: one of them gets it.
        other.epochs, other.steps = (n and max(least, round(share * n)) for n in (self.epochs, self.steps))
        other.max_minutes = self.max_minutes and share * self.max_minutes
        return other

    def say(self, text: str) -> None:
        """See ``Trainer.say``."""
        self.watcher.say(f"{self.watcher.title} · {text}")

    def fit(
        self,
        model: Any,
        source: Source,
        *,
        stage: str = "main",
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        clip_norm: float | None = None,
    ) -> History:
        """Train one Keras model, which is called with a batch and computes its loss in ``compute_loss``.

        Args:
            model: built keras.Model.
            source: training and validation windows.
            stage: name of the stage.
            batch_size: batch size, if the user sets none.
            learning_rate: highest learning rate, if the user sets none.
            clip_norm: largest global norm of the gradients; None for no clipping.

        Returns:
            The history. The model has the weights that are kept: the best or the last ones.

        Raises:
            DataError: the data, the loss or a gradient is not finite, or the checkpoints belong to another run.
        """
        import keras

        from latentseq.networks.optimizer import GuardedAdam

        rate = self.learning_rate or learning_rate
        optimizer = GuardedAdam(rate, global_clipnorm=clip_norm)
        # XLA halves the speed of convolutions and of recurrent layers on TensorFlow's CPU; JAX always compiles.
        model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
        # TensorFlow would trace the step once to make the moments, and then again.
        optimizer.build(model.trainable_variables)

        def train(batch: Batch, share: float) -> Mapping[str, Any]:
            optimizer.learning_rate = rate * schedule(share)
            return model.train_on_batch(batch, return_dict=True)

        def validate(batch: Batch) -> Mapping[str, Any]:
            return model.test_on_batch(batch, return_dict=True)

        return self.loop({"model": model}, train, source, validate=validate, stage=stage, batch_size=batch_size)

    def loop(
        self,
        models: Mapping[str, Any],
        step: Callable[[Batch, float], Mapping[str, Any]],
        source: Source,
        *,
        validate: Callable[[Batch], Mapping[str, Any]],
        stage: str = "main",
        batch_size: int = 32,
    ) -> History:
        """Train several Keras models with a training step of the plugin's own.

        Args:
            models: built keras.Model by name, compiled if they have an optimiser. Checkpoints and the best weights
                are made of these. ``GuardedAdam`` as the optimiser detects gradients that are not finite.
            step: (batch, share of the budget used) -> numbers to show, ``loss`` among them.
            source: training and validation windows.
            validate: batch -> numbers, each a mean over the batch; the lowest ``loss`` is the best.
            stage: name of the stage: letters, digits and dots.
            batch_size: batch size, if the user sets none.

        Returns:
            The history. The models have the weights that are kept: the best or the last ones.

        Raises:
            DataError: the data, the loss or a gradient is not finite, or the checkpoints belong to another run.
            KeyboardInterrupt: SIGINT was received; the state is saved.
            SystemExit: SIGTERM was received; the state is saved.
        """
        if 0 in (self.epochs, self.steps):
            return History()
        stage = self.prefix + stage
        checkpoints = Checkpoints(self.folder / CHECKPOINTS, stage) if self.folder else None
        run = Stage(models, stage, checkpoints, data_fingerprint=self.data_fingerprint)
        if self.resume and (message := run.restore(self._per_epoch(source, batch_size))):
            self.say(message)
            self.history += run.progress.rows
        if not run.progress.done:
            with contextlib.closing(self.watcher), halting() as halt:
                self._run(run, halt, step, source, validate, batch_size)
        run.put_kept()
        return History(run.progress.rows, run.progress.best)

    def batches(
        self, source: Source, *, stage: str = "main", batch_size: int = 32, epochs: int | None = None
    ) -> Iterator[Batch]:
        """Yield training batches, for a plugin that learns in NumPy; a resumed run starts again at the first batch.

        Args:
            source: training windows.
            stage: name of the stage.
            batch_size: batch size, if the user sets none.
            epochs: number of passes over the data that the plugin needs; None to use the whole budget.

        Yields:
            Batches in the order given by (seed, epoch), until the budget is used.
        """
        stage = self.prefix + stage
        progress, per_epoch = Progress(), self._per_epoch(source, batch_size)
        share = self._share(progress, per_epoch, epochs)
        with contextlib.closing(self.watcher):
            for batch in self._batches(progress, share, source, batch_size):
                yield batch
                progress.count(per_epoch)
                self.watcher.update(progress.share, f"{stage} · epoch {progress.epoch + 1} · step {progress.step}")

    def one_pass(self, source: Source, rows: int) -> Iterator[Batch]:
        """See ``Trainer.one_pass``; for a share ``CLOSED_FORM`` of the wall time, whatever the epochs and steps."""
        short, count = copy.copy(self), 0
        short.epochs = short.steps = None
        short.max_minutes = self.max_minutes and CLOSED_FORM * self.max_minutes
        for batch in short.batches(source, stage="start", batch_size=64, epochs=1):
            yield batch
            count += len(next(iter(batch.values())))
            if count >= rows:
                break

    def _run(
        self,
        run: Stage,
        halt: Halt,
        step: Callable[[Batch, float], Mapping[str, Any]],
        source: Source,
        validate: Callable[[Batch], Mapping[str, Any]],
        batch_size: int,
    ) -> None:
        """Train a stage until its budget is used."""
        label = "" if run.name in PLAIN_STAGES else f"{run.name} · "
        progress, per_epoch, last_preview = run.progress, self._per_epoch(source, batch_size), -math.inf
        share, began = self._share(progress, per_epoch), time.monotonic() - progress.seconds
        progress.share = share(0)  # The budget may have changed since the checkpoint was made.
        batches = self._batches(progress, share, source, batch_size)
        if not progress.step:  # The weights of the start are kept if training does not improve on them.
            with self._saving_on_exit(run):
                validation = self._validated(halt, validate, source, batch_size)
            run.add_row(validation, time.monotonic() - began)
            self.history += progress.rows  # It is written with the first epoch: until then a run has no results.
        while True:
            # This comes first, since a checkpoint may lie between the last step of an epoch and its validation.
            if progress.epoch_is_over:
                with self._saving_on_exit(run):
                    validation = self._validated(halt, validate, source, batch_size)
                run.add_row(validation, time.monotonic() - began)
                draw = progress.share >= 1 or time.monotonic() - last_preview > PREVIEW_EVERY
                self._record(progress.rows[-1], draw=draw)
                last_preview = time.monotonic() if draw else last_preview
                if progress.share >= 1:
                    break
            run.save_now_and_then()
            run.check_batch(batch := next(batches))
            run.take(step(batch, progress.share), per_epoch)
            self.watcher.update(progress.share, f"{label}{run.summary()}")
            with self._saving_on_exit(run):
                halt.check()
        best, last = progress.best, progress.rows[-1]
        run.finish(self.keep)
        halt.check()  # A signal during the last step also ends the run: there may be more stages.
        for line in outcome(best, last, progress.seconds, self.keep):
            self.say(f"{label}{line}")

    @contextlib.contextmanager
    def _saving_on_exit(self, run: Stage) -> Iterator[None]:
        """Save the state if the block, which must not change it, is left by an exception."""
        try:
            yield
        except BaseException:
            run.save()
            self.watcher.say(f"stopped after step {run.progress.step}; repeat the command with --resume to continue")
            raise

    def _share(self, progress: Progress, per_epoch: int, epochs: int | None = None) -> Callable[[int], float]:
        """Make a function: number of further steps -> share of the budget that is used after them."""
        limits = [self.steps, *(e * per_epoch for e in (self.epochs, epochs) if e is not None)]
        total = min((x for x in limits if x is not None), default=math.inf)

        def share(later: int) -> float:
            used = progress.seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
            return min(1.0, max((progress.step + later) / total, used))

        return share

    def _batches(
        self, progress: Progress, share: Callable[[int], float], source: Source, batch_size: int
    ) -> Iterator[Batch]:
        """Yield batches from ``progress`` on until the budget is used, and at least one.

        The caller counts the batches in ``progress``. This method updates its seconds before each batch, and sets its
        share to that which is used after the batch.
        """
        size, began = min(self.batch_size or batch_size, len(source.train)), time.monotonic() - progress.seconds
        while True:
            epoch, start = progress.epoch, progress.batch
            for batch in ordered_batches(source.train, size, seed=self.seed, epoch=epoch, start=start):
                progress.seconds = time.monotonic() - began
                progress.share = share(1)
                yield batch
                if progress.share >= 1:
                    return

    def _per_epoch(self, source: Source, batch_size: int) -> int:
        return steps_per_epoch(source.train, min(self.batch_size or batch_size, len(source.train)))

    def _validated(
        self, halt: Halt, validate: Callable[[Batch], Mapping[str, Any]], source: Source, batch_size: int
    ) -> dict[str, float]:
        """Validate: means over the validation windows, each window counted once."""
        logs, sizes = [], []
        for batch in validation_batches(source.validation, self.batch_size or batch_size):
            halt.check()
            logs.append(validate(batch))
            sizes.append(len(next(iter(batch.values()))))
        return {k: float(np.average([float(entry[k]) for entry in logs], weights=sizes)) for k in logs[0]}

    def _record(self, row: dict[str, Any], *, draw: bool) -> None:
        self.history.append(row)
        if self.folder is None:
            return
        write_history(self.history, self.folder / HISTORY)
        if self.preview is not None and draw:
            try:
                picture = self.preview()
            except DataError as cause:  # The model may be better after the next epoch.
                self.watcher.say(f"{self.watcher.title} · no preview of epoch {row['epoch']}: {cause}")
            else:
                name = f"{row['stage']}-{row['epoch']:04d}.png"
                write_bytes(self.folder / "previews" / name, picture)


def outcome(best: Mapping[str, Any], last: Mapping[str, Any], seconds: float, keep: str) -> list[str]:
    """Say how a training went, and what to do if most of it did not help.

    Args:
        best: row of the history with the lowest validation loss.
        last: last row of the history.
        seconds: wall time of the training.
        keep: weights that are kept: ``best`` or ``last``.

    Returns:
        A line of numbers, and at most one line of advice.
    """
    done = f"{last['step']} steps in {seconds:.0f} s · "
    where = f"in epoch {best['epoch']} of {last['epoch']}" if best["epoch"] else "at the start"
    if keep == "last":
        lowest = f"{best['val_loss']:.4g} {where}"
        return [f"{done}kept the last weights, with validation loss {last['val_loss']:.4g} (the best was {lowest})"]
    lines = [f"{done}best validation loss {best['val_loss']:.4g} {where}"]
    if not best["epoch"]:
        lines.append(f"No epoch was better on validation data than the start, whose weights are kept. {ADVICE}")
    elif last["epoch"] >= max(10, 10 * best["epoch"]):
        lines.append(
            f"The validation loss was lowest {where}: later training did not help on held-out data. {ADVICE}"
        )
    return lines


def schedule(share: float) -> float:
    """Learning rate schedule: a linear warm-up, then a cosine decay.

    Args:
        share: share of the budget that is used, in [0, 1].

    Returns:
        The factor of the highest learning rate, in (0, 1].
    """
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    down = (share - WARM_UP) / (1 - WARM_UP)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * down))
