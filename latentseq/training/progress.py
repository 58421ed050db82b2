"""The progress of a training stage, and the checks of a progress that was read from a checkpoint."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from latentseq.storage.reading import Fields

_MOST = 1 << 53
"""Largest number of steps or epochs: up to here a float represents every whole number."""
_SECONDS = 1e10
"""Largest training time in seconds."""


@dataclass
class Progress:
    """The progress of a stage. The next step depends on this and on the state of the models only.

    Attributes:
        step: number of steps taken.
        epoch: epoch of the next step, from 0.
        batch: number of the next step in its epoch, from 0.
        share: share of the budget that is used, in [0, 1].
        seconds: wall time used.
        logs: numbers of every step of this epoch; empty once the epoch was validated.
        rows: rows of the history.
        best: row of the weights that are kept, which is that with the lowest validation loss until the stage is done.
        done: whether the stage is complete.
        of: fingerprint of the data.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    share: float = 0.0
    seconds: float = 0.0
    logs: list[dict[str, float]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    done: bool = False
    of: str = ""

    def count(self, per_epoch: int) -> None:
        """Count one more step."""
        self.step += 1
        self.batch += 1
        if self.batch == per_epoch:
            self.epoch += 1
            self.batch = 0

    @property
    def epoch_is_over(self) -> bool:
        """Whether the epoch has no more steps within the budget and still has to be validated."""
        return bool(self.logs) and (self.batch == 0 or self.share >= 1)


def read_progress(saved: Mapping[str, Any], path: Path, stage: str, per_epoch: int) -> Progress:
    """Read the progress from a checkpoint and check every field before it is used.

    Args:
        saved: a dict with the JSON text of a ``Progress`` under ``json``; fields that an earlier version did not
            have may be missing.
        path: path of the checkpoint, for errors.
        stage: name of the stage that it must belong to.
        per_epoch: number of steps in an epoch.

    Raises:
        DataError: a field has the wrong type or is out of range, or two fields contradict each other.
    """
    text = Fields(saved, path, "progress").text("json", 1 << 26)
    try:
        values = json.loads(text)  # Accepts NaN, which a validation loss may be.
    except (ValueError, RecursionError):
        values = None
    top = Fields(values, path, "progress")
    names = {each.name for each in fields(Progress)}
    if unknown := sorted(values.keys() - names):
        top.refuse(unknown[0], values[unknown[0]], "no such field")
    progress = Progress(**values)
    whole = Fields({**vars(progress)}, path, "progress")
    whole.whole("step", 0, _MOST)
    whole.whole("epoch", 0, progress.step)
    whole.whole("batch", 0, min(per_epoch - 1, progress.step))
    whole.flag("done")
    whole.text("of", 256)
    for key, most in (("share", 1.0), ("seconds", _SECONDS)):
        if not _is_number(getattr(progress, key)) or not 0 <= getattr(progress, key) <= most:
            whole.refuse(key, getattr(progress, key), f"a number from 0 to {most:g}")
    for number, logs in enumerate(whole.many("logs")):
        _check_numbers(logs, path, f"progress.logs[{number}]", ("loss",))
        if logs.keys() != progress.logs[0].keys():
            whole.refuse("logs", progress.logs, "the same names in every step")
    for number, row in enumerate(whole.many("rows")):
        _check_row(row, path, f"progress.rows[{number}]", stage, progress.step)
    if whole.inner("best"):
        _check_row(progress.best, path, "progress.best", stage, progress.step)
    finite = bool(progress.best) and math.isfinite(progress.best["val_loss"])
    if (progress.best or progress.done) and not (finite and progress.rows):
        whole.refuse("best", progress.best, "the row of the weights that are kept")
    return progress


def _check_row(row: Any, path: Path, where: str, stage: str, step: int) -> None:
    """Refuse a value that is not a row of the history of a stage."""
    each = Fields(row, path, where)
    each.require("stage", "epoch", "step", "val_loss", "seconds")
    if row["stage"] != stage:
        each.refuse("stage", row["stage"], repr(stage))
    taken = each.whole("step", 0, step)
    each.whole("epoch", min(1, taken), taken)  # Epoch 0 is the start, before the first step.
    _check_numbers({key: value for key, value in row.items() if key != "stage"}, path, where, ("val_loss", "seconds"))


def _check_numbers(values: Any, path: Path, where: str, needed: tuple[str, ...]) -> None:
    """Refuse a value that is not a dict of numbers with all ``needed`` names."""
    each = Fields(values, path, where)
    each.require(*needed)
    for key, value in values.items():
        if not _is_number(value):
            each.refuse(key, value, "a number")


def _is_number(value: object) -> bool:
    """Whether the value is a number that a float represents exactly, or NaN."""
    return type(value) is float or (type(value) is int and abs(value) <= _MOST)
