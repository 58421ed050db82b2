"""The trainer that is handed to every fit: budget, order, validation, checkpoints, history and previews."""

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
WARM_UP = 0.03
FINAL_RATE = 0.03
PREVIEW_EVERY = 5.0
"""Seconds that at least lie between two previews, so that short epochs are not spent on drawing."""


class RunTrainer(Trainer):
    """Trains under one budget; whoever uses it inherits order, validation, best weights, exact resume and previews.

    The budget is ``epochs``, ``steps`` or ``max_minutes``, whichever ends first, and 10 minutes where none is
    given. Every stage of a fit gets the whole of it. The order of examples is a function of (seed, epoch), the
    learning rate one of the share of the budget used; both go on where a checkpoint was made.
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
        seed: int = 0,
        resume: bool = False,
        of: str = "",
        preview: Callable[[], bytes] | None = None,
        watcher: Watcher | None = None,
    ):
        """Set up for one run.

        Args:
            folder: where history.csv, previews/ and checkpoints/ go; nowhere where None.
            epochs: at most so many; an epoch is one pass, or ``batches.MAX_STEPS`` batches of it.
            steps: at most so many batches.
            max_minutes: at most so much wall time of the training loop; it ends at a step.
            batch_size: in place of the plugin's own.
            learning_rate: in place of the plugin's own.
            seed: of the order of examples, and of the weights where the plugin takes it.
            resume: go on from the checkpoints in ``folder``, where there are any.
            of: fingerprint of the data; with other data no run is gone on with.
            preview: draws a PNG of what the model does now.
            watcher: shows progress.

        Raises:
            UsageError: a budget that is not above zero.
        """
        Budget(epochs, steps, max_minutes, batch_size, learning_rate)  # It checks the values.
        if epochs is None and steps is None and max_minutes is None:
            max_minutes = DEFAULT_MINUTES
        self.folder, self.seed, self.resume, self.of = folder, seed, resume, of
        self.epochs, self.steps, self.max_minutes = epochs, steps, max_minutes
        self.batch_size, self.learning_rate = batch_size, learning_rate
        self.preview, self.watcher = preview, watcher or Watcher(quiet=True)
        self.history: list[dict[str, Any]] = []
        self.prefix = ""

    def part(self, name: str, share: float) -> "RunTrainer":
        """A trainer for one part of a plugin that is made of several.

        Args:
            name: of the part; its stages are called ``name.stage``.
            share: of this trainer's budget that the part gets, in (0, 1]; at least one step.

        Returns:
            A trainer that shows progress, keeps history and draws previews where this one does.
        """
        other = copy.copy(self)
        other.prefix = f"{self.prefix}{name}."
        other.epochs, other.steps = (n and max(1, round(share * n)) for n in (self.epochs, self.steps))
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
        """Train one Keras model, which is given a batch as its input and says its loss in ``compute_loss``.

        Args:
            model: keras.Model, built.
            source: windows.
            stage: name of this part of the run.
            batch_size: the plugin's own.
            learning_rate: the plugin's own, at its highest.
            clip_norm: bound on the norm of all gradients together.

        Returns:
            The history; the model has the best validation weights.

        Raises:
            DataError: the data, the loss or a gradient is not finite, or the checkpoints are of another run.
        """
        import keras

        from latentseq.networks.optimizer import GuardedAdam

        rate = self.learning_rate or learning_rate
        optimizer = GuardedAdam(rate, global_clipnorm=clip_norm)
        # XLA halves the speed of convolutions and of recurrent layers on TensorFlow's CPU; JAX always compiles.
        model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")

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
        """Train several Keras models by a step of one's own.

        Args:
            models: keras.Model by name, built, and compiled where they have an optimiser (``GuardedAdam`` looks
                for gradients that are not finite): what checkpoints and the best weights are kept of.
            step: (batch, share of the budget used) -> numbers to show, with ``loss`` among them.
            source: windows.
            validate: batch -> numbers, each a mean over the batch; the lowest ``loss`` is the best.
            stage: name of this part of the run: letters, digits and dots.
            batch_size: the plugin's own.

        Returns:
            The history; the models have the best validation weights.

        Raises:
            DataError: the data, the loss or a gradient is not finite, or the checkpoints are of another run.
            KeyboardInterrupt: SIGINT came; the state is saved.
            SystemExit: SIGTERM came; the state is saved.
        """
        stage = self.prefix + stage
        checkpoints = Checkpoints(self.folder / CHECKPOINTS, stage) if self.folder else None
        run = Stage(models, stage, checkpoints, of=self.of)
        if self.resume and (told := run.restore(self._per_epoch(source, batch_size))):
            self.say(told)
            self.history += run.progress.rows
        if not run.progress.done:
            with contextlib.closing(self.watcher), halting() as halt:
                self._run(run, halt, step, source, validate, batch_size)
        run.put_best()
        return History(run.progress.rows, run.progress.best)

    def batches(
        self, source: Source, *, stage: str = "main", batch_size: int = 32, epochs: int | None = None
    ) -> Iterator[Batch]:
        """Training batches, for a plugin that learns in NumPy; when a run goes on, they come again from the first.

        Args:
            source: windows.
            stage: name of this part of the run.
            batch_size: the plugin's own.
            epochs: passes that the plugin needs, where those are fewer than the budget.

        Yields:
            One batch after the other, in the order of (seed, epoch), until the budget is used.
        """
        stage = self.prefix + stage
        progress, per_epoch = Progress(), self._per_epoch(source, batch_size)
        share = self._share(progress, per_epoch, epochs)
        with contextlib.closing(self.watcher):
            for batch in self._batches(progress, share, source, batch_size):
                yield batch
                progress.count(per_epoch)
                self.watcher.update(progress.share, f"{stage} · epoch {progress.epoch + 1} · step {progress.step}")

    def _run(
        self,
        run: Stage,
        halt: Halt,
        step: Callable[[Batch, float], Mapping[str, Any]],
        source: Source,
        validate: Callable[[Batch], Mapping[str, Any]],
        batch_size: int,
    ) -> None:
        """Train a stage to its end."""
        named = f"{run.name} · " if self.prefix else ""
        progress, per_epoch, previewed = run.progress, self._per_epoch(source, batch_size), -math.inf
        share, began = self._share(progress, per_epoch), time.monotonic() - progress.seconds
        progress.share = share(0)  # The budget may be another than when the checkpoint was made.
        batches = self._batches(progress, share, source, batch_size)
        while True:
            # First of all, as a checkpoint may have been made between the last step of an epoch and its validation.
            if progress.epoch_is_over:
                with self._kept(run):
                    validation = self._validated(halt, validate, source, batch_size)
                run.end_epoch(validation, time.monotonic() - began)
                draw = progress.share >= 1 or time.monotonic() - previewed > PREVIEW_EVERY
                self._record(progress.rows[-1], draw=draw)
                previewed = time.monotonic() if draw else previewed
                if progress.share >= 1:
                    break
            run.save_now_and_then()
            run.check_batch(batch := next(batches))
            run.take(step(batch, progress.share), per_epoch)
            self.watcher.update(progress.share, f"{named}{run.shown()}")
            with self._kept(run):
                halt.check()
        run.finish()
        halt.check()  # Whoever called it off in the last step did so, and there may be more stages.
        self.say(
            f"{named}{progress.step} steps in {progress.seconds:.0f} s · best validation loss "
            f"{progress.best['val_loss']:.4g} in epoch {progress.best['epoch']} of {progress.rows[-1]['epoch']}"
        )

    @contextlib.contextmanager
    def _kept(self, run: Stage) -> Iterator[None]:
        """Save the state where the block, which does not change it, does not come to its end."""
        try:
            yield
        except BaseException:
            run.save()
            self.watcher.say(f"stopped after step {run.progress.step}; the same command with --resume goes on")
            raise

    def _share(self, progress: Progress, per_epoch: int, epochs: int | None = None) -> Callable[[int], float]:
        """(how many steps later) -> the share of the budget that is used then."""
        limits = [self.steps, *(e * per_epoch for e in (self.epochs, epochs) if e is not None)]
        total = min((x for x in limits if x is not None), default=math.inf)

        def share(later: int) -> float:
            used = progress.seconds / (60 * self.max_minutes) if self.max_minutes else 0.0
            return min(1.0, max((progress.step + later) / total, used))

        return share

    def _batches(
        self, progress: Progress, share: Callable[[int], float], source: Source, batch_size: int
    ) -> Iterator[Batch]:
        """Batches from where ``progress`` is until the budget is used; there is at least one.

        Whoever takes them counts them in ``progress``; its share and seconds are those of the batch to come.
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
        """Means over the validation windows, each window counted once."""
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
            except DataError as broken:  # A model may be better after the next epoch.
                self.watcher.say(f"{self.watcher.title} · no preview of epoch {row['epoch']}: {broken}")
            else:
                name = f"{row['stage']}-{row['epoch']:04d}.png"
                write_bytes(self.folder / "previews" / name, picture)


def schedule(share: float) -> float:
    """Factor of the learning rate after a share of the budget: a short rise, then half a cosine down.

    Args:
        share: of the budget, in [0, 1].
    """
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    down = (share - WARM_UP) / (1 - WARM_UP)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * down))
