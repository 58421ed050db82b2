"""Training that repeats: one seed, one result; the state of training, and tensors on disk, as plain arrays."""

import hashlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from rows import Rows
from test_trainer import message

from latentseq.arrays import Source
from latentseq.errors import DataError
from latentseq.storage.tensors import load_tensors, save_tensors
from latentseq.training.checkpoint import restore_training_state, training_state
from latentseq.training.trainer import RunTrainer


def waves(n=40):
    """Source of latents (2,) on circles, with a posterior."""
    turn = np.random.default_rng(0).uniform(0, 6, n)[:, None] + 0.5 * np.arange(8)
    mean = np.stack([np.sin(turn), 5 + 2 * np.cos(turn)], -1).astype(np.float32)
    rows = Rows(mean=mean, log_var=np.full_like(mean, -4))
    return Source(rows, rows)


def pictures(n=40):
    rows = Rows(x=np.random.default_rng(0).uniform(size=(n, 16, 16, 1)).astype(np.float32))
    return Source(rows, rows)


def small_lstm(seed=0):
    from latentseq_plugins.dynamics.lstm import LSTM

    return LSTM(
        [2], layers=1, units=8, dropout=0.3, head="mixture", head_options={"components": 2}, free_steps=3, seed=seed
    )


def small_vae(seed=0):
    from latentseq_plugins.encoders.vae import VAE

    return VAE([16, 16, 1], latent_dim=4, widths=[4, 8], seed=seed)


def trained_weights(make, source):
    """SHA-256 of every weight after a little training, by name."""
    model = make()
    model.fit(source, RunTrainer(steps=12, batch_size=8, seed=3))
    weights = {f"{n}/{w.path}": np.asarray(w.value) for n, net in model.networks.items() for w in net.weights}
    return {key: hashlib.sha256(array.tobytes()).hexdigest() for key, array in sorted(weights.items())}


@pytest.fixture(scope="module")
def lstm_weights():
    return trained_weights(small_lstm, waves())


def test_one_seed_trains_an_lstm_to_the_same_bytes_even_under_other_settings_of_keras(lstm_weights):
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float16")
    try:
        assert trained_weights(small_lstm, waves()) == lstm_weights
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def test_another_seed_has_other_weights_to_start_with():
    for make in (small_lstm, small_vae):
        first, again, other = (
            [w.tobytes() for net in make(seed).networks.values() for w in net.get_weights() if w.ndim > 1 and w.any()]
            for seed in (0, 0, 1)
        )
        assert first == again
        assert not set(first) & set(other)


@pytest.mark.slow
def test_one_seed_trains_a_vae_to_the_same_bytes():
    assert trained_weights(small_vae, pictures()) == trained_weights(small_vae, pictures())


@pytest.mark.slow
def test_one_seed_trains_to_the_same_bytes_in_another_process(lstm_weights):
    code = "from test_checkpoint import *; print(trained_weights(small_lstm, waves()))"
    where = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=where)
    assert run.stdout.strip() == str(lstm_weights), run.stderr[-2000:]


def compiled_network(seed=0):
    import keras

    network = small_lstm(seed).network
    network.compile(optimizer=keras.optimizers.Adam(0.01, global_clipnorm=1.0), jit_compile=False)
    network.optimizer.build(network.trainable_variables)
    return network


def test_training_goes_on_exactly_from_a_saved_state():
    batches = list(RunTrainer(steps=10, batch_size=8).batches(waves()))
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
    network.train_on_batch(next(RunTrainer(steps=1).batches(waves())))
    before = training_state({"lstm": network})
    network.train_on_batch(next(RunTrainer(steps=1).batches(waves())))
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
        "The saved state of training belongs to another model: lstm/model/9999 is not expected."
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
