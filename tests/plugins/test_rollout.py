"""The compiled rollout against a slow reference: a loop of observe on its own items."""

import numpy as np
import pytest
from keras import ops
from reach import confined, unconfined

from latentseq.arrays import Latents
from latentseq_plugins.dynamics.lstm import LSTM

CONDITIONS = {"action": 1, "sound": 2}
B, PRIMED, STEPS = 3, 5, 12


def wild(head, **options):
    """A model with random weights, large enough that every input counts, and with statistics."""
    model = LSTM([2], CONDITIONS, head=head, layers=2, units=6, **options)
    rng = np.random.default_rng(0)
    for weight in model.network.trainable_weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    model.network.offset.assign([5, -1])
    model.network.scale.assign([0.5, 3])
    return model


def primed(model):
    """The forecast and the state after random items, and what drives the future."""
    rng = np.random.default_rng(1)
    z = rng.normal([5, -1], [0.5, 3], (B, PRIMED, 2)).astype(np.float32)
    drive = {k: rng.normal(size=(B, PRIMED + STEPS, width)).astype(np.float32) for k, width in CONDITIONS.items()}
    past, future = ({k: v[:, part] for k, v in drive.items()} for part in (slice(PRIMED), slice(PRIMED, None)))
    return *model.observe(Latents(z), conditions=past), future


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("head", ["mse", "kl", "mixture"])
def test_imagine_at_temperature_zero_is_observe_on_its_own_items(head, residual):
    # One that predicts no differences would go to the edge of the range at once, and stay there.
    model = wild(head, residual=residual) if residual else unconfined(wild(head, residual=residual))
    forecast, state, future = primed(model)
    found, after = model.imagine(state, STEPS, seed=0, temperature=0.0, conditions=future)

    wanted = []
    for j in range(STEPS):
        item = confined(model.network, forecast.sample(1, seed=0, temperature=0.0)[:, 0, -1:], state["last"])
        wanted.append(item)
        now = {k: v[:, j : j + 1] for k, v in future.items()}
        forecast, state = model.observe(Latents(item), state, conditions=now)
    np.testing.assert_allclose(found, np.concatenate(wanted, 1), rtol=1e-4, atol=1e-4)
    assert np.abs(np.diff(found, axis=1)).mean() > 0.01  # It does move.
    assert after.keys() == state.keys()
    for key, array in state.items():
        np.testing.assert_allclose(after[key], array, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("temperature", [0.7, 1.0])
@pytest.mark.parametrize("head", ["kl", "mixture"])
def test_imagine_draws_with_the_noise_of_seed_and_step(head, temperature):
    model = wild(head)
    _, state, future = primed(model)
    found, _ = model.imagine(state, STEPS, seed=7, temperature=temperature, conditions=future)

    network, wanted = model.network, []
    for j in range(STEPS):
        noise = network.head.noise(np.random.default_rng([7, PRIMED + j]), (B,), temperature)
        item = network.head.draw(state["outputs"], state["base"], noise)
        item = ops.convert_to_numpy(item * network.scale + network.offset)[:, None]
        item = confined(network, item, state["last"])
        wanted.append(item)
        _, state = model.observe(Latents(item), state, conditions={k: v[:, j : j + 1] for k, v in future.items()})
    np.testing.assert_allclose(found, np.concatenate(wanted, 1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("head", ["kl", "mixture"])
def test_the_first_imagined_item_is_spread_as_the_forecast_says(head):
    model = unconfined(wild(head))
    forecast, state, future = primed(model)
    n = 40_000  # Random weights make components that are rare and far away.
    many = {k: np.repeat(v[:1], n, axis=0) for k, v in state.items()}
    drive = {k: np.repeat(v[:1, :1], n, axis=0) for k, v in future.items()}
    found = model.imagine(many, 1, seed=0, conditions=drive)[0][:, 0].astype(np.float64)
    error = found.std(0) / np.sqrt(n)
    assert (np.abs(found.mean(0) - forecast.mean[0, -1]) < 4 * error).all()
    drawn = forecast.sample(n, seed=1)[0, :, -1].astype(np.float64)
    np.testing.assert_allclose(found.std(0), drawn.std(0), rtol=0.1)


def test_a_step_that_the_state_holds_keys_the_noise():
    model = wild("mixture")
    _, state, future = primed(model)
    first, again = (model.imagine(state, STEPS, seed=3, conditions=future)[0] for _ in range(2))
    later = model.imagine({**state, "step": state["step"] + 1}, STEPS, seed=3, conditions=future)[0]
    assert first.tobytes() == again.tobytes()
    assert not np.allclose(first, later)


def test_states_count_steps():
    model = wild("mse")
    _, state, future = primed(model)
    assert state["step"].tolist() == [PRIMED] * B
    assert model.imagine(state, STEPS, seed=0, conditions=future)[1]["step"].tolist() == [PRIMED + STEPS] * B
