"""Predictions without a model, and densities around the last latent: by hand, and against SciPy."""

import numpy as np
import pytest
from scipy.stats import norm

from latentseq.evaluation.floors import FLOORS, bits_per_dimension, extrapolate, floors, persistence_log_prob


def test_the_floors_of_a_context():
    context = np.array([[0.2, 0.4, 0.9], [1.0, 0.0, 0.5]], np.float32).reshape(2, 3, 1, 1, 1)
    context = np.broadcast_to(context, (2, 3, 4, 5, 1))
    train_mean = np.linspace(0, 1, 20).reshape(4, 5, 1)
    found = floors(context, 6, train_mean)
    assert tuple(found) == FLOORS
    assert all(each.shape == (2, 6, 4, 5, 1) and each.dtype == np.float32 for each in found.values())
    for step in range(6):
        assert (found["black"][:, step] == 0).all()
        np.testing.assert_allclose(found["copy_last"][:, step, 0, 0, 0], [0.9, 0.5])
        np.testing.assert_allclose(found["mean_of_inputs"][:, step, 3, 1, 0], [0.5, 0.5])
        np.testing.assert_allclose(found["train_mean"][1, step], train_mean)
    assert "train_mean" not in floors(context, 6)


def test_straight_on_in_z():
    z = np.array([[9, 1, 3], [9, 0, -0.5]], np.float32)[..., None] * np.array([1, 10], np.float32)
    np.testing.assert_allclose(extrapolate(z, 3)[..., 0], [[5, 7, 9], [-1, -1.5, -2]])
    np.testing.assert_allclose(extrapolate(z, 3)[..., 1], [[50, 70, 90], [-10, -15, -20]])
    assert extrapolate(np.ones((2, 4, 3, 5, 6), np.float32), 7).shape == (2, 7, 3, 5, 6)


def test_persistence_is_a_normal_around_the_item_before():
    rng = np.random.default_rng(0)
    z, step = rng.normal(size=(3, 5, 2, 4)).astype(np.float32), rng.uniform(0.1, 2, (2, 4))
    wanted = norm.logpdf(z[:, 1:], z[:, :-1], step).sum((-1, -2))
    np.testing.assert_allclose(persistence_log_prob(z, step), wanted, rtol=1e-6)


def test_a_dimension_that_never_moved_is_not_certain():
    z = np.zeros((1, 2, 2))
    step = np.array([2.0, 0.0])
    least = 1e-3 * np.sqrt(2.0)
    assert persistence_log_prob(z, step)[0, 0] == pytest.approx(norm.logpdf(0, 0, 2) + norm.logpdf(0, 0, least))
    assert np.isfinite(persistence_log_prob(z, np.zeros(2))).all()


def test_bits_per_dimension():
    # A density of 1/8 in two dimensions is 3 bits, 1.5 a dimension.
    assert bits_per_dimension(np.log([[1 / 8, 4.0]]), (2, 1)).tolist() == [[pytest.approx(1.5), pytest.approx(-1)]]
