"""The trainer that is handed to every fit: budget, order, validation, best weights, history and previews."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latentseq.arrays import Batch
from latentseq.errors import DataError, UsageError
from latentseq.protocols import History, Source
from latentseq.storage.atomic import HISTORY, write_bytes
from latentseq.training.batches import ordered_batches, steps_per_epoch, validation_batches
from latentseq.training.watch import Watcher, write_history

DEFAULT_MINUTES = 10.0
WARM_UP = 0.03
FINAL_RATE = 0.03
PREVIEW_EVERY = 5.0
"""Seconds that at least lie between two previews, so that short epochs are not spent on drawing."""


class Tick(NamedTuple):
    """One step to take: its batch, and how far the run is with it."""

    batch: Batch
    epoch: int
    step: int
    share: float
    epoch_ends: bool


class Trainer:
    """Trains under one budget; whoever uses it inherits order, validation, best weights, history and previews.

    The budget is ``epochs``, ``steps`` or ``max_minutes``, whichever ends first, and 10 minutes where none is
    given. Every stage of a fit gets the whole of it. The order of examples is a function of (seed, epoch), the
    learning rate one of the share of the budget used.
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
        preview: Callable[[], bytes] | None = None,
        watcher: Watcher | None = None,
    ):
        """Set up for one run.

        Args:
            folder: where history.csv and previews/ go; nowhere where None.
            epochs: at most so many; an epoch is one pass, or ``batches.MAX_STEPS`` batches of it.
            steps: at most so many batches.
            max_minutes: at most so much wall time of the training loop; it ends at a step.
            batch_size: in place of the plugin's own.
            learning_rate: in place of the plugin's own.
            seed: of the order of examples, and of the weights where the plugin takes it.
            preview: draws a PNG of what the model does now.
            watcher: shows progress.

        Raises:
            UsageError: a budget that is not above zero.
        """
        limits = {"epochs": epochs, "steps": steps, "max_minutes": max_minutes, "batch_size": batch_size}
        for name, value in {**limits, "learning_rate": learning_rate}.items():
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} is {value}; expected a number above 0.")
        if epochs is None and steps is None and max_minutes is None:
            max_minutes = DEFAULT_MINUTES
        self.folder, self.seed = folder, seed
        self.epochs, self.steps, self.max_minutes = epochs, steps, max_minutes
        self.batch_size, self.learning_rate = batch_size, learning_rate
        self.preview, self.watcher = preview, watcher or Watcher(quiet=True)
        self.history: list[dict[str, Any]] = []

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
            model: keras.Model.
            source: windows.
            stage: name of this part of the run.
            batch_size: the plugin's own.
            learning_rate: the plugin's own, at its highest.
            clip_norm: bound on the norm of all gradients together.

        Returns:
            The history; the model has the best validation weights.

        Raises:
            DataError: the loss is not finite.
        """
        import keras

        rate = self.learning_rate or learning_rate
        optimizer = keras.optimizers.Adam(rate, global_clipnorm=clip_norm)
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
            models: keras.Model by name: what the best weights are kept of.
            step: (batch, share of the budget used) -> numbers to show, with ``loss`` among them.
            source: windows.
            validate: batch -> numbers, each a mean over the batch; the lowest ``loss`` is the best.
            stage: name of this part of the run.
            batch_size: the plugin's own.

        Returns:
            The history; the models have the best validation weights.

        Raises:
            DataError: the loss is not finite.
        """
        rows: list[dict[str, Any]] = []
        best: dict[str, Any] = {}
        weights: dict[str, Any] = {}
        logs: list[dict[str, float]] = []
        began = previewed = time.monotonic()
        with contextlib.closing(self.watcher):
            for tick in self._ticks(source, batch_size):
                logs.append({k: float(v) for k, v in step(tick.batch, tick.share).items()})
                loss = logs[-1]["loss"]
                if not math.isfinite(loss):
                    raise DataError(
                        f"The loss became {loss} at step {tick.step}; no weights were kept. "
                        "Try a lower --learning-rate, and look for broken values in the data."
                    )
                shown = f"epoch {tick.epoch + 1} · step {tick.step} · loss {loss:.4g}"
                self.watcher.update(tick.share, f"{shown} · best {best['val_loss']:.4g}" if best else shown)
                if not tick.epoch_ends:
                    continue
                row = {"stage": stage, "epoch": tick.epoch + 1, "step": tick.step}
                row |= {k: float(np.mean([entry[k] for entry in logs])) for k in logs[0]}
                row |= {f"val_{k}": v for k, v in self._validate(validate, source, batch_size).items()}
                row["seconds"] = round(time.monotonic() - began, 1)
                rows.append(row)
                logs = []
                if row["val_loss"] < best.get("val_loss", math.inf):
                    best, weights = row, {k: m.get_weights() for k, m in models.items()}
                draw = tick.epoch == 0 or tick.share >= 1 or time.monotonic() - previewed > PREVIEW_EVERY
                self._record(row, draw=draw)
                previewed = time.monotonic() if draw else previewed
        if not best:
            raise DataError(
                f"The validation loss was {rows[-1]['val_loss']} in every epoch; no weights were kept. "
                "Try a lower --learning-rate, and look for broken values in the data."
            )
        for name, model in models.items():
            model.set_weights(weights[name])
        self.watcher.say(
            f"{self.watcher.title} · {rows[-1]['step']} steps in {time.monotonic() - began:.0f} s · "
            f"best validation loss {best['val_loss']:.4g} in epoch {best['epoch']} of {rows[-1]['epoch']}"
        )
        return History(rows, best)

    def batches(
        self, source: Source, *, stage: str = "main", batch_size: int = 32, epochs: int | None = None
    ) -> Iterator[Batch]:
        """Training batches, for a plugin that learns in NumPy.

        Args:
            source: windows.
            stage: name of this part of the run.
            batch_size: the plugin's own.
            epochs: passes that the plugin needs, where those are fewer than the budget.

        Yields:
            One batch after the other, in the order of (seed, epoch), until the budget is used.
        """
        with contextlib.closing(self.watcher):
            for tick in self._ticks(source, batch_size, epochs):
                yield tick.batch
                self.watcher.update(tick.share, f"{stage} · epoch {tick.epoch + 1} · step {tick.step}")

    def _ticks(self, source: Source, batch_size: int, epochs: int | None = None) -> Iterator[Tick]:
        """Batches until the budget is used; there is at least one."""
        size = min(self.batch_size or batch_size, len(source.train))
        per_epoch = steps_per_epoch(source.train, size)
        limits = [self.steps, *(e * per_epoch for e in (self.epochs, epochs) if e is not None)]
        total = min((x for x in limits if x is not None), default=math.inf)
        began, step = time.monotonic(), 0
        for epoch in itertools.count():
            for i, batch in enumerate(ordered_batches(source.train, size, seed=self.seed, epoch=epoch)):
                step += 1
                used = (time.monotonic() - began) / (60 * self.max_minutes) if self.max_minutes else 0.0
                share = min(1.0, max(step / total, used))
                yield Tick(batch, epoch, step, share, epoch_ends=i + 1 == per_epoch or share >= 1)
                if share >= 1:
                    return

    def _validate(
        self, validate: Callable[[Batch], Mapping[str, Any]], source: Source, batch_size: int
    ) -> dict[str, float]:
        """Means over the validation windows, each window counted once."""
        logs, sizes = [], []
        for batch in validation_batches(source.validation, self.batch_size or batch_size):
            logs.append(validate(batch))
            sizes.append(len(next(iter(batch.values()))))
        return {k: float(np.average([float(entry[k]) for entry in logs], weights=sizes)) for k in logs[0]}

    def _record(self, row: dict[str, Any], *, draw: bool) -> None:
        self.history.append(row)
        if self.folder is None:
            return
        write_history(self.history, self.folder / HISTORY)
        if self.preview is not None and draw:
            name = f"{row['stage']}-{row['epoch']:04d}.png"
            write_bytes(self.folder / "previews" / name, self.preview())


def schedule(share: float) -> float:
    """Factor of the learning rate after a share of the budget: a short rise, then half a cosine down.

    Args:
        share: of the budget, in [0, 1].
    """
    if share < WARM_UP:
        return max(share / WARM_UP, 0.01)
    down = (share - WARM_UP) / (1 - WARM_UP)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * down))
