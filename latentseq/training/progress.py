"""How far a stage of training is, and what a checkpoint may say of it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from latentseq.storage.reading import Fields

_MOST = 1 << 53
"""Steps and epochs: whole numbers that a float still tells apart."""
_SECONDS = 1e10


@dataclass
class Progress:
    """How far a stage is: all that its next step depends on, beside the state of its models.

    Attributes:
        step: steps taken.
        epoch: of the next step; ``batch`` is its number in it.
        share: of the budget used, in [0, 1].
        seconds: of wall time used.
        logs: the numbers of every step of this epoch; empty once the epoch was validated.
        rows: of the history.
        best: the row of the lowest validation loss.
        done: whether the stage is over.
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
        """One more step was taken."""
        self.step, self.batch = self.step + 1, self.batch + 1
        if self.batch == per_epoch:
            self.epoch, self.batch = self.epoch + 1, 0

    @property
    def epoch_is_over(self) -> bool:
        """Whether all its steps are taken, or all that the budget allows, and it was not validated yet."""
        return bool(self.logs) and (self.batch == 0 or self.share >= 1)


def read_progress(saved: Mapping[str, Any], path: Path, stage: str, per_epoch: int) -> Progress:
    """What a checkpoint says of its training, every field checked before it is used.

    Args:
        saved: under ``json``, the text of a ``Progress``; a field that an earlier version did not have is left out.
        path: of the checkpoint, for errors.
        stage: that it has to be of.
        per_epoch: steps of an epoch.

    Raises:
        DataError: a field is of another type or out of range, or one does not fit another.
    """
    text = Fields(saved, path, "progress").text("json", 1 << 26)
    try:
        said = json.loads(text)  # With NaN, which a validation loss may be.
    except (ValueError, RecursionError):
        said = None
    at = Fields(said, path, "progress")
    names = {each.name for each in fields(Progress)}
    if odd := sorted(said.keys() - names):
        at.refuse(odd[0], said[odd[0]], "no such field")
    progress = Progress(**said)
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
            whole.refuse("logs", progress.logs, "the same numbers of every step")
    for number, row in enumerate(whole.many("rows")):
        _check_row(row, path, f"progress.rows[{number}]", stage, progress.step)
    if whole.inner("best"):
        _check_row(progress.best, path, "progress.best", stage, progress.step)
    finite = bool(progress.best) and math.isfinite(progress.best["val_loss"])
    if (progress.best or progress.done) and not (finite and progress.rows):
        whole.refuse("best", progress.best, "the row of the lowest validation loss")
    return progress


def _check_row(row: Any, path: Path, where: str, stage: str, step: int) -> None:
    """Refuse what is no row of the history of a stage."""
    each = Fields(row, path, where)
    each.require("stage", "epoch", "step", "val_loss", "seconds")
    if row["stage"] != stage:
        each.refuse("stage", row["stage"], repr(stage))
    each.whole("epoch", 1, step)
    each.whole("step", 1, step)
    _check_numbers({key: value for key, value in row.items() if key != "stage"}, path, where, ("val_loss", "seconds"))


def _check_numbers(values: Any, path: Path, where: str, needed: tuple[str, ...]) -> None:
    """Refuse what is not numbers by name, some of which there have to be."""
    each = Fields(values, path, where)
    each.require(*needed)
    for key, value in values.items():
        if not _is_number(value):
            each.refuse(key, value, "a number")


def _is_number(value: object) -> bool:
    """Whether it is a number that a float holds, NaN included."""
    return type(value) is float or (type(value) is int and abs(value) <= _MOST)
