"""The trainer: budget, order, best weights, history and previews; and the state of training as plain arrays."""

import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from latentseq.arrays import Source, Windows
from latentseq.errors import DataError, UsageError
from latentseq.training import trainer as trainer_module
from latentseq.training.trainer import RunTrainer, schedule
from latentseq.training.watch import read_history

HERE = Path(__file__).parent


class Numbers(Windows):
    """Windows (1,) that are their own number."""

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def take(self, indices):
        return {"x": np.asarray(indices, np.float32)[:, None]}


def numbers(train=40, validation=8):
    return Source(Numbers(train), Numbers(validation))


class Dial:
    """A model of one weight, which every step turns by one."""

    optimizer = None

    def __init__(self):
        self.value = 0

    @property
    def variables(self):
        return [self]

    def __array__(self, dtype=None, copy=None):
        return np.array(self.value)

    def assign(self, value):
        self.value = int(value)

    def get_weights(self):
        return [np.array(self.value)]

    def set_weights(self, weights):
        self.value = int(weights[0])


def turn(trainer, source=None, *, loss=lambda value: 1.0, val_loss=lambda value: 1.0, **kwargs):
    """Train a dial; the dial, the history and the batches that it saw."""
    dial, seen = Dial(), []

    def step(batch, share):
        seen.append((batch["x"].ravel().tolist(), share))
        dial.value += 1
        return {"loss": loss(dial.value)}

    history = trainer.loop(
        {"dial": dial}, step, source or numbers(), validate=lambda b: {"loss": val_loss(dial.value)}, **kwargs
    )
    return dial, history, seen


def message(kind, call, *args, **kwargs):
    with pytest.raises(kind) as error:
        call(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize(
    ("budget", "steps"),
    [
        ({"steps": 7}, 7),
        ({"epochs": 3}, 15),
        ({"steps": 7, "epochs": 3}, 7),
        ({"steps": 70, "epochs": 3}, 15),
        ({"steps": 4, "batch_size": 40}, 4),
        ({"epochs": 2, "batch_size": 100}, 2),
        ({"steps": 3, "max_minutes": 60}, 3),
    ],
)
def test_the_budget_is_kept_to_the_step(budget, steps):
    _, history, seen = turn(RunTrainer(**budget), batch_size=8)
    assert len(seen) == steps == history.rows[-1]["step"]
    assert seen[-1][1] == 1.0
    assert [share for _, share in seen] == sorted(share for _, share in seen)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(trainer_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def ticking(clock, seconds):
    """A loss that takes so many seconds to come."""

    def loss(value):
        clock.now += seconds
        return 1.0

    return loss


def test_minutes_are_wall_time_and_end_at_a_step(clock):
    _, history, seen = turn(RunTrainer(max_minutes=1), loss=ticking(clock, 9))
    shares = [share for _, share in seen]
    np.testing.assert_allclose(shares, [*(9 * i / 60 for i in range(7)), 1.0])  # 63 s are over a minute.
    assert history.rows[-1]["seconds"] == 72.0


def test_whichever_budget_ends_first_counts(clock):
    assert len(turn(RunTrainer(max_minutes=1, steps=5), loss=ticking(clock, 9))[2]) == 5
    assert len(turn(RunTrainer(max_minutes=1, steps=500), loss=ticking(clock, 9))[2]) == 8


def test_without_a_budget_it_is_ten_minutes(clock):
    _, history, _ = turn(RunTrainer(), loss=ticking(clock, 50))
    assert 600 <= history.rows[-1]["seconds"] <= 650


def test_a_budget_that_ends_within_an_epoch_still_validates(clock):
    _, history, _ = turn(RunTrainer(steps=7), batch_size=8)
    assert [(row["epoch"], row["step"]) for row in history.rows] == [(0, 0), (1, 5), (2, 7)]


def test_every_stage_has_the_whole_budget(clock):
    trainer = RunTrainer(max_minutes=1)
    assert [len(turn(trainer, loss=ticking(clock, 9), stage=stage)[2]) for stage in ("a", "b")] == [8, 8]


@pytest.mark.parametrize("option", ["epochs", "steps", "max_minutes", "batch_size", "learning_rate"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_a_budget_that_is_not_above_zero_is_refused(option, value):
    found = message(UsageError, RunTrainer, **{option: value})
    assert found == f"{option} is {value}; expected a number above 0."


def test_the_order_is_that_of_seed_and_epoch():
    first, again, other = (turn(RunTrainer(epochs=2, seed=seed), batch_size=8)[2] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    epochs = first[:5], first[5:]
    assert all(sorted(i for x, _ in epoch for i in x) == list(range(40)) for epoch in epochs)
    assert [x for x, _ in epochs[0]] != [x for x, _ in epochs[1]]


def test_the_trainers_batch_size_comes_before_the_plugins():
    assert {len(x) for x, _ in turn(RunTrainer(steps=2), batch_size=8)[2]} == {8}
    assert {len(x) for x, _ in turn(RunTrainer(steps=2, batch_size=5), batch_size=8)[2]} == {5}
    assert {len(x) for x, _ in turn(RunTrainer(steps=2, batch_size=99), batch_size=8)[2]} == {40}


def test_the_best_validation_weights_are_the_ones_restored():
    # Validated after 0, 5, 10, 15, 20 and 25 steps; the loss is lowest at 15 and rises again.
    dial, history, _ = turn(RunTrainer(epochs=5), batch_size=8, val_loss=lambda value: (value - 14) ** 2)
    assert dial.value == 15
    assert [row["val_loss"] for row in history.rows] == [196, 81, 16, 1, 36, 121]
    assert history.best == history.rows[3]


def test_of_equal_validation_losses_the_first_counts():
    assert turn(RunTrainer(epochs=3), batch_size=8, val_loss=lambda value: 2.0 * (value == 0))[0].value == 5


def test_a_validation_loss_that_is_not_finite_is_never_the_best():
    losses = {0: 4.0, 5: math.nan, 10: 2.0, 15: 3.0, 20: -math.inf}
    dial, history, _ = turn(RunTrainer(epochs=4), batch_size=8, val_loss=losses.get)
    assert (dial.value, history.best["epoch"]) == (10, 2)


def test_validation_is_a_mean_over_windows_not_over_batches():
    trainer = RunTrainer(steps=1, batch_size=4)
    history = trainer.loop(
        {"dial": Dial()},
        lambda batch, share: {"loss": 0.0},
        numbers(validation=6),
        validate=lambda batch: {"loss": batch["x"].mean()},
    )
    assert history.best["val_loss"] == pytest.approx(np.mean(range(6)))


def test_a_row_has_the_means_of_its_epoch():
    _, history, _ = turn(RunTrainer(epochs=2), batch_size=8, loss=float, stage="first")
    wanted = {"stage": "first", "epoch": 1, "step": 5, "loss": 3.0, "val_loss": 1.0}
    assert {k: v for k, v in history.rows[1].items() if k != "seconds"} == wanted
    assert history.rows[2]["loss"] == np.mean([6, 7, 8, 9, 10])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops(tmp_path, loss):
    trainer = RunTrainer(tmp_path, epochs=5)
    found = message(DataError, turn, trainer, batch_size=8, loss=lambda value: loss if value == 3 else 1.0)
    assert found == (
        f"Training stopped at step 3 of 'main'. The loss became {loss}. The weights of step 2 are saved. "
        "Look for broken values in the data, or go on with --resume and a lower --learning-rate."
    )
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def test_history_is_written_an_epoch_at_a_time(tmp_path):
    (tmp_path / "run").mkdir()
    seen = []

    def val_loss(value):
        path = tmp_path / "run" / "history.csv"
        seen.append(len(read_history(path)) if path.exists() else 0)
        return value / 3

    _, history, _ = turn(RunTrainer(tmp_path / "run", epochs=3), batch_size=8, val_loss=val_loss)
    assert seen == [0, 0, 2, 3], "The row of the start is written with that of the first epoch."
    rows = read_history(tmp_path / "run" / "history.csv")
    assert [list(row) for row in rows] == [list(row) for row in history.rows]
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert lines[:2] == ["stage,epoch,step,loss,val_loss,seconds", f"main,0,0,,0,{rows[0]['seconds']:g}"]
    for found, wanted in zip(rows, history.rows, strict=True):
        assert found == {k: pytest.approx(v, rel=1e-5) if k != "stage" else v for k, v in wanted.items()}


def test_two_stages_under_one_trainer_keep_both_histories(tmp_path):
    trainer = RunTrainer(tmp_path, epochs=2)
    source = numbers()
    first = turn(trainer, source, batch_size=8, stage="features")[1]
    second = trainer.loop(
        {"dial": Dial()},
        lambda batch, share: {"loss": 0.5, "kl": 2.0},
        source,
        validate=lambda batch: {"loss": 0.25, "kl": 1.0},
        stage="latents",
        batch_size=8,
    )
    assert [row["stage"] for row in first.rows] == ["features"] * 3
    assert [row["stage"] for row in second.rows] == ["latents"] * 3
    assert trainer.history == first.rows + second.rows
    rows = read_history(tmp_path / "history.csv")
    assert [(row["stage"], row["epoch"], row.get("val_kl")) for row in rows] == [
        ("features", 0, None),
        ("features", 1, None),
        ("features", 2, None),
        ("latents", 0, 1),
        ("latents", 1, 1),
        ("latents", 2, 1),
    ]


def test_a_preview_is_drawn_after_the_first_epoch_and_after_the_last(tmp_path):
    drawn = iter(range(100))
    trainer = RunTrainer(tmp_path, epochs=4, preview=lambda: f"picture {next(drawn)}".encode())
    turn(trainer, batch_size=8, stage="main")
    found = {p.name: p.read_text() for p in (tmp_path / "previews").iterdir()}
    assert found == {"main-0001.png": "picture 0", "main-0004.png": "picture 1"}


def test_a_preview_that_cannot_be_drawn_does_not_end_the_training(tmp_path, clock):
    drawn = iter([DataError("No picture."), b"picture"])

    def draw():
        if isinstance(picture := next(drawn), Exception):
            raise picture
        return picture

    said = []
    trainer = RunTrainer(tmp_path, epochs=2, preview=draw)
    trainer.watcher.say = said.append
    _, _, seen = turn(trainer)
    assert len(seen) == 2  # Both epochs, of a step each.
    assert [p.name for p in (tmp_path / "previews").iterdir()] == ["main-0002.png"]
    assert [line.partition("no preview")[2] for line in said if "preview" in line] == [" of epoch 1: No picture."]


def test_long_epochs_have_a_preview_each(tmp_path, clock):
    trainer = RunTrainer(tmp_path, epochs=4, preview=lambda: b"picture")
    turn(trainer, batch_size=8, loss=ticking(clock, 2))
    assert len(list((tmp_path / "previews").iterdir())) == 4


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    turn(RunTrainer(epochs=1, preview=lambda: b"picture"))
    assert list(tmp_path.iterdir()) == []


def test_the_learning_rate_rises_shortly_and_falls_to_the_end():
    rates = [schedule(share) for share in np.linspace(0, 1, 101)]
    top = int(np.argmax(rates))
    assert rates[top] == 1.0
    assert top == 3
    assert all(a > b for a, b in zip(rates[top:], rates[top + 1 :], strict=False))
    assert min(rates) > 0
    assert rates[-1] == pytest.approx(0.03)


def test_batches_are_those_of_a_loop():
    found = [b["x"].ravel().tolist() for b in RunTrainer(epochs=2, seed=4).batches(numbers(), batch_size=8)]
    assert found == [x for x, _ in turn(RunTrainer(epochs=2, seed=4), batch_size=8)[2]]


def test_a_plugin_may_need_fewer_passes_than_the_budget_has():
    assert len(list(RunTrainer(epochs=9).batches(numbers(), batch_size=8, epochs=1))) == 5
    assert len(list(RunTrainer(steps=3).batches(numbers(), batch_size=8, epochs=1))) == 3


def test_batches_import_no_keras():
    code = """
import sys
from test_trainer import RunTrainer, numbers
assert len(list(RunTrainer(steps=3).batches(numbers()))) == 3
print(sorted({"keras", "tensorflow", "jax", "torch"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE)
    assert run.stdout.strip() == "[]", run.stderr


@pytest.mark.parametrize(
    ("budget", "share", "steps"),
    [({"steps": 10}, 0.3, 3), ({"epochs": 5}, 0.4, 10), ({"steps": 10}, 0.001, 1), ({"steps": 7, "epochs": 9}, 1, 7)],
)
def test_a_part_has_a_share_of_the_budget(budget, share, steps):
    trainer = RunTrainer(**budget)
    assert len(turn(trainer.part("features", share), batch_size=8)[2]) == steps
    assert (trainer.steps, trainer.epochs) == (budget.get("steps"), budget.get("epochs"))


def test_a_part_has_a_share_of_the_minutes(clock):
    assert len(turn(RunTrainer(max_minutes=1).part("features", 0.5), loss=ticking(clock, 9))[2]) == 5


def test_the_stages_of_a_part_are_called_after_it(tmp_path):
    trainer = RunTrainer(tmp_path, steps=2, preview=lambda: b"picture")
    first = turn(trainer.part("features", 0.5))[1]
    part = trainer.part("outer", 0.5).part("inner", 1.0)
    second = turn(part, stage="main")[1]
    assert [row["stage"] for row in (*first.rows, *second.rows)] == ["features.main"] * 2 + ["outer.inner.main"] * 2
    assert trainer.history == first.rows + second.rows
    stages = [row["stage"] for row in trainer.history]
    assert [row["stage"] for row in read_history(tmp_path / "history.csv")] == stages
    assert sorted(p.name for p in (tmp_path / "previews").iterdir()) == [
        "features.main-0001.png",
        "outer.inner.main-0001.png",
    ]
