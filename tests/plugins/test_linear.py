"""Linear autoregression: the promises of dynamics, and motion whose law is known."""

import numpy as np
import pytest
from rows import Rows
from scipy.stats import multivariate_normal

from latentseq.arrays import Latents, Source
from latentseq.errors import UsageError
from latentseq.networks.autoregression import Autoregression, Regression, fit_autoregression
from latentseq.testing import DynamicsPromises
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.linear import Linear


class TestLinear(DynamicsPromises):
    def make(self):
        return Linear([3])


class TestLinearWithAStream(DynamicsPromises):
    def make(self):
        return Linear([3], conditions={"action": 2})


class TestLinearOnMaps(DynamicsPromises):
    def make(self):
        return Linear([4, 3, 2])


def rotating(n, t, seed=0, angle=0.3, noise=0.02):
    """(n, t, 2) points that turn around (5, -2), with normal noise in every step."""
    rng = np.random.default_rng(seed)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    z = [rng.normal(size=(n, 2))]
    for _ in range(t - 1):
        z.append(z[-1] @ turn + noise * rng.normal(size=(n, 2)))
    return (np.stack(z, axis=1) + np.array([5, -2])).astype(np.float32)


def source_of(train, validation, **streams):
    held = {key: rows[: len(validation)] for key, rows in streams.items()}
    return Source(Rows(mean=train, **streams), Rows(mean=validation, **held))


def fitted(train, validation, **streams):
    model = Linear(list(train.shape[2:]), {key: rows.shape[-1] for key, rows in streams.items()})
    return model, model.fit(source_of(train, validation, **streams), RunTrainer(epochs=1))


def test_it_finds_a_rotation_its_noise_and_its_likelihood():
    train, held = rotating(300, 20), rotating(100, 20, seed=1)
    model, history = fitted(train, held)
    assert history.best["val_loss"] < 0.02 * history.best["val_last_latent"]
    forecast, state = model.observe(Latents(held[:, :10]))
    turn = np.array([[np.cos(0.3), np.sin(0.3)], [-np.sin(0.3), np.cos(0.3)]])
    wanted = (held[:, 1:10] - [5, -2]) @ turn + [5, -2]
    np.testing.assert_allclose(forecast.mean[:, 1:], wanted, atol=0.02)
    density = multivariate_normal(cov=0.02**2 * np.eye(2)).logpdf(held[:, 2:11] - wanted)
    np.testing.assert_allclose(forecast.log_prob(held[:, 1:11])[:, 1:].mean(), density.mean(), atol=0.05)
    rolled, _ = model.imagine(state, 5, seed=0, temperature=0.0)
    for _ in range(4):
        wanted = (wanted - [5, -2]) @ turn + [5, -2]
    np.testing.assert_allclose(rolled[:, -1], wanted[:, -1], atol=0.1)


def test_a_thousand_free_steps_keep_the_variance_of_the_data():
    model, _ = fitted(rotating(300, 20), rotating(100, 20, seed=1))
    _, state = model.observe(Latents(rotating(50, 5, seed=2)))
    z, _ = model.imagine(state, 1000, seed=0)
    assert np.isfinite(z).all()
    assert 0.5 < z[:, -100:].var(axis=(0, 1)).mean() / 1.0 < 3


def test_a_stream_drives_it():
    rng = np.random.default_rng(0)
    push = rng.normal(size=(200, 12, 1)).astype(np.float32)
    z = np.concatenate([np.zeros((200, 1, 1)), np.cumsum(push, axis=1)[:, :-1]], axis=1).astype(np.float32)
    model, _ = fitted(z, z[:50], push=push)
    _, state = model.observe(Latents(z[:, :4]), conditions={"push": push[:, :4]})
    rolled, _ = model.imagine(state, 8, seed=0, temperature=0.0, conditions={"push": push[:, 4:]})
    np.testing.assert_allclose(rolled, z[:, 4:], atol=0.05)


def test_on_a_map_it_moves_what_moves():
    rng = np.random.default_rng(3)
    wide = np.cumsum(rng.normal(size=(60, 8, 30)), axis=2)  # Smooth along the direction of motion.
    frames = np.stack([wide[:, :, i : i + 8] for i in range(15)], axis=1)[..., None].astype(np.float32)
    model, history = fitted(frames[:50], frames[50:])
    assert history.best["val_loss"] < 0.8 * history.best["val_last_latent"]
    forecast, _ = model.observe(Latents(frames[50:, :10]))
    inside = (slice(None), slice(1, None), slice(None), slice(0, 7))
    error = np.square(forecast.mean - frames[50:, 1:11])[inside].mean()
    assert error < 0.05 * np.square(np.diff(frames[50:, :11], axis=1))[:, 1:].mean()


@pytest.mark.parametrize("shape", [(3,), (3, 4, 2)])
def test_the_spectral_radius_is_that_of_the_dense_matrix_and_is_held_at_one(shape):
    rng = np.random.default_rng(0)
    d = shape[-1]
    kernel = rng.normal(scale=0.25, size=(*(3, 3)[: len(shape) - 1], 2 * d, d))
    model = Autoregression(kernel, np.zeros(d))
    for each, wanted in ((model, None), (model.stabilised(shape), 1.0)):
        size = int(np.prod(shape))
        columns = []
        for unit in np.eye(2 * size):  # The matrix of a step, column by column.
            z, before = unit[:size].reshape(1, *shape), unit[size:].reshape(1, *shape)
            after = each.step(z, before, z[..., :0])
            columns.append(np.concatenate([after.ravel(), z.ravel()]))
        radius = np.abs(np.linalg.eigvals(np.array(columns).T)).max()
        assert each.spectral_radius(shape) == pytest.approx(radius, rel=5e-3)
        assert wanted is None or radius == pytest.approx(wanted, rel=5e-3)
    assert model.spectral_radius(shape) > 1.1


def test_a_stable_model_is_left_as_it_is():
    model = Autoregression(np.concatenate([-0.5 * np.eye(2), np.zeros((2, 2))]), np.ones(2))
    assert model.spectral_radius((2,)) == pytest.approx(0.5)
    assert model.stabilised((2,)) is model


def test_regression_is_that_of_scikit_learn():
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)) * [1, 2, 3, 4] + 7, rng.normal(size=(50, 2))
    regression = Regression(4, 2)
    regression.add(x[:20], y[:20])
    regression.add(x[20:], y[20:])
    ((weights, bias),) = regression.solve(0.1)
    other = Ridge(alpha=0.1 * x.var(axis=0).mean() * 50).fit(x, y)
    np.testing.assert_allclose(weights, other.coef_.T, rtol=1e-6)
    np.testing.assert_allclose(bias, other.intercept_, rtol=1e-6)


def test_the_unit_of_a_condition_does_not_count():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    y = x @ rng.normal(size=(3, 2))
    answers = []
    for unit in (1.0, 1000.0, 1e-3):
        regression = Regression(3, 2)
        regression.add(x * [1, 1, unit], y)
        ((weights, _),) = regression.solve(0.01, rescaled=np.array([False, False, True]))
        answers.append(weights * np.array([1, 1, unit])[:, None])
    np.testing.assert_allclose(answers[1], answers[0], rtol=1e-6)
    np.testing.assert_allclose(answers[2], answers[0], rtol=1e-6)


def test_white_noise_is_no_motion_and_windows_of_two_items_are_not_enough():
    rng = np.random.default_rng(0)
    still = np.repeat(rng.normal(size=(60, 1, 2)), 12, axis=1).astype(np.float32)
    fit = fit_autoregression(source_of(still, still[:20]), np.zeros(2), np.ones(2), lambda t: t - 5)
    assert fit.last_error == 0
    pairs = source_of(still[:, :2], still[:20, :2])
    assert fit_autoregression(pairs, np.zeros(2), np.ones(2), lambda t: 1) is None
    model, _ = fitted(still[:, :2], still[:20, :2])
    _, state = model.observe(Latents(still[:, :2]))
    np.testing.assert_allclose(model.imagine(state, 3, seed=0, temperature=0.0)[0][:, -1], still[:, 0], atol=1e-5)


@pytest.mark.filterwarnings("error")
def test_latents_that_never_change_are_continued_as_they_are():
    z = np.full((20, 10, 3), 2.0, np.float32)
    model, _ = fitted(z, z[:5])
    _, state = model.observe(Latents(z[:2]))
    np.testing.assert_allclose(model.imagine(state, 50, seed=0)[0], 2.0, atol=0.01)


def test_latents_of_another_rank_are_refused():
    with pytest.raises(UsageError, match=r"linear: latent_shape is \[3, 4\]; expected \(d,\) or \(h, w, d\)."):
        Linear([3, 4])
