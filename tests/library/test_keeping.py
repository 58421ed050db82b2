"""Which weights a training keeps: those of the start are candidates too, and the last ones can be asked for."""

import math

import numpy as np
import pytest
from test_resume import Crash, turned, without_seconds
from test_trainer import message, turn

from latentseq.errors import DataError, UsageError
from latentseq.training import stage as stage_module
from latentseq.training.budget import Budget
from latentseq.training.trainer import ADVICE, RunTrainer, outcome


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """A checkpoint after every step."""
    monkeypatch.setattr(stage_module, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(stage_module, "CHECKPOINT_SHARE", np.inf)


def lines(val_loss, **options):
    """What a training of epochs of five steps says, and its dial and history."""
    said, trainer = [], RunTrainer(**options)
    trainer.watcher.say = lambda line: said.append(line.partition(" · ")[2])
    dial, history, _ = turn(trainer, batch_size=8, val_loss=val_loss)
    return dial.value, history, said


def test_the_first_row_is_the_start():
    _, history, _ = turn(RunTrainer(epochs=1), batch_size=8, val_loss=lambda value: 10.0 - value)
    assert without_seconds(history.rows) == [
        {"stage": "main", "epoch": 0, "step": 0, "val_loss": 10.0},
        {"stage": "main", "epoch": 1, "step": 5, "loss": 1.0, "val_loss": 5.0},
    ]


def test_a_training_that_only_gets_worse_keeps_the_weights_of_the_start():
    value, history, said = lines(float, epochs=2)
    assert value == 0
    assert history.best == history.rows[0]
    assert said == [
        "10 steps in 0 s · best validation loss 0 at the start",
        "No epoch was better on validation data than the start, whose weights are kept. Use more footage, hold out "
        "the ends of the scenes (ingest --hold-out ends) if whole scenes are held out, or keep the last weights with "
        "--keep last.",
    ]


@pytest.mark.parametrize("start", [math.nan, math.inf, -math.inf])
def test_a_start_without_a_finite_loss_is_no_candidate(start):
    value, history, _ = lines({0: start, 5: 3.0, 10: 4.0}.get, epochs=2)
    assert (value, history.best["epoch"], len(history.rows)) == (5, 1, 3)


def test_a_finite_start_does_not_hide_that_every_epoch_is_broken():
    found = message(DataError, lines, {0: 1.0, 5: math.nan, 10: math.inf}.get, epochs=2)
    assert found == (
        "The validation loss was inf in every epoch, so no weights were saved. Try a lower --learning-rate, and look "
        "for broken values in the data."
    )


@pytest.mark.parametrize(
    ("best", "last", "advice"),
    [
        (1, 9, ""),
        (1, 10, "The validation loss was lowest in epoch 1 of 10: later training did not help on held-out data."),
        (2, 19, ""),
        (2, 51, "The validation loss was lowest in epoch 2 of 51: later training did not help on held-out data."),
        (51, 51, ""),
    ],
)
def test_an_early_best_epoch_is_said(best, last, advice):
    rows = [{"epoch": epoch, "step": 5 * epoch, "val_loss": 0.25} for epoch in (best, last)]
    said = outcome(*rows, 7.4, "best")
    assert said[0] == f"{5 * last} steps in 7 s · best validation loss 0.25 in epoch {best} of {last}"
    assert said[1:] == ([f"{advice} {ADVICE}"] if advice else [])


def test_the_last_weights_are_kept_if_they_are_asked_for():
    value, history, said = lines(lambda value: (value - 4) ** 2, epochs=3, keep="last")
    assert value == 15
    assert history.best == history.rows[-1]
    assert history.best["val_loss"] == 121
    assert said == [
        "15 steps in 0 s · kept the last weights, with validation loss 121 (the best was 1 in epoch 1 of 3)"
    ]


def test_last_weights_without_a_finite_loss_are_not_kept():
    found = message(DataError, lines, {0: 2.0, 5: 1.0, 10: math.nan}.get, epochs=2, keep="last")
    assert found == (
        "The validation loss was nan after the last step, whose weights were to be kept. Train again with "
        "--keep best, or with a lower --learning-rate."
    )


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("stop", [1, 5, 6, 14, None])
def test_a_run_that_goes_on_keeps_the_same_weights(tmp_path, stop, keep):
    options = {"keep": keep, "val_loss": lambda value: abs(value - 2)}
    value, history, _ = turned(tmp_path / "whole", [], **options)
    assert value == {"best": 0, "last": 15}[keep]
    seen = []
    if stop is None:
        turned(tmp_path / "run", seen, **options)
    else:
        with pytest.raises(Crash):
            turned(tmp_path / "run", seen, stop=stop, **options)
    again, later, rows = turned(tmp_path / "run", seen, resume=True, **options)
    assert (again, len(seen)) == (value, 15)
    assert without_seconds(later.rows) == without_seconds(history.rows) == without_seconds(rows)
    assert without_seconds([later.best]) == without_seconds([history.best])
    assert [row["epoch"] for row in rows] == [0, 1, 2, 3], "The row of the start is there once."


@pytest.mark.parametrize("make", [Budget, RunTrainer])
def test_another_choice_of_weights_is_refused(make):
    assert message(UsageError, make, keep="first") == "keep is 'first'; expected 'best' or 'last'."
