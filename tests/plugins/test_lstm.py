"""The LSTM: the promises of dynamics, what it learns, and its closed loop against feeding by hand."""

import numpy as np
import pytest
from keras import ops
from reach import confined, unconfined
from rows import Rows
from scipy.stats import norm

from latentseq import registry
from latentseq.arrays import Latents, Source
from latentseq.errors import UsageError
from latentseq.networks.forecast import HeadForecast
from latentseq.networks.statistics import measure_statistics
from latentseq.testing import DynamicsPromises
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.lstm import LSTM


@pytest.mark.jax
class TestMixture(DynamicsPromises):
    far = 1000

    def make(self):
        return LSTM([3], layers=2, units=8, readout=[8, 8], head_options={"components": 3})


@pytest.mark.slow
class TestSquaredErrorWithoutResidual(DynamicsPromises):
    steps = 60

    def make(self):
        return LSTM([3], layers=1, units=16, readout=[], head="mse", residual=False)


@pytest.mark.jax
class TestKLInClosedLoopWithConditions(DynamicsPromises):
    far = 500

    def make(self):
        return LSTM([2], {"sound": 2, "action": 1}, layers=1, units=8, readout=[6], head="kl", free_steps=3)


def sines(seed, n=200, length=24):
    """Latents (n, length, 2) on ellipses off the origin, a phase a row."""
    turn = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)[:, None] + 0.6 * np.arange(length)
    return np.stack([3 * np.sin(turn), 10 + np.cos(turn)], -1).astype(np.float32)


def rollout(model, z, known):
    """What it imagines of the rest of z, at temperature 0."""
    _, state = model.observe(Latents(z[:, :known]))
    return model.imagine(state, z.shape[1] - known, seed=0, temperature=0.0)[0]


@pytest.mark.parametrize("free_steps", [0, 10])
@pytest.mark.slow
def test_it_learns_sines(free_steps):
    model = LSTM([2], layers=1, units=16, head="mse", free_steps=free_steps)
    source = Source(Rows(mean=sines(0)), Rows(mean=sines(1, n=20)))
    model.fit(source, RunTrainer(steps=250, learning_rate=1e-2))
    z = sines(2, n=30)
    error = np.square(rollout(model, z, 14) - z[:, 14:]).sum(-1).mean(0)
    persistence = np.square(z[:, 13:14] - z[:, 14:]).sum(-1).mean(0)
    assert (error < 0.2 * persistence).all()


CONDITIONS = {"action": 1, "sound": 2}


def wild(seed=0, **options):
    """A model with random weights, large enough that every input counts, and with statistics."""
    options = {"head": "mse", "layers": 2, "units": 6, "readout": [5], "free_steps": 0, **options}
    model, rng = LSTM([2], CONDITIONS, **options), np.random.default_rng(seed)
    for weight in model.network.trainable_weights:
        weight.assign(0.5 * rng.normal(size=weight.shape))
    model.network.offset.assign([5, -1])
    model.network.scale.assign([0.5, 3])
    return model


def windows(b=4, t=9, seed=1):
    rng = np.random.default_rng(seed)
    arrays = {"mean": rng.normal([5, -1], [0.5, 3], (b, t, 2)), "log_var": rng.normal(size=(b, t, 2))}
    arrays |= {name: rng.normal(size=(b, t, width)) for name, width in CONDITIONS.items()}
    return {k: v.astype(np.float32) for k, v in arrays.items()}


def forecast_of(model, made):
    """The densities that the loss is taken of, as a forecast."""
    network = model.network
    outputs, base = (ops.convert_to_numpy(made[k]) for k in ("outputs", "base"))
    statistics = {k: ops.convert_to_numpy(getattr(network, k)) for k in ("offset", "scale", "spread")}
    return HeadForecast(network.head, outputs, base, **statistics)


@pytest.mark.parametrize("residual", [True, False])
@pytest.mark.parametrize("head", ["mse", "kl", "mixture"])
def test_training_on_true_items_sees_what_observe_answers(head, residual):
    model, batch = wild(head=head, residual=residual), windows()
    found = forecast_of(model, model.network(batch))
    drive = {name: batch[name][:, :-1] for name in CONDITIONS}
    wanted, _ = model.observe(Latents(batch["mean"][:, :-1]), conditions=drive)
    np.testing.assert_allclose(found.mean, wanted.mean, rtol=1e-4, atol=1e-4)
    truth = batch["mean"][:, 1:]
    np.testing.assert_allclose(found.log_prob(truth), wanted.log_prob(truth), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("free_steps", [1, 2, 5, 30])
@pytest.mark.parametrize("head", ["mse", "kl", "mixture"])
def test_in_closed_loop_the_last_items_are_forecast_from_what_it_imagined(head, free_steps):
    model, batch = wild(head=head, free_steps=free_steps), windows()
    length = batch["mean"].shape[1]
    found = forecast_of(model, model.network(batch))
    assert found.mean.shape == batch["mean"][:, 1:].shape

    # By hand: one item at a time, the true one while it is known, then the last forecast's most probable one.
    known, state, item, means, likelihoods = length - min(free_steps, length // 2), None, None, [], []
    for t in range(length - 1):
        item = batch["mean"][:, t : t + 1] if t < known else item
        drive = {name: batch[name][:, t : t + 1] for name in CONDITIONS}
        forecast, state = model.observe(Latents(item), state, conditions=drive)
        item = confined(model.network, forecast.sample(1, seed=0, temperature=0.0)[:, 0], state["last"])
        means.append(forecast.mean)
        likelihoods.append(forecast.log_prob(batch["mean"][:, t + 1 : t + 2]))
    np.testing.assert_allclose(found.mean, np.concatenate(means, 1), rtol=1e-4, atol=1e-4)
    log_prob = found.log_prob(batch["mean"][:, 1:])
    np.testing.assert_allclose(log_prob, np.concatenate(likelihoods, 1), rtol=1e-3, atol=1e-3)


def test_free_items_do_not_depend_on_the_true_ones_they_stand_for():
    model, batch = wild(free_steps=4), windows()
    other = {**batch, "mean": batch["mean"].copy()}
    other["mean"][:, 5:] += 1
    first, second = (forecast_of(model, model.network(b)).mean for b in (batch, other))
    assert np.array_equal(first, second)


def test_the_last_item_and_condition_are_no_input():
    model, batch = wild(), windows()
    other = {k: v.copy() for k, v in batch.items()}
    for array in other.values():
        array[:, -1] += 1
    first, second = (forecast_of(model, model.network(b)).mean for b in (batch, other))
    np.testing.assert_allclose(first, second, rtol=1e-6)


def test_the_kl_loss_is_between_posterior_and_forecast_in_standardised_units():
    model, batch = wild(head="kl"), windows()
    made = model.network(batch)
    forecast = forecast_of(model, made)
    loc, far = forecast.mean.astype(np.float64), forecast.sample(4000, seed=0).std(1)
    mean, std = batch["mean"][:, 1:], np.exp(batch["log_var"][:, 1:] / 2)
    # KL does not depend on units, so here it is in the encoder's; the forecast's spread is measured.
    wanted = np.log(far / std) + (std**2 + (mean - loc) ** 2) / (2 * far**2) - 0.5
    found = float(model.network.loss_of(made))
    assert found == pytest.approx(wanted.sum(-1).mean(), rel=0.02)


def test_the_mixture_loss_is_the_likelihood_in_standardised_units():
    model, batch = wild(head="mixture"), windows()
    made = model.network(batch)
    nats = -forecast_of(model, made).log_prob(batch["mean"][:, 1:]).mean() - np.log(0.5 * 3)
    assert float(model.network.loss_of(made)) == pytest.approx(nats, rel=1e-4)


@pytest.mark.parametrize("free_steps", [0, 6])
def test_training_keeps_the_statistics_and_the_one_step_residual_of_validation(free_steps):
    rng = np.random.default_rng(0)
    train = sines(0)
    train[..., 1] = 10 + 1e-3 * rng.normal(size=train.shape[:2])  # Hardly moves, so it is not blown up.
    held = train[:20] + 0.1 * rng.normal(size=train[:20].shape).astype(np.float32)
    model = LSTM([2], layers=1, units=8, head="mse", free_steps=free_steps)
    model.fit(Source(Rows(mean=train), Rows(mean=held)), RunTrainer(steps=5))
    offset, scale, spread = (np.asarray(getattr(model.network, k)) for k in ("offset", "scale", "spread"))
    np.testing.assert_allclose(offset, train.mean((0, 1)), rtol=1e-4)
    assert scale[0] == pytest.approx(train[..., 0].std(), rel=1e-4)
    assert scale[1] == pytest.approx(0.1 * np.sqrt(np.square(train.std((0, 1))).mean()), rel=1e-3)
    forecast, _ = model.observe(Latents(held[:, :-1]))
    wanted = np.sqrt(np.square((forecast.mean - held[:, 1:]) / scale).mean((0, 1)))
    np.testing.assert_allclose(spread, wanted, rtol=1e-3)
    density = norm.logpdf(held[:, 1:], forecast.mean, spread * scale).sum(-1)
    np.testing.assert_allclose(forecast.log_prob(held[:, 1:]), density, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("sampled", [0, 1e-9])  # The second goes the way of sampling, and samples nothing.
def test_what_is_not_asked_for_changes_nothing(sampled):
    model, batch = wild(free_steps=4, scheduled_sampling=sampled), windows()
    whole, end = (model.network(batch, training=True, skip=skip) for skip in (0, 3))
    for name, array in whole.items():
        np.testing.assert_allclose(end[name], np.asarray(array)[:, 3:], rtol=1e-4, atol=1e-5)


def test_the_first_state_is_learned():
    model = LSTM([2], layers=1, units=8, head="mse", linear_start=False)
    model.fit(Source(Rows(mean=sines(0)), Rows(mean=sines(1, n=20))), RunTrainer(steps=5, keep="last"))
    assert all(np.abs(np.asarray(w)).min() > 0 for w in model.first_state)


def test_dropout_is_for_training_only():
    model, batch = wild(dropout=0.5), windows()
    quiet, again = (np.asarray(model.network(batch)["outputs"]) for _ in range(2))
    assert np.array_equal(quiet, again)
    assert not np.allclose(np.asarray(model.network(batch, training=True)["outputs"]), quiet)
    assert np.allclose(np.asarray(wild(dropout=0.0).network(batch)["outputs"]), quiet)


def test_all_items_sampled_is_a_closed_loop_from_the_first():
    model, batch = unconfined(wild(scheduled_sampling=0.999999)), windows(b=64)
    found = np.asarray(model.network(batch, training=True)["z"])
    _, state = model.observe(
        Latents(batch["mean"][:, :1]), conditions={name: batch[name][:, :1] for name in CONDITIONS}
    )
    later = {name: batch[name][:, 1:] for name in CONDITIONS}
    wanted, _ = model.imagine(state, 8, seed=0, temperature=0.0, conditions=later)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def test_scheduled_sampling_replaces_that_share_of_the_true_items():
    # Without residual and state, an output says which item went in: the true one, or the one forecast.
    model, batch = wild(scheduled_sampling=0.3, free_steps=2), windows(b=400)
    for weight in model.network.trainable_weights:
        if "recurrent_kernel" in weight.path or "first_state" in weight.path:
            weight.assign(np.zeros(weight.shape))
    quiet, mixed = (np.asarray(model.network(batch, training=on)["outputs"]) for on in (False, True))
    assert np.allclose(quiet[:, 0], mixed[:, 0])  # Nothing was forecast before the first item.
    again = np.asarray(model.network(batch, training=False)["outputs"])
    assert np.array_equal(quiet, again)
    replaced = ~np.isclose(quiet[:, 1], mixed[:, 1]).all(-1)
    assert abs(replaced.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 400)


def test_latent_noise_is_on_the_true_items_in_training_only():
    model, batch = wild(latent_noise=0.5), windows(b=400)
    quiet, noisy = (model.network(batch, training=on) for on in (False, True))
    assert np.array_equal(np.asarray(quiet["mean"]), np.asarray(noisy["mean"]))  # The targets are clean.
    noise = np.asarray(noisy["base"]) - np.asarray(quiet["base"])
    assert abs(noise.std() - 0.5) < 0.02
    again = model.network(batch)
    assert np.array_equal(np.asarray(quiet["outputs"]), np.asarray(again["outputs"]))


def message(call, *args, **kwargs):
    with pytest.raises(UsageError) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_maps_are_refused():
    assert message(LSTM, [8, 8, 16]) == (
        "lstm: the latents are maps of shape (8, 8, 16); expected vectors (d,). "
        "Train an encoder with a vector latent, or choose --dynamics conv-lstm."
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"layers": 0}, "layers is 0; expected 1 or more."),
        ({"units": 0}, "units is 0; expected 1 or more."),
        ({"dropout": 1.0}, "dropout is 1.0; expected a share from 0 to below 1."),
        ({"scheduled_sampling": -0.1}, "scheduled_sampling is -0.1; expected a share from 0 to below 1."),
        ({"latent_noise": -1.0}, "latent_noise is -1.0; expected 0 or more."),
        ({"free_steps": -1}, "free_steps is -1; expected 0 or more."),
    ],
)
def test_an_option_out_of_range_is_refused(options, found):
    assert message(LSTM, [2], **options) == f"lstm: {found}"


@pytest.mark.parametrize(
    ("head", "options"), [("mixture", {"components": 3}), ("mse", {}), (None, {"components": 3})]
)
def test_a_configuration_of_an_earlier_version_loads(head, options):
    old = {"latent_shape": [2], "layers": 1, "units": 4, "readout": [], "components": 3}
    model = LSTM.from_config(old if head is None else {**old, "head": head})
    assert (model.head, model.head_options) == (head or "mixture", options)
    resolved = registry.resolve("dynamics", "lstm", {"components": 3, "head_options": {"components": 4}})
    assert resolved["head_options"] == {"components": 4} and "components" not in resolved


def test_an_unknown_head_is_refused():
    assert message(LSTM, [2], head="ms") == (
        "No head is called 'ms'. Did you mean 'mse'? Heads: kl, mixture and mse."
    )


def test_the_kl_head_needs_an_encoder_with_a_posterior():
    model = LSTM([2], layers=1, units=4, head="kl")
    source = Source(Rows(mean=sines(0)), Rows(mean=sines(1)))
    assert message(model.fit, source, RunTrainer(steps=1)) == (
        "The head 'kl' needs the encoder's posterior, and this encoder gives a mean only. "
        "Heads that work with it: mixture and mse."
    )


def test_data_without_a_stream_that_conditions_ask_for_is_refused():
    model = LSTM([2], {"sound": 2}, layers=1, units=4, head="mse")
    source = Source(Rows(mean=sines(0)), Rows(mean=sines(1)))
    assert (
        message(model.fit, source, RunTrainer(steps=1)) == "The data has no stream sound, which conditions ask for."
    )


def test_wrong_conditions_are_refused():
    model = LSTM([2], {"sound": 2}, layers=1, units=4, head="mse")
    z, sound = np.zeros((1, 3, 2), np.float32), np.zeros((1, 3, 2), np.float32)
    advice = "Give each stream that it was trained with, one row for each item."
    assert message(model.observe, Latents(z)) == (
        f"lstm is driven by sound (1, 3, 2); it was given no stream. {advice}"
    )
    _, state = model.observe(Latents(z), conditions={"sound": sound})
    assert message(model.imagine, state, 2, seed=0, conditions={"sound": sound}) == (
        f"lstm is driven by sound (1, 2, 2); it was given sound (1, 3, 2). {advice}"
    )


def test_steps_and_temperature_out_of_range_are_refused():
    model = LSTM([2], layers=1, units=4, head="mse")
    _, state = model.observe(Latents(np.zeros((1, 3, 2), np.float32)))
    for option, value, expected in (
        ("steps", 0, "1 or more"),
        ("seed", -1, "a whole number of 0 or more"),
        ("temperature", -0.5, "a number from 0 to 100"),
        ("temperature", float("nan"), "a number from 0 to 100"),
    ):
        options = {"steps": 5, "seed": 0, "temperature": 1.0} | {option: value}
        assert message(model.imagine, state, **options) == f"{option} is {value}; expected {expected}."


@pytest.mark.parametrize("still", [0.0, 1e-9])
def test_the_posterior_of_a_film_without_motion_is_no_wider_than_a_unit(still):
    """Dimension 0 moves by more than its posterior; dimension 1 does not, and its posterior deviates by 0.5."""
    random = np.random.default_rng(0)
    mean = np.stack([random.normal(3, 2, (50, 8)), np.full((50, 8), 7) + still * random.normal(size=(50, 8))], -1)
    log_var = np.broadcast_to(np.log(np.float32([0.01, 0.25])), mean.shape)
    windows = Rows(mean=mean.astype(np.float32), log_var=log_var)
    _, scale, step = measure_statistics(windows, posterior=True)
    assert scale == pytest.approx([mean[..., 0].std(), 0.5], rel=1e-3)
    assert step[1] == pytest.approx(1, rel=1e-3)
    assert measure_statistics(windows).scale[1] < 0.2
