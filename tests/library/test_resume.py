"""Runs that go on: where they were stopped they go on, and end as if they never had been."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from test_checkpoint import pictures, small_lstm, small_vae, waves
from test_trainer import Dial, message, numbers

from latentseq.arrays import Source, Windows
from latentseq.errors import DataError
from latentseq.models.latent import LatentPredictor
from latentseq.networks.tuning import PARTS
from latentseq.testing.generated import blobs, generated
from latentseq.training import stage as stage_module
from latentseq.training.checkpoint import Checkpoints
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.conv_lstm import ConvLSTM
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.encoders.conv_ae import ConvAE


@pytest.fixture(autouse=True)
def often(monkeypatch):
    """A checkpoint after every step."""
    monkeypatch.setattr(stage_module, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(stage_module, "CHECKPOINT_SHARE", np.inf)


class Crash(Exception):
    """What a test stops a run by."""


def turned(folder, seen, *, stop=None, stage="main", val_loss=lambda value: abs(value - 7), **options):
    """Train a dial by the numbers it sees, and crash before step ``stop``; the dial and the history."""
    dial = Dial()

    def step(batch, share):
        if len(seen) == stop:
            raise Crash
        seen.append((batch["x"].ravel().tolist(), share))
        dial.value += 1
        return {"loss": float(batch["x"].mean())}

    trainer = RunTrainer(folder, seed=3, **{"epochs": 3, **options})
    validate = lambda batch: {"loss": val_loss(dial.value)}  # noqa: E731
    history = trainer.loop({"dial": dial}, step, numbers(40, 24), validate=validate, stage=stage, batch_size=8)
    return dial.value, history, trainer.history


def without_seconds(rows):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in rows]


@pytest.mark.parametrize("stop", range(1, 15))
def test_a_run_goes_on_at_the_step_it_had_come_to(stop, tmp_path):
    whole, seen = [], []
    value, history, _ = turned(tmp_path / "whole", whole)
    assert len(whole) == 15
    with pytest.raises(Crash):
        turned(tmp_path / "run", seen, stop=stop)
    again, later, rows = turned(tmp_path / "run", seen, resume=True)
    assert seen == whole, "Every batch comes once, in the same order, with the same share of the budget."
    assert again == value == 5
    assert without_seconds(later.rows) == without_seconds(history.rows) == without_seconds(rows)
    assert without_seconds([later.best]) == without_seconds([history.best])


def test_a_run_that_crashes_every_other_step(tmp_path):
    whole, seen = [], []
    value, history, _ = turned(None, whole)
    for stop in range(2, 15, 2):
        with pytest.raises(Crash):
            turned(tmp_path, seen, stop=stop, resume=True)
    again, later, _ = turned(tmp_path, seen, resume=True)
    assert (again, seen) == (value, whole)
    assert without_seconds(later.rows) == without_seconds(history.rows)


def test_without_resume_a_run_starts_afresh(tmp_path):
    seen, fresh = [], []
    with pytest.raises(Crash):
        turned(tmp_path, seen, stop=3)
    turned(tmp_path, fresh)
    assert len(fresh) == 15


def test_a_finished_stage_returns_and_takes_no_step(tmp_path):
    seen = []
    value, history, _ = turned(tmp_path, seen)
    again, later, rows = turned(tmp_path, seen, resume=True)
    assert len(seen) == 15
    assert again == value
    assert later == history
    assert rows == history.rows


def test_every_stage_has_its_own_checkpoints(tmp_path):
    first, second = [], []
    turned(tmp_path, first, stage="features")
    with pytest.raises(Crash):
        turned(tmp_path, second, stage="latents", stop=4)
    turned(tmp_path, first, stage="features", resume=True)
    turned(tmp_path, second, stage="latents", resume=True)
    assert first == second
    assert len(first) == 15
    assert {p.name for p in (tmp_path / "checkpoints").glob("*.json")} == {
        f"{stage}{kind}.json" for stage in ("features", "latents") for kind in ("", ".before")
    }


def test_a_run_that_is_finished_can_not_be_of_other_data(tmp_path):
    with pytest.raises(Crash):
        turned(tmp_path, [], stop=4, data_fingerprint="a" * 64)
    found = message(DataError, turned, tmp_path, [], resume=True, data_fingerprint="b" * 64)
    assert found == (
        "The checkpoint of 'main' was trained on other data: its fingerprint is aaaaaaaaaaaa…, and that of the data "
        "is now bbbbbbbbbbbb…. Restore the data, or start again with --overwrite."
    )


def test_a_longer_budget_goes_on_from_where_it_was(tmp_path):
    seen = []
    with pytest.raises(Crash):
        turned(tmp_path, seen, stop=12)
    _, history, _ = turned(tmp_path, seen, resume=True, epochs=5)
    assert len(seen) == 25
    assert seen[11][1] == 12 / 15
    assert seen[12][1] == 13 / 25
    assert [row["step"] for row in history.rows] == [0, 5, 10, 15, 20, 25]


@pytest.mark.parametrize(("sent", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
@pytest.mark.parametrize("when", ["step", "validation"])
def test_a_signal_is_obeyed_after_the_step_and_the_run_goes_on(when, sent, error, tmp_path):
    whole, seen = [], []
    turned(None, whole)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def val_loss(value):
        if when == "validation" and value == 10:
            os.kill(os.getpid(), sent)
        return abs(value - 7)

    class Killing(list):
        def append(self, item):
            super().append(item)
            if when == "step" and len(self) == 7:
                os.kill(os.getpid(), sent)

    seen = Killing()
    with pytest.raises(error) as caught:
        turned(tmp_path, seen, val_loss=val_loss)
    assert len(seen) == (7 if when == "step" else 10)
    assert sent == signal.SIGINT or caught.value.code == 143
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    seen = list(seen)
    _, history, _ = turned(tmp_path, seen, resume=True)
    assert seen == whole
    assert [row["step"] for row in history.rows] == [0, 5, 10, 15]


# The state of real models.


def weights(model):
    return {f"{n}/{w.path}": np.array(w) for n, net in model.networks.items() for w in net.weights}


class Stopping(Windows):
    """Windows that stop the run when they were taken so many times."""

    def __init__(self, windows, times):
        self.windows, self.times = windows, times

    def __len__(self):
        return len(self.windows)

    def take(self, indices):
        self.times -= 1
        if self.times < 0:
            raise Crash
        return self.windows.take(indices)


def quick_lstm():
    """An LSTM whose training has a state of its own, the seeds of its dropout."""
    return LSTM([2], layers=1, units=8, readout=[], dropout=0.3, head="mse", free_steps=0)


def small_tuned():
    """All parts together, on frames that are mirrored and shifted."""
    encoder = ConvAE([16, 16, 1], latent="map", latent_dim=2, widths=[4])
    dynamics = ConvLSTM([8, 8, 2], layers=1, units=4, free_steps=2)
    predictor = LatentPredictor(encoder, dynamics, PARTS)
    predictor.networks = encoder.networks | dynamics.networks
    return predictor


def films():
    return generated(lambda rows: {"frames": blobs(rows, 5, (16, 16, 1))})


@pytest.mark.jax
@pytest.mark.parametrize(
    ("make", "source"),
    [
        pytest.param(quick_lstm, waves, id="lstm"),
        pytest.param(small_lstm, waves, id="mixture", marks=pytest.mark.slow),
        pytest.param(small_vae, pictures, id="vae", marks=pytest.mark.slow),
        pytest.param(small_tuned, films, id="tuned", marks=pytest.mark.slow),
    ],
)
def test_a_model_that_was_stopped_ends_in_the_same_weights(make, source, tmp_path):
    whole, data = make(), source()
    history = whole.fit(data, RunTrainer(steps=12, batch_size=8, seed=3))
    for times in (4, 6):
        model = make()
        stopping = Source(Stopping(data.train, times), data.validation)
        with pytest.raises(Crash):
            model.fit(stopping, RunTrainer(tmp_path, steps=12, batch_size=8, seed=3, resume=True))
    model = make()
    again = model.fit(data, RunTrainer(tmp_path, steps=12, batch_size=8, seed=3, resume=True))
    assert without_seconds(again.rows) == without_seconds(history.rows)
    for key, value in weights(whole).items():
        np.testing.assert_array_equal(weights(model)[key], value, err_msg=key)


# What is not finite.


class Broken(Windows):
    """Windows with a value that is not finite, from the n-th time on that they are taken."""

    def __init__(self, windows, key, at, value):
        self.windows, self.key, self.at, self.value = windows, key, at, value

    def __len__(self):
        return len(self.windows)

    def take(self, indices):
        self.at -= 1
        batch = {k: v.copy() for k, v in self.windows.take(indices).items()}
        if self.at < 0:
            batch[self.key][2] = self.value
        return batch


def state_in(folder):
    saved = Checkpoints(folder / "checkpoints", "main").load()
    return {k: v for k, v in saved.tensors.items() if k.startswith("state/model/model/")}


@pytest.mark.parametrize("value", [np.nan, *(pytest.param(x, marks=pytest.mark.slow) for x in (np.inf, -np.inf))])
def test_data_that_is_not_finite_stops_before_the_step(value, tmp_path):
    model, data = small_lstm(), waves()
    # Some are taken to look at them and for what is fitted before; then come the batches, two of them read ahead.
    broken = Source(Broken(data.train, "mean", 11, value), data.validation)
    found = message(DataError, model.fit, broken, RunTrainer(tmp_path / "run", steps=9, batch_size=8, seed=3))
    step = int(found.split("step ")[1].split(" ")[0])
    assert found == (
        f"Training stopped at step {step} of 'main'. The training data has a value that is not finite: 'mean' of "
        f"window 2 of the batch. The weights of step {step - 1} are saved. Look for broken values in the data, or go "
        "on with --resume and a lower --learning-rate."
    )
    kept, now = state_in(tmp_path / "run").values(), weights(model).values()
    assert all(np.isfinite(array).all() for array in kept)
    assert {array.tobytes() for array in now} <= {array.tobytes() for array in kept}


@pytest.mark.jax
def test_a_gradient_that_is_not_finite_changes_no_weight_and_is_named(tmp_path):
    import keras
    from keras import layers, ops

    class Root(keras.Model):
        """The gradient of its loss is infinite where the input is 0."""

        def __init__(self):
            super().__init__()
            self.first, self.second = layers.Dense(3, use_bias=False, name="first"), layers.Dense(1, name="second")

        def call(self, batch, training=False):
            return ops.sum(self.second(self.first(batch["x"]))) * 0 + ops.sum(
                ops.sqrt(ops.abs(self.first(batch["x"])))
            )

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return y_pred

    class Rows(Windows):
        def __init__(self):
            self.taken = 0

        def __len__(self):
            return 4

        def take(self, indices):
            self.taken += 1
            # Two are read ahead: the third batch is the one.
            return {"x": np.full((len(indices), 2), 0.0 if self.taken == 3 else 1.0, np.float32)}

    def fitted(folder, rows):
        keras.utils.set_random_seed(1)
        model, trainer = Root(), RunTrainer(folder, steps=5, batch_size=4, seed=0)
        model({"x": np.ones((1, 2), np.float32)})
        return model, lambda: trainer.fit(model, Source(rows, Rows()), learning_rate=0.01)

    model, fit = fitted(tmp_path, Rows())
    found = message(DataError, fit)
    assert "step 3 of 'main'" in found
    assert "/first/kernel (model) was not finite. The weights of step 2 are saved." in found
    clean, fit = fitted(None, Stopping(Rows(), 2))
    with pytest.raises(Crash):
        fit()
    kept = [v for _, v in sorted(state_in(tmp_path).items())]
    for array, now, wanted in zip(kept, model.get_weights(), clean.get_weights(), strict=True):
        np.testing.assert_array_equal(array, now)
        assert np.isfinite(now).all()
        np.testing.assert_array_equal(now, wanted)


# Checkpoints on disk.


def arrays(n):
    return {"a": np.arange(n, dtype=np.float32), "b": np.array(n)}


def test_the_newest_checkpoint_counts_and_the_one_before_it_stays(tmp_path):
    store = Checkpoints(tmp_path, "main")
    assert store.load() is None
    for step in (3, 5, 5, 8):
        store.save(arrays(step), step, {"at": step})
        saved = store.load()
        assert (saved.progress, saved.damaged) == ({"at": step}, False)
        np.testing.assert_array_equal(saved.tensors["a"], arrays(step)["a"])
    assert {p.name for p in tmp_path.iterdir()} == {
        "main.json",
        "main.before.json",
        "main-00000005-again.safetensors",
        "main-00000008.safetensors",
    }


@pytest.mark.parametrize("damage", ["flip", "cut", "missing"])
@pytest.mark.parametrize("file", ["main-00000008.safetensors", "main.json"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(file, damage, tmp_path):
    store = Checkpoints(tmp_path, "main")
    for step in (5, 8):
        store.save(arrays(step), step, {"at": step})
    damaged(tmp_path / file, damage)
    saved = store.load()
    assert (saved.progress, saved.damaged) == ({"at": 5}, True)
    np.testing.assert_array_equal(saved.tensors["a"], arrays(5)["a"])
    # It is not lost by the next one.
    store.save(arrays(9), 9, {"at": 9})
    damaged(tmp_path / "main-00000009.safetensors", damage)
    assert store.load().progress == {"at": 5}


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_where_every_checkpoint_is_damaged_it_is_said(damage, tmp_path):
    store = Checkpoints(tmp_path, "main")
    for step in (5, 8):
        store.save(arrays(step), step, {"at": step})
    for path in tmp_path.glob("*.safetensors"):
        damaged(path, damage)
    assert message(DataError, store.load) == (
        f"Every checkpoint of 'main' in {tmp_path} is damaged: the stored SHA-256 checksums do not match. Copy the "
        "folder again, or start the run again with --overwrite."
    )


def damaged(path: Path, damage: str) -> None:
    content = path.read_bytes()
    match damage:
        case "flip":
            middle = len(content) // 2
            path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        case "cut":
            path.write_bytes(content[: len(content) // 2])
        case "missing":
            path.unlink()


def test_a_validation_loss_that_json_does_not_have_is_kept(tmp_path):
    losses = {0: 2.0, 5: float("nan"), 10: float("inf"), 15: 1.0}
    with pytest.raises(Crash):
        turned(tmp_path, [], stop=11, val_loss=losses.get)
    _, history, _ = turned(tmp_path, [None] * 11, resume=True, val_loss=losses.get)
    assert str([row["val_loss"] for row in history.rows]) == "[2.0, nan, inf, 1.0]"
    pointer = json.loads((tmp_path / "checkpoints" / "main.json").read_text(), parse_constant=pytest.fail)
    assert len(pointer["sha256"]) == 64
