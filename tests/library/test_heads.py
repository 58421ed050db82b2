"""Heads: densities, losses and draws against SciPy and closed forms."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from keras import backend, ops
from scipy.special import logsumexp, softmax
from scipy.stats import laplace, multivariate_normal, norm

from latentseq.arrays import Latents
from latentseq.errors import PluginError, UsageError
from latentseq.networks import heads
from latentseq.networks.heads import build_head, head_names, load_head
from latentseq.networks.heads.head import MIN_SCALE, to_scale
from latentseq.networks.heads.kl import KL
from latentseq.networks.heads.mixture import Mixture
from latentseq.networks.heads.mse import MSE
from latentseq_plugins.dynamics.lstm import LSTM

DRAWS = 20_000


def raw(scale):
    """What a network has to say for a scale: the inverse of MIN_SCALE + softplus."""
    return np.log(np.expm1(np.asarray(scale, np.float64) - MIN_SCALE))


def mixture_outputs(logits, loc, scale):
    """(..., k), (..., k, d) twice -> (..., k + 2kd)."""
    both = np.concatenate([loc, raw(scale)], axis=-1)
    return np.concatenate([logits, both.reshape(*both.shape[:-2], -1)], axis=-1).astype(np.float32)


def normal_outputs(loc, scale):
    return np.concatenate([loc, raw(scale)], axis=-1).astype(np.float32)


def mixture_log_likelihood(z, logits, loc, scale):
    """Of rows z (n, d) under rows of mixtures, by SciPy in float64."""
    weights = logits - logsumexp(logits, axis=-1, keepdims=True)
    return logsumexp(weights + norm.logpdf(z[:, None], loc, scale).sum(-1), axis=-1)


def random_mixtures(n=40, k=4, d=3):
    rng = np.random.default_rng(0)
    logits, loc = rng.normal(scale=2, size=(n, k)), rng.normal(size=(n, k, d))
    return logits, loc, rng.uniform(0.05, 2, (n, k, d)), rng.normal(size=(n, d))


def as_numpy(x):
    return np.asarray(ops.convert_to_numpy(x))


def zeros(*shape):
    return np.zeros(shape, np.float32)


def test_the_mixtures_log_likelihood_is_the_one_computed_by_hand():
    # 0.25 N(0; 0, 1) + 0.75 N(0; 2, 0.5), both squared for two equal dimensions.
    first, second = 1 / np.sqrt(2 * np.pi), np.exp(-8) / (0.5 * np.sqrt(2 * np.pi))
    outputs = mixture_outputs(np.log([1.0, 3.0]), np.array([[0.0, 0], [2, 2]]), np.array([[1.0, 1], [0.5, 0.5]]))
    found = Mixture(2, 2).log_prob(outputs, zeros(2), zeros(2), None)
    assert float(found) == pytest.approx(np.log(0.25 * first**2 + 0.75 * second**2), abs=1e-5)


def test_the_mixtures_log_likelihood_equals_scipys():
    logits, loc, scale, z = random_mixtures()
    found = Mixture(3, 4).log_prob(mixture_outputs(logits, loc, scale), zeros(40, 3), z, None)
    np.testing.assert_allclose(as_numpy(found), mixture_log_likelihood(z, logits, loc, scale), rtol=1e-5, atol=1e-5)


def test_the_mixture_is_joint_over_the_latent():
    loc = np.array([[-3.0, -3], [3, 3]])
    outputs = mixture_outputs(np.zeros(2), loc, np.ones((2, 2)))
    z = np.array([[3.0, 3], [3, -3]], np.float32)  # Each dimension alone is as probable in both.
    found = as_numpy(Mixture(2, 2).log_prob(outputs, zeros(2), z, None))
    wanted = [logsumexp([multivariate_normal(m, np.eye(2)).logpdf(row) for m in loc]) + np.log(0.5) for row in z]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert found[0] - found[1] > 15


def test_the_mixtures_loss_is_the_negative_log_likelihood_after_the_last_item():
    logits, loc, scale, z = random_mixtures()
    base = np.random.default_rng(1).normal(size=z.shape).astype(np.float32)
    found = Mixture(3, 4).loss(mixture_outputs(logits, loc, scale), base, z.astype(np.float32))
    wanted = -mixture_log_likelihood(z, logits, loc + base[:, None], scale)
    np.testing.assert_allclose(as_numpy(found), wanted, rtol=1e-5, atol=1e-5)


def test_a_mixture_of_one_is_a_gaussian():
    _, loc, scale, z = random_mixtures(k=1)
    found = Mixture(3, 1).log_prob(mixture_outputs(np.full((40, 1), 7.0), loc, scale), zeros(40, 3), z, None)
    gaussian = [
        multivariate_normal(m[0], np.diag(s[0] ** 2)).logpdf(row) for m, s, row in zip(loc, scale, z, strict=True)
    ]
    np.testing.assert_allclose(as_numpy(found), gaussian, rtol=1e-5, atol=1e-5)
    kl = KL(3).log_prob(normal_outputs(loc[:, 0], scale[:, 0]), zeros(40, 3), z, None)
    np.testing.assert_allclose(as_numpy(kl), gaussian, rtol=1e-5, atol=1e-5)


def test_equal_components_are_one():
    logits, loc, scale, z = random_mixtures()
    same = mixture_outputs(logits, np.repeat(loc[:, :1], 4, 1), np.repeat(scale[:, :1], 4, 1))
    found = Mixture(3, 4).log_prob(same, zeros(40, 3), z, None)
    np.testing.assert_allclose(as_numpy(found), norm.logpdf(z, loc[:, 0], scale[:, 0]).sum(-1), rtol=1e-5, atol=1e-5)


def test_the_squared_error_heads_density_is_a_normal_as_wide_as_the_residual():
    rng = np.random.default_rng(2)
    outputs, base, z = rng.normal(size=(3, 5, 2)).astype(np.float32)
    spread = np.array([0.3, 2.0], np.float32)
    found = MSE(2).log_prob(outputs, base, z, spread)
    np.testing.assert_allclose(as_numpy(found), norm.logpdf(z, base + outputs, spread).sum(-1), rtol=1e-5, atol=1e-5)


def test_the_squared_error_is_summed_over_the_latent():
    found = MSE(3).loss(np.array([[1.0, 2, 3]], np.float32), np.ones((1, 3), np.float32), zeros(1, 3))
    assert as_numpy(found).tolist() == [4 + 9 + 16]


def test_the_kl_loss_is_the_closed_form():
    rng = np.random.default_rng(3)
    loc, mean, base = rng.normal(size=(3, 20, 4))
    log_var, scale = rng.normal(size=(20, 4)), rng.uniform(0.05, 2, (20, 4))
    arrays = (a.astype(np.float32) for a in (base, mean, log_var))
    found = KL(4).loss(normal_outputs(loc, scale), *arrays)
    wanted = np.log(scale) - log_var / 2 + (np.exp(log_var) + (mean - base - loc) ** 2) / (2 * scale**2) - 0.5
    np.testing.assert_allclose(as_numpy(found), wanted.sum(-1), rtol=1e-5)


def test_the_kl_loss_is_zero_where_the_forecast_is_the_posterior():
    loc, scale = np.array([[0.5, -1.0]]), np.array([[0.2, 1.5]])
    found = KL(2).loss(normal_outputs(loc, scale), zeros(1, 2), loc.astype("f"), (2 * np.log(scale)).astype("f"))
    assert float(found[0]) == pytest.approx(0, abs=1e-5)


def test_no_scale_falls_below_its_floor():
    np.testing.assert_allclose(as_numpy(to_scale(np.array([-80, -1e4], np.float32))), MIN_SCALE, rtol=1e-6)


@pytest.mark.parametrize("raw_scale", [-1e4, 1e4])
@pytest.mark.parametrize("logit", [0, 1e4, -1e4])
@pytest.mark.parametrize("far", [0, 1e3])
def test_extreme_outputs_stay_finite(raw_scale, logit, far):
    outputs = np.array([logit, 0, *[far, far, raw_scale, raw_scale] * 2], np.float32)
    head = Mixture(2, 2)
    assert np.isfinite(float(head.log_prob(outputs, zeros(2), zeros(2), None)))
    assert np.isfinite(as_numpy(head.mean(outputs, zeros(2)))).all()
    assert np.isfinite(float(KL(2).loss(outputs[2:6], zeros(2), zeros(2), zeros(2))))


@pytest.mark.skipif(backend.backend() != "tensorflow", reason="takes gradients with TensorFlow")
@pytest.mark.parametrize("logit", [1e4, -1e4])
def test_gradients_of_extreme_outputs_are_finite(logit):
    import tensorflow as tf

    outputs = tf.constant([logit, 0, *[30.0, -30, -100, 100] * 2])
    for head, part in ((Mixture(2, 2), slice(None)), (KL(2), slice(2, 6))):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            loss = head.loss(outputs[part], zeros(2), zeros(2), zeros(2))
        assert np.isfinite(tape.gradient(loss, outputs).numpy()).all()


@pytest.mark.parametrize("head", [MSE(2), KL(2), Mixture(2, 3)], ids=lambda head: head.name)
def test_at_temperature_zero_there_is_no_noise(head):
    noise = head.noise(np.random.default_rng(0), (4, 5), 0.0)
    assert noise.shape == (4, 5, head.noise_width)
    assert noise.dtype == np.float32
    assert not noise.any()


def test_without_noise_a_draw_is_the_mean_of_the_most_probable_component():
    logits, loc, scale, base = random_mixtures()
    head = Mixture(3, 4)
    found = head.draw(mixture_outputs(logits, loc, scale), base.astype("f"), zeros(40, head.noise_width))
    wanted = loc[np.arange(40), logits.argmax(-1)] + base
    np.testing.assert_allclose(as_numpy(found), wanted, rtol=1e-5, atol=1e-5)
    found = KL(3).draw(normal_outputs(loc[:, 0], scale[:, 0]), base.astype("f"), zeros(40, 3))
    np.testing.assert_allclose(as_numpy(found), loc[:, 0] + base, rtol=1e-5, atol=1e-5)


LOGITS = np.array([1.0, 0.0, -1.0])
LOC = np.array([[-20.0, 4], [0, 0], [24, 3]])
SCALE = np.array([[0.5, 0.1], [1, 2], [0.2, 0.4]])


def drawn(head, outputs, temperature):
    """(DRAWS, d) of one density."""
    noise = head.noise(np.random.default_rng(4), (DRAWS,), temperature)
    return as_numpy(head.draw(outputs[None], zeros(1, head.d), noise)).astype(np.float64)


def assert_within_three_standard_errors(sample, mean, std):
    error = sample.std(0) / np.sqrt(DRAWS)
    assert (np.abs(sample.mean(0) - mean) < 3 * error).all()
    squares = (sample - mean) ** 2
    assert (np.abs(squares.mean(0) - std**2) < 3 * squares.std(0) / np.sqrt(DRAWS)).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_of_a_mixture_have_the_mean_and_the_spread_of_its_distribution(temperature):
    head, outputs = Mixture(2, 3), mixture_outputs(LOGITS, LOC, SCALE)
    weights = softmax(LOGITS / temperature)
    mean = weights @ LOC
    std = np.sqrt(weights @ (temperature * SCALE**2 + LOC**2) - mean**2)
    if temperature == 1:
        np.testing.assert_allclose(as_numpy(head.mean(outputs, zeros(2))), mean, rtol=1e-4)
    assert_within_three_standard_errors(drawn(head, outputs, temperature), mean, std)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_choose_a_component_as_often_as_it_is_probable(temperature):
    sample = drawn(Mixture(2, 3), mixture_outputs(LOGITS, LOC, SCALE), temperature)
    chosen = np.abs(sample[:, None, :1] - LOC[:, :1])[..., 0].argmin(-1)
    share, wanted = np.bincount(chosen, minlength=3) / DRAWS, softmax(LOGITS / temperature)
    assert (np.abs(share - wanted) < 3 * np.sqrt(wanted * (1 - wanted) / DRAWS)).all()
    for i in range(3):
        part = sample[chosen == i]
        np.testing.assert_allclose(part.std(0), SCALE[i] * temperature**0.5, rtol=3 * np.sqrt(1 / (2 * len(part))))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_of_the_kl_head_have_its_scale_times_the_root_of_the_temperature(temperature):
    head, outputs = KL(2), normal_outputs(LOC[0], SCALE[0])
    assert_within_three_standard_errors(drawn(head, outputs, temperature), LOC[0], SCALE[0] * temperature**0.5)


def test_the_squared_error_head_draws_its_mean_at_any_temperature():
    outputs = np.array([1.0, -2], np.float32)
    assert (drawn(MSE(2), outputs, 2.0) == outputs).all()


@pytest.mark.parametrize("head", [MSE(3), KL(3), Mixture(3, 2)], ids=lambda head: head.name)
def test_a_map_is_one_density_a_position(head):
    rng, shape = np.random.default_rng(5), (2, 3, 4, 5)
    outputs = rng.normal(size=(*shape, head.width)).astype(np.float32)
    base, mean, log_var = rng.normal(size=(3, *shape, 3)).astype(np.float32)
    noise, spread = head.noise(rng, shape, 1.0), np.ones(3, np.float32)
    loss = as_numpy(head.loss(outputs, base, mean, log_var))
    log_prob = as_numpy(head.log_prob(outputs, base, mean, spread))
    draw = as_numpy(head.draw(outputs, base, noise))
    assert (loss.shape, log_prob.shape, draw.shape) == (shape, shape, (*shape, 3))
    for at in np.ndindex(shape):
        here = outputs[at], base[at]
        np.testing.assert_allclose(loss[at], head.loss(*here, mean[at], log_var[at]), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(draw[at], head.draw(*here, noise[at]), rtol=1e-4, atol=1e-5)
        if at[:3] == (0, 0, 0):  # A distribution costs 5 ms to build.
            one = head.log_prob(*here, mean[at], spread)
            np.testing.assert_allclose(log_prob[at], one, rtol=1e-4, atol=1e-5)


def test_a_head_is_a_file_of_its_name():
    assert head_names() == ["kl", "mixture", "mse"]
    assert [load_head(name) for name in head_names()] == [KL, Mixture, MSE]
    assert [load_head(name)(3).width for name in head_names()] == [6, 5 * 7, 3]


LAPLACE = Path(__file__).parents[2] / "docs" / "examples" / "laplace-head" / "laplace.py"


def test_a_new_head_is_one_file(tmp_path, monkeypatch):
    shutil.copy(LAPLACE, tmp_path)
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(tmp_path)])
    assert head_names() == ["kl", "laplace", "mixture", "mse"]
    assert load_head("laplace").name == "laplace"
    head = build_head("laplace", 2, {})
    rng = np.random.default_rng(6)
    location, base, z = rng.normal(size=(3, 5, 2)).astype(np.float32)
    scale = rng.uniform(0.05, 2, (5, 2))
    density = head.log_prob(normal_outputs(location, scale), base, z, None)
    wanted = laplace.logpdf(z, base + location, scale).sum(-1)
    np.testing.assert_allclose(as_numpy(density), wanted, rtol=1e-4, atol=1e-5)
    assert message(load_head, "laplac") == (
        "No head is called 'laplac'. Did you mean 'laplace'? Heads: kl, laplace, mixture and mse."
    )
    model = LSTM([2], head="laplace", layers=1, units=4, readout=[])
    _, state = model.observe(Latents(zeros(1, 3, 2)))
    assert model.imagine(state, 4, seed=0)[0].shape == (1, 4, 2)
    sys.modules.pop("latentseq.networks.heads.laplace")


def test_a_file_without_its_head_is_said(tmp_path, monkeypatch):
    (tmp_path / "wrong_name.py").write_text(LAPLACE.read_text())
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(tmp_path)])
    with pytest.raises(PluginError) as error:
        load_head("wrong-name")
    assert str(error.value) == (
        f"{tmp_path / 'wrong_name.py'} holds no class of the head 'wrong-name'; expected a class derived from Head "
        "with name = 'wrong-name'. Correct the name, or remove the file."
    )
    sys.modules.pop("latentseq.networks.heads.wrong_name")


SCALED = """
from typing import ClassVar

from keras import layers, ops

from latentseq.networks.heads.mse import MSE


class Scaled(MSE):
    name: ClassVar[str] = "scaled"

    def __init__(self, d: int):
        super().__init__(d)
        self.weigh = layers.Dense(1, name="weigh")

    @property
    def layers(self):
        return [self.weigh]

    def loss(self, outputs, base, mean, log_var=None):
        return super().loss(outputs, base, mean) + ops.square(self.weigh(outputs))[..., 0]
"""


def test_layers_of_a_head_are_built_and_stored(tmp_path, monkeypatch):
    (tmp_path / "scaled.py").write_text(SCALED)
    monkeypatch.setattr(heads, "__path__", [*heads.__path__, str(tmp_path)])
    model = LSTM([2], head="scaled", layers=1, units=4, readout=[])
    assert [w.path for w in model.network.weights if "weigh" in w.path]
    model.save_state(tmp_path)
    LSTM([2], head="scaled", layers=1, units=4, readout=[]).load_state(tmp_path)
    sys.modules.pop("latentseq.networks.heads.scaled")


def message(call, *args):
    with pytest.raises(UsageError) as error:
        call(*args)
    return str(error.value)


def test_what_is_no_head_and_no_option_of_one_is_said():
    assert message(load_head, "mixtur") == (
        "No head is called 'mixtur'. Did you mean 'mixture'? Heads: kl, mixture and mse."
    )
    assert message(load_head, "huber") == "No head is called 'huber'. Heads: kl, mixture and mse."
    assert message(Mixture, 3, 0) == "The head mixture has 0 components; expected 1 or more."
    assert message(KL.from_config, {"d": 2, "components": 3}) == ("kl has no option 'components'. Its options: d.")
    assert message(build_head, "kl", 2, {"components": 3}) == (
        "The head 'kl' has no option 'components'. Its options: none."
    )
    assert (
        message(build_head, "mixture", 2, {"d": 3})
        == "The head 'mixture' has no option 'd'. Its options: components."
    )


@pytest.mark.parametrize("name", ["kl", "mixture"])
def test_more_rows_leave_the_noise_of_the_first_as_it_is(name):
    head = load_head(name)(3)
    few, many = (head.noise(np.random.default_rng(5), (b,), 0.7) for b in (2, 6))
    np.testing.assert_array_equal(many[:2], few)
