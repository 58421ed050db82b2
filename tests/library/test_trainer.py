"""The trainer: budget, order, best weights, history and previews; and the state of training as plain arrays."""

import hashlib
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from latentseq.errors import DataError, UsageError
from latentseq.protocols import Source, Windows
from latentseq.training import trainer as trainer_module
from latentseq.training.checkpoint import load_tensors, restore_training_state, save_tensors, training_state
from latentseq.training.trainer import Trainer, schedule
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

    def __init__(self):
        self.value = 0

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
    _, history, seen = turn(Trainer(**budget), batch_size=8)
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
    _, history, seen = turn(Trainer(max_minutes=1), loss=ticking(clock, 9))
    shares = [share for _, share in seen]
    np.testing.assert_allclose(shares, [*(9 * i / 60 for i in range(7)), 1.0])  # 63 s are over a minute.
    assert history.rows[-1]["seconds"] == 72.0


def test_whichever_budget_ends_first_counts(clock):
    assert len(turn(Trainer(max_minutes=1, steps=5), loss=ticking(clock, 9))[2]) == 5
    assert len(turn(Trainer(max_minutes=1, steps=500), loss=ticking(clock, 9))[2]) == 8


def test_without_a_budget_it_is_ten_minutes(clock):
    _, history, _ = turn(Trainer(), loss=ticking(clock, 50))
    assert 600 <= history.rows[-1]["seconds"] <= 650


def test_a_budget_that_ends_within_an_epoch_still_validates(clock):
    _, history, _ = turn(Trainer(steps=7), batch_size=8)
    assert [(row["epoch"], row["step"]) for row in history.rows] == [(1, 5), (2, 7)]


def test_every_stage_has_the_whole_budget(clock):
    trainer = Trainer(max_minutes=1)
    assert [len(turn(trainer, loss=ticking(clock, 9), stage=stage)[2]) for stage in ("a", "b")] == [8, 8]


@pytest.mark.parametrize("option", ["epochs", "steps", "max_minutes", "batch_size", "learning_rate"])
@pytest.mark.parametrize("value", [0, -1, math.nan])
def test_a_budget_that_is_not_above_zero_is_refused(option, value):
    found = message(UsageError, Trainer, **{option: value})
    assert found == f"{option} is {value}; expected a number above 0."


def test_the_order_is_that_of_seed_and_epoch():
    first, again, other = (turn(Trainer(epochs=2, seed=seed), batch_size=8)[2] for seed in (1, 1, 2))
    assert first == again
    assert first != other
    epochs = first[:5], first[5:]
    assert all(sorted(i for x, _ in epoch for i in x) == list(range(40)) for epoch in epochs)
    assert [x for x, _ in epochs[0]] != [x for x, _ in epochs[1]]


def test_the_trainers_batch_size_comes_before_the_plugins():
    assert {len(x) for x, _ in turn(Trainer(steps=2), batch_size=8)[2]} == {8}
    assert {len(x) for x, _ in turn(Trainer(steps=2, batch_size=5), batch_size=8)[2]} == {5}
    assert {len(x) for x, _ in turn(Trainer(steps=2, batch_size=99), batch_size=8)[2]} == {40}


def test_the_best_validation_weights_are_the_ones_restored():
    # Validated after 5, 10, 15, 20 and 25 steps; the loss is lowest at 15 and rises again.
    dial, history, _ = turn(Trainer(epochs=5), batch_size=8, val_loss=lambda value: (value - 14) ** 2)
    assert dial.value == 15
    assert [row["val_loss"] for row in history.rows] == [81, 16, 1, 36, 121]
    assert history.best == history.rows[2]


def test_of_equal_validation_losses_the_first_counts():
    assert turn(Trainer(epochs=3), batch_size=8)[0].value == 5


def test_a_validation_loss_that_is_not_finite_is_never_the_best():
    losses = {5: math.nan, 10: 2.0, 15: 3.0}
    dial, history, _ = turn(Trainer(epochs=3), batch_size=8, val_loss=losses.get)
    assert (dial.value, history.best["epoch"]) == (10, 2)


def test_validation_is_a_mean_over_windows_not_over_batches():
    trainer = Trainer(steps=1, batch_size=4)
    history = trainer.loop(
        {"dial": Dial()},
        lambda batch, share: {"loss": 0.0},
        numbers(validation=6),
        validate=lambda batch: {"loss": batch["x"].mean()},
    )
    assert history.best["val_loss"] == pytest.approx(np.mean(range(6)))


def test_a_row_has_the_means_of_its_epoch():
    _, history, _ = turn(Trainer(epochs=2), batch_size=8, loss=float, stage="first")
    wanted = {"stage": "first", "epoch": 1, "step": 5, "loss": 3.0, "val_loss": 1.0}
    assert {k: v for k, v in history.rows[0].items() if k != "seconds"} == wanted
    assert history.rows[1]["loss"] == np.mean([6, 7, 8, 9, 10])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops(tmp_path, loss):
    trainer = Trainer(tmp_path, epochs=5)
    found = message(DataError, turn, trainer, batch_size=8, loss=lambda value: loss if value == 3 else 1.0)
    assert found == (
        f"The loss became {loss} at step 3; nothing was saved. "
        "Try a lower --learning-rate, and look for broken values in the data."
    )
    assert list(tmp_path.iterdir()) == []


def test_history_is_written_an_epoch_at_a_time(tmp_path):
    (tmp_path / "run").mkdir()
    seen = []

    def val_loss(value):
        path = tmp_path / "run" / "history.csv"
        seen.append(len(read_history(path)) if path.exists() else 0)
        return value / 3

    _, history, _ = turn(Trainer(tmp_path / "run", epochs=3), batch_size=8, val_loss=val_loss)
    assert seen == [0, 1, 2]
    rows = read_history(tmp_path / "run" / "history.csv")
    assert [list(row) for row in rows] == [list(row) for row in history.rows]
    for found, wanted in zip(rows, history.rows, strict=True):
        assert found == {k: pytest.approx(v, rel=1e-5) if k != "stage" else v for k, v in wanted.items()}


def test_two_stages_under_one_trainer_keep_both_histories(tmp_path):
    trainer = Trainer(tmp_path, epochs=2)
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
    assert [row["stage"] for row in first.rows] == ["features"] * 2
    assert [row["stage"] for row in second.rows] == ["latents"] * 2
    assert trainer.history == first.rows + second.rows
    rows = read_history(tmp_path / "history.csv")
    assert [(row["stage"], row["epoch"], row.get("val_kl")) for row in rows] == [
        ("features", 1, None),
        ("features", 2, None),
        ("latents", 1, 1),
        ("latents", 2, 1),
    ]


def test_a_preview_is_drawn_after_the_first_epoch_and_after_the_last(tmp_path):
    drawn = iter(range(100))
    trainer = Trainer(tmp_path, epochs=4, preview=lambda: f"picture {next(drawn)}".encode())
    turn(trainer, batch_size=8, stage="main")
    found = {p.name: p.read_text() for p in (tmp_path / "previews").iterdir()}
    assert found == {"main-0001.png": "picture 0", "main-0004.png": "picture 1"}


def test_long_epochs_have_a_preview_each(tmp_path, clock):
    trainer = Trainer(tmp_path, epochs=4, preview=lambda: b"picture")
    turn(trainer, batch_size=8, loss=ticking(clock, 2))
    assert len(list((tmp_path / "previews").iterdir())) == 4


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    turn(Trainer(epochs=1, preview=lambda: b"picture"))
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
    found = [b["x"].ravel().tolist() for b in Trainer(epochs=2, seed=4).batches(numbers(), batch_size=8)]
    assert found == [x for x, _ in turn(Trainer(epochs=2, seed=4), batch_size=8)[2]]


def test_a_plugin_may_need_fewer_passes_than_the_budget_has():
    assert len(list(Trainer(epochs=9).batches(numbers(), batch_size=8, epochs=1))) == 5
    assert len(list(Trainer(steps=3).batches(numbers(), batch_size=8, epochs=1))) == 3


def test_batches_import_no_keras():
    code = """
import sys
from test_trainer import Trainer, numbers
assert len(list(Trainer(steps=3).batches(numbers()))) == 3
print(sorted({"keras", "tensorflow", "jax", "torch"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE)
    assert run.stdout.strip() == "[]", run.stderr


# With models.


def waves(n=40):
    """Source of latents (2,) on circles, with a posterior."""
    turn = np.random.default_rng(0).uniform(0, 6, n)[:, None] + 0.5 * np.arange(8)
    mean = np.stack([np.sin(turn), 5 + 2 * np.cos(turn)], -1).astype(np.float32)
    arrays = {"mean": mean, "log_var": np.full_like(mean, -4)}

    class Rows(Windows):
        __len__ = lambda self: n  # noqa: E731
        take = lambda self, indices: {k: v[indices] for k, v in arrays.items()}  # noqa: E731

    return Source(Rows(), Rows())


def pictures(n=40):
    x = np.random.default_rng(0).uniform(size=(n, 16, 16, 1)).astype(np.float32)

    class Rows(Windows):
        __len__ = lambda self: n  # noqa: E731
        take = lambda self, indices: {"x": x[indices]}  # noqa: E731

    return Source(Rows(), Rows())


def small_lstm(seed=0):
    from latentseq_plugins.dynamics.lstm import LSTM

    return LSTM([2], layers=1, units=8, dropout=0.3, head="mixture", components=2, free_steps=3, seed=seed)


def small_vae(seed=0):
    from latentseq_plugins.encoders.vae import VAE

    return VAE([16, 16, 1], latent_dim=4, widths=[4, 8], seed=seed)


def trained_weights(make, source):
    """SHA-256 of every weight after a little training, by name."""
    model = make()
    model.fit(source, Trainer(steps=12, batch_size=8, seed=3))
    weights = {f"{n}/{w.path}": np.asarray(w.value) for n, net in model.networks.items() for w in net.weights}
    return {key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in sorted(weights.items())}


@pytest.fixture(scope="module")
def lstm_weights():
    return trained_weights(small_lstm, waves())


def test_one_seed_trains_an_lstm_to_the_same_bytes(lstm_weights):
    assert trained_weights(small_lstm, waves()) == lstm_weights


def test_another_seed_has_other_weights_to_start_with():
    for make in (small_lstm, small_vae):
        first, again, other = (
            [w.tobytes() for net in make(seed).networks.values() for w in net.get_weights() if w.ndim > 1 and w.any()]
            for seed in (0, 0, 1)
        )
        assert first == again
        assert not set(first) & set(other)


def test_one_seed_trains_a_vae_to_the_same_bytes():
    assert trained_weights(small_vae, pictures()) == trained_weights(small_vae, pictures())


def test_one_seed_trains_to_the_same_bytes_in_another_process(lstm_weights):
    code = "from test_trainer import *; print(trained_weights(small_lstm, waves()))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=HERE)
    assert run.stdout.strip() == str(lstm_weights), run.stderr[-2000:]


def compiled_network(seed=0):
    import keras

    network = small_lstm(seed).network
    network.compile(optimizer=keras.optimizers.Adam(0.01, global_clipnorm=1.0), jit_compile=False)
    return network


def test_training_goes_on_exactly_from_a_saved_state():
    batches = list(Trainer(steps=10, batch_size=8).batches(waves()))
    network = compiled_network()
    for batch in batches[:5]:
        network.train_on_batch(batch)
    saved = training_state({"lstm": network})
    kept = {key: array.copy() for key, array in saved.items()}
    losses = [network.train_on_batch(batch) for batch in batches[5:]]
    wanted = training_state({"lstm": network})
    assert all(np.array_equal(saved[key], kept[key]) for key in kept)  # A snapshot is a copy.
    assert any(not np.array_equal(wanted[key], kept[key]) for key in kept)

    fresh = compiled_network(seed=7)
    restore_training_state({"lstm": fresh}, saved)
    assert [fresh.train_on_batch(batch) for batch in batches[5:]] == losses
    found = training_state({"lstm": fresh})
    assert {k: v.tobytes() for k, v in found.items()} == {k: v.tobytes() for k, v in wanted.items()}


def test_the_state_of_training_has_the_optimiser_and_the_seeds():
    network = compiled_network()
    network.train_on_batch(next(Trainer(steps=1).batches(waves())))
    before = training_state({"lstm": network})
    network.train_on_batch(next(Trainer(steps=1).batches(waves())))
    after = training_state({"lstm": network})
    changed = [key for key in before if not np.array_equal(before[key], after[key])]
    optimizer = [key for key in changed if key.startswith("lstm/optimizer/")]
    assert len(optimizer) == 1 + 2 * len(network.trainable_variables)  # The count of steps, two moments a weight.
    dropout = 1  # The seed of the one layer.
    assert len(changed) == len(optimizer) + len(network.trainable_variables) + dropout


def test_the_state_of_another_model_is_refused():
    network = compiled_network()
    state = training_state({"lstm": network})
    state["lstm/model/9999"] = np.zeros(1)
    assert message(DataError, restore_training_state, {"lstm": network}, state) == (
        "The saved state of training is of another model: lstm/model/9999 is only in one of the two."
    )


# Tensors on disk.

EXPECTED = {"net/kernel": ((2, 3), "float32"), "net/bias": ((3,), "float32")}
ARRAYS = {
    "net/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "net/bias": np.array([1.5, -2, 0], np.float32),
}


def test_tensors_come_back_and_the_same_arrays_give_the_same_bytes(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    digest = save_tensors(ARRAYS, first)
    assert save_tensors(dict(reversed(ARRAYS.items())), second) == digest
    assert hashlib.sha256(first.read_bytes()).hexdigest() == digest
    assert first.read_bytes() == second.read_bytes()
    found = load_tensors(first, EXPECTED)
    assert {k: v.tolist() for k, v in found.items()} == {k: v.tolist() for k, v in ARRAYS.items()}


def test_arrays_that_are_not_contiguous_are_saved_as_they_look(tmp_path):
    array = np.arange(6, dtype=np.float32).reshape(3, 2).T
    save_tensors({"a": array}, tmp_path / "t")
    assert np.array_equal(load_tensors(tmp_path / "t", {"a": ((2, 3), "float32")})["a"], array)


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        (
            ARRAYS | {"net/kernel": np.zeros((2, 4), np.float32)},
            "net/kernel is ((2, 4), 'float32'); expected ((2, 3), 'float32').",
        ),
        (
            ARRAYS | {"net/bias": np.zeros(3)},
            "net/bias is ((3,), 'float64'); expected ((3,), 'float32').",
        ),
        ({"net/kernel": ARRAYS["net/kernel"]}, "net/bias is missing; expected ((3,), 'float32')."),
        (ARRAYS | {"other": np.zeros(1, np.float32)}, "other is ((1,), 'float32'); expected no such array."),
    ],
)
def test_tensors_that_do_not_fit_are_refused(tmp_path, arrays, found):
    save_tensors(arrays, tmp_path / "weights")
    wanted = f"{tmp_path / 'weights'} does not fit the configuration beside it: {found}"
    assert message(DataError, load_tensors, tmp_path / "weights", EXPECTED) == wanted


def bfloat16_file():
    header = b'{"net/bias":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]}}'
    return len(header).to_bytes(8, "little") + header + bytes(6)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-1],
        lambda data: data[:20],
        lambda data: b"",
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: b"PK\x03\x04" + data[4:],
        lambda data: data.replace(b'"F32"', b'"F3x"'),
        lambda data: bfloat16_file(),
    ],
    ids=["cut", "header cut", "empty", "header length", "another format", "dtype", "bfloat16"],
)
def test_a_damaged_file_is_refused(tmp_path, damage):
    path = tmp_path / "weights"
    save_tensors(ARRAYS, path)
    path.write_bytes(damage(path.read_bytes()))
    found = message(DataError, load_tensors, path, EXPECTED)
    assert found.startswith(f"{path} ")
    if "does not fit" not in found:
        assert found.startswith(f"{path} cannot be read: ")
        assert found.endswith(". Copy the folder again, or train again.")


def test_a_missing_file_is_refused(tmp_path):
    path = tmp_path / "weights"
    assert message(DataError, load_tensors, path, EXPECTED) == (
        f"{path} cannot be read: [Errno 2] No such file or directory: '{path}'. "
        "Copy the folder again, or train again."
    )
