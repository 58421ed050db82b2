"""Imagined items stay where the training latents are, whatever the network says, and nothing changes inside."""

import numpy as np
import pytest
from rows import Rows
from safetensors.numpy import load_file, save_file

from latentseq.arrays import Latents, Source
from latentseq.errors import DataError
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.conv_lstm import ConvLSTM
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.predictors.conv_lstm import FrameConvLSTM

LOW, HIGH, RADIUS = np.array([-2.0, -1.5], np.float32), np.array([2.5, 1.0], np.float32), 2.6


def small(vector, head):
    options = {"layers": 1, "units": 4, "readout": [], "head": head}
    if head == "mixture":
        options["head_options"] = {"components": 2}
    return LSTM([2], **options) if vector else ConvLSTM([2, 3, 2], **options)


def runaway(vector, head):
    """A model that goes 3 deviations away from where it is in every step, if nobody holds it."""
    model = small(vector, head)
    network = model.network
    bias = np.zeros(network.head.width, np.float32)
    bias[-4 if head != "mse" else 0 :][:2] = 3
    if head == "mixture":  # Both components: logits, then place and width of each.
        bias[2:4] = 3
    network.output_layer.last.bias.assign(bias)
    for weight, value in ((network.offset, 7), (network.scale, 0.5), (network.low, LOW), (network.high, HIGH)):
        weight.assign(np.broadcast_to(value, weight.shape))
    network.radius.assign(RADIUS)
    return model


def standardised(model, z):
    return (z - np.asarray(model.network.offset)) / np.asarray(model.network.scale)


@pytest.mark.parametrize("head", ["mse", "kl", "mixture"])
@pytest.mark.parametrize("vector", [True, False])
def test_a_model_that_runs_away_stays_in_the_range(vector, head):
    model = runaway(vector, head)
    z = 7 + 0.2 * np.random.default_rng(0).normal(size=(1, 3, *model.latent_shape)).astype(np.float32)
    _, first = model.observe(Latents(z))
    for temperature in (0.0, 1.0, 2.0):
        found, _ = model.imagine(first, 200, seed=1, temperature=temperature)
        items = standardised(model, found)
        assert (items >= LOW - 1e-4).all() and (items <= HIGH + 1e-4).all()
        length = np.linalg.norm(items, axis=-1)
        assert length.max() <= RADIUS + 1e-4
        assert length.max() > RADIUS - 0.2  # It does want to go.


def test_inside_nothing_changes_to_the_bit_and_outside_it_is_drawn_in():
    model = runaway(True, "mse")
    inside = np.random.default_rng(0).uniform([-1.9, -1.2], [2.3, 0.9], (500, 2)).astype(np.float32)
    assert np.linalg.norm(inside, axis=-1).max() < RADIUS
    zero = np.zeros((1, 2), np.float32)
    assert np.asarray(model.network.confine(inside, zero)).tobytes() == inside.tobytes()
    outside = {
        (-9.0, 0.0): (-2, 0),  # At its own bound.
        (0.0, 1e30): (0, 1),
        (9.0, 9.0): (2.6 * 2.5 / np.hypot(2.5, 1), 2.6 * 1 / np.hypot(2.5, 1)),  # At both, which is too far out.
    }
    found = model.network.confine(np.array(list(outside), np.float32), np.zeros((3, 2), np.float32))
    np.testing.assert_allclose(found, list(outside.values()), rtol=1e-5)


def test_what_begins_outside_may_stay_there_and_goes_no_farther():
    model = runaway(True, "mse")
    last = np.array([[30.0, -40.0]] * 4, np.float32)
    tried = np.array([[30, -40], [31, -41], [29, -39], [0, 0.5]], np.float32)
    found = model.network.confine(tried, last)
    np.testing.assert_allclose(found, [[30, -40], [30, -40], [29, -39], [0, 0.5]], rtol=1e-5)
    _, state = model.observe(Latents(7 + 0.5 * last[:1, None]))
    far = standardised(model, model.imagine(state, 50, seed=0, temperature=0.0)[0])
    assert np.linalg.norm(far, axis=-1).max() <= 50.01


def test_the_range_is_that_of_the_training_latents_and_a_deviation_more():
    rng = np.random.default_rng(0)
    z = rng.normal([3, -1], [2, 0.5], (30, 8, 2)).astype(np.float32)
    held = 100 + z[:4]  # What is held out is not what it learns from.
    model = small(True, "mse")
    model.fit(Source(Rows(mean=z), Rows(mean=held)), RunTrainer(steps=1))
    standard = (z - z.mean((0, 1))) / z.std((0, 1))
    np.testing.assert_allclose(model.network.low, standard.min((0, 1)) - 1, rtol=1e-4)
    np.testing.assert_allclose(model.network.high, standard.max((0, 1)) + 1, rtol=1e-4)
    assert float(model.network.radius) == pytest.approx(np.linalg.norm(standard, axis=-1).max() + 1, rel=1e-4)


def test_the_range_of_a_map_is_that_of_its_channels_in_every_position():
    z = np.random.default_rng(0).normal(size=(12, 6, 2, 3, 2)).astype(np.float32)
    z[0, 0, 1, 2] = [9, -8]
    model = small(False, "mse")
    model.fit(Source(Rows(mean=z), Rows(mean=z[:4])), RunTrainer(steps=1))
    standard = (z - z.mean((0, 1, 2, 3))) / z.std((0, 1, 2, 3))
    for name, wanted in (("low", standard.min((0, 1, 2, 3)) - 1), ("high", standard.max((0, 1, 2, 3)) + 1)):
        np.testing.assert_allclose(getattr(model.network, name), np.broadcast_to(wanted, (2, 3, 2)), rtol=1e-4)
    assert float(model.network.radius) == pytest.approx(np.linalg.norm(standard[0, 0, 1, 2]) + 1, rel=1e-4)


def test_weights_from_before_the_range_was_kept_still_load(tmp_path):
    model = small(True, "kl")
    model.save_state(tmp_path)
    path = tmp_path / "weights.safetensors"
    arrays = load_file(path)
    added = [key for key in arrays if key.rpartition("/")[2] in ("low", "high", "radius")]
    assert len(added) == 3
    save_file({key: array for key, array in arrays.items() if key not in added}, path)
    old = small(True, "kl")
    old.load_state(tmp_path)
    # Five deviations: of a dimension from the mean, and of an item from the square root of 2, its usual distance.
    assert (np.asarray(old.network.low) == -5).all() and (np.asarray(old.network.high) == 5).all()
    assert float(old.network.radius) == pytest.approx(2**0.5 + 5)
    save_file({key: array for key, array in arrays.items() if not key.endswith("scale")}, path)
    with pytest.raises(DataError, match=r"scale is missing; expected \(\(2,\), 'float32'\)"):
        old.load_state(tmp_path)


def test_frames_that_run_away_stay_pixels_also_inside():
    model = FrameConvLSTM([8, 8, 1], units=4, readout=[])
    bias = model.dynamics.network.output_layer.last.bias
    bias.assign(np.full(bias.shape, 0.3))
    frames = np.random.default_rng(0).uniform(size=(1, 2, 8, 8, 1)).astype(np.float32)
    _, state = model.observe(frames)
    made, state = model.imagine(state, 100, seed=0)
    assert np.isfinite(made).all() and state["last"].max() == pytest.approx(1.5)
