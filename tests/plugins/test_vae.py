"""The variational autoencoder: the promises of an encoder, its loss, and a posterior that does not collapse."""

import numpy as np
import pytest
from scipy.stats import norm

from latentseq.arrays import Source, Windows
from latentseq.data.windows import frame_source
from latentseq.errors import DataError, UsageError
from latentseq.testing import EncoderPromises
from latentseq.testing.generated import blobs
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.datasets.moving_digits import MovingDigits
from latentseq_plugins.encoders.vae import VAE
from latentseq_plugins.variational import MIN_SIGMA


class TestVAE(EncoderPromises):
    def make(self):
        return VAE([16, 16, 1], latent_dim=4, widths=[8, 16])


@pytest.mark.slow
class TestVAEOfMaps(EncoderPromises):
    def make(self):
        return VAE([16, 16, 1], latent="map", latent_dim=2, widths=[8, 16])


@pytest.mark.jax
@pytest.mark.slow
class TestVAEOfMapsOfAnOddSizeInColour(EncoderPromises):
    def make(self):
        return VAE([21, 27, 3], latent="map", latent_dim=2, widths=[4, 8, 8], free_bits=0.1)


@pytest.mark.slow
class TestVAEOfAnOddSizeInColour(EncoderPromises):
    def make(self):
        return VAE([21, 27, 3], latent_dim=3, widths=[4, 8, 8])


def as_numpy(x):
    return np.asarray(x, np.float64)


def elbo(x, decoded, mean, log_var, beta):
    """The negative evidence lower bound in nats, by SciPy, under the variance that fits the batch best."""
    sigma = max(np.sqrt(np.mean((x - decoded) ** 2)), MIN_SIGMA)
    nll = -norm.logpdf(x, decoded, sigma).sum(axis=(1, 2, 3))
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(-1)
    return np.mean(nll + beta * kl)


@pytest.mark.parametrize("error", [0.3, 1e-4], ids=["fitted variance", "variance at its floor"])
@pytest.mark.parametrize("beta", [0.0, 1.0, 4.0])
def test_the_loss_is_the_negative_evidence_lower_bound(beta, error):
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(5, 16, 16, 1)).astype(np.float32)
    made = {
        "target": x,
        "x": (x + error * rng.normal(size=x.shape)).astype(np.float32),
        "mean": rng.normal(size=(5, 4)).astype(np.float32),
        "log_var": rng.normal(size=(5, 4)).astype(np.float32),
    }
    network = VAE([16, 16, 1], latent_dim=4, widths=[8], beta=beta).network
    found = float(network.compute_loss(x={"x": x}, y_pred=made))
    wanted = elbo(*(as_numpy(a) for a in (x, made["x"], made["mean"], made["log_var"])), beta)
    assert found == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("free", [0.0, 0.3, 5.0])
@pytest.mark.parametrize("shape", [(4,), (2, 3, 4)], ids=["vector", "map"])
def test_free_bits_are_a_floor_of_each_dimension_over_the_batch(shape, free):
    """The third formula of section C.8 of arXiv 1606.04934, a map's channel being one subset of the latents."""
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(5, 16, 16, 1)).astype(np.float32)
    made = {"target": x, "x": (x + 0.2 * rng.normal(size=x.shape)).astype(np.float32)}
    spread = np.array([0.01, 0.3, 1, 2])  # From a dimension that says nothing to one that says much.
    made["mean"] = (spread * rng.normal(size=(5, *shape))).astype(np.float32)
    made["log_var"] = (0.5 * spread * rng.normal(size=(5, *shape))).astype(np.float32)
    network = VAE([16, 16, 1], latent_dim=4, widths=[8], beta=2.0, free_bits=free).network
    found = float(network.compute_loss(x={"x": x}, y_pred=made))
    mean, log_var = as_numpy(made["mean"]).reshape(5, -1, 4), as_numpy(made["log_var"]).reshape(5, -1, 4)
    kl = [0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)[..., j].sum(1).mean() for j in range(4)]
    sigma = np.sqrt(np.mean((x - as_numpy(made["x"])) ** 2))
    nll = -norm.logpdf(x, made["x"], sigma).sum() / 5
    assert found == pytest.approx(nll + 2.0 * sum(max(each, free) for each in kl), rel=1e-5)


def test_a_map_keeps_positions():
    vae = VAE([16, 24, 1], latent="map", latent_dim=3, widths=[4, 4, 4])
    assert vae.latent_shape == (2, 3, 3)
    assert VAE([64, 64, 3], latent="map", widths=[4, 4, 4]).latent_shape == (8, 8, 16)
    x = np.zeros((2, 16, 24, 1), np.float32)
    x[1, :6, :6] = 1
    changed = np.abs(np.diff(vae.encode(x).mean, axis=0)[0]).max(-1)
    assert changed[0, 0] > 1e-3
    assert changed[1, 2] == 0


def test_the_weights_of_a_vector_are_laid_out_as_they_always_were():
    vae = VAE([16, 16, 1], latent_dim=4, widths=[8, 16], linear_start=False)
    shapes = {f"{n}/{w.path}": tuple(w.shape) for n, network in vae.networks.items() for w in network.weights}
    assert shapes == {
        "encoder/conv_0/kernel": (4, 4, 1, 8),
        "encoder/conv_0/bias": (8,),
        "encoder/conv_1/kernel": (4, 4, 8, 16),
        "encoder/conv_1/bias": (16,),
        "encoder/norm/gamma": (256,),
        "encoder/norm/beta": (256,),
        "encoder/mean/kernel": (256, 4),
        "encoder/mean/bias": (4,),
        "encoder/log_var/kernel": (256, 4),
        "encoder/log_var/bias": (4,),
        "decoder/dense/kernel": (4, 256),
        "decoder/dense/bias": (256,),
        "decoder/conv_0/kernel": (4, 4, 8, 16),
        "decoder/conv_0/bias": (8,),
        "decoder/conv_1/kernel": (4, 4, 1, 8),
        "decoder/conv_1/bias": (1,),
    }


def test_in_training_frames_are_mirrored_and_shifted_and_rebuilt_as_such():
    x = blobs(np.arange(16), 1, (16, 16, 1))[:, 0]
    network = VAE([16, 16, 1], latent_dim=4, widths=[4], augment=True).network
    made = network({"x": x}, training=True)
    target = np.asarray(made["target"])
    assert target.shape == x.shape
    assert all(np.abs(a - b).max() > 0.05 for a, b in zip(target, x, strict=True))
    assert np.array_equal(network({"x": x})["target"], x)
    wanted = elbo(*(as_numpy(made[k]) for k in ("target", "x", "mean", "log_var")), 1.0)
    assert float(network.compute_loss(x={"x": x}, y_pred=made)) == pytest.approx(wanted, rel=1e-5)


def test_without_augmentation_frames_are_what_they_are():
    x = blobs(np.arange(4), 1, (16, 16, 1))[:, 0]
    network = VAE([16, 16, 1], latent_dim=4, widths=[4], augment=False).network
    assert np.array_equal(network({"x": x}, training=True)["target"], x)


def test_in_training_it_decodes_a_draw_of_the_posterior_and_else_the_mean():
    vae = VAE([16, 16, 1], latent_dim=4, widths=[4], augment=False)
    x = np.random.default_rng(0).uniform(size=(3, 16, 16, 1)).astype(np.float32)
    quiet, again = (np.asarray(vae.network({"x": x})["x"]) for _ in range(2))
    drawn, other = (np.asarray(vae.network({"x": x}, training=True)["x"]) for _ in range(2))
    assert np.array_equal(quiet, again)
    assert not np.allclose(drawn, other, atol=1e-5)
    decoded = vae.network.decoder(vae.encode(x).mean)
    np.testing.assert_allclose(quiet, decoded, atol=1e-5)


@pytest.fixture(scope="module")
def digits():
    """An encoder after 150 steps on moving digits, and validation frames."""
    dataset = MovingDigits(number=1, size=16, digit_size=10, speed=2.0, count=200, held_out=20)
    source = frame_source(dataset)
    vae = VAE([16, 16, 1], latent_dim=8, widths=[16, 32], augment=False)
    history = vae.fit(source, RunTrainer(steps=150, learning_rate=3e-3))
    train = source.train.take(np.arange(len(source.train)))["x"]
    return vae, history, train, source.validation.take(np.arange(len(source.validation)))["x"]


def test_the_posterior_does_not_collapse(digits):
    vae, _, _, x = digits
    mean, log_var = (as_numpy(a) for a in vae.encode(x))
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var)
    assert kl.sum(-1).mean() > 5
    assert (mean.var(0) > 0.01).all()  # Every unit is active, as Burda et al., arXiv 1509.00519, call it.
    assert (np.exp(log_var).mean(0) < 0.8).all()


def test_the_reconstruction_is_better_than_the_mean_frame(digits):
    vae, _, train, x = digits
    error = np.square(vae.decode(vae.encode(x).mean) - x).sum((1, 2, 3)).mean()
    floor = np.square(train.mean(0) - x).sum((1, 2, 3)).mean()
    assert error < 0.6 * floor


def test_the_history_has_the_two_terms(digits):
    vae, history, _, x = digits
    assert {"val_loss", "val_squared_error", "val_kl"} <= set(history.best)
    mean, log_var = (as_numpy(a) for a in vae.encode(x))
    chosen = np.linspace(0, len(x) - 1, min(len(x), 512)).astype(int)
    kl = 0.5 * (np.exp(log_var) + mean**2 - 1 - log_var).sum(-1)[chosen]
    assert history.best["val_kl"] == pytest.approx(kl.mean(), rel=1e-3)
    decoded = vae.network.decoder.predict_on_batch(vae.encode(x[chosen]).mean)
    error = np.square(decoded - x[chosen]).sum((1, 2, 3))
    assert history.best["val_squared_error"] == pytest.approx(error.mean(), rel=1e-3)


def test_still_black_frames_keep_the_loss_finite():
    class Black(Windows):
        __len__ = lambda self: 32  # noqa: E731
        take = lambda self, indices: {"x": np.zeros((len(indices), 8, 8, 1), np.float32)}  # noqa: E731

    history = VAE([8, 8, 1], latent_dim=2, widths=[4]).fit(Source(Black(), Black()), RunTrainer(steps=20))
    assert np.isfinite(history.best["val_loss"])


def message(kind, call, *args, **kwargs):
    with pytest.raises(kind) as error:
        call(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("shape", [[16, 16], [16], [0, 16, 1]])
def test_an_input_that_is_not_frames_is_refused(shape):
    assert message(UsageError, VAE, shape) == (
        f"vae: input_shape is {shape}; expected (height, width, channels) of frames."
    )


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"latent_dim": 0}, "latent_dim is 0, widths [8]"),
        ({"widths": []}, "latent_dim is 64, widths []"),
        ({"widths": [8, 0], "latent": "map"}, "latent_dim is 16, widths [8, 0]"),
    ],
)
def test_an_option_out_of_range_is_refused(options, found):
    assert message(UsageError, VAE, [16, 16, 1], **{"widths": [8], **options}) == (
        f"vae: {found}; expected latent_dim of 1 or more, and at least one width, each 1 or more."
    )


def test_a_weight_below_zero_or_an_unknown_kind_of_latent_is_refused():
    assert message(UsageError, VAE, [16, 16, 1], beta=-1.0) == (
        "vae: beta is -1.0 and free_bits 0.0; expected 0 or more of each."
    )
    assert message(UsageError, VAE, [16, 16, 1], free_bits=-0.5) == (
        "vae: beta is 1.0 and free_bits -0.5; expected 0 or more of each."
    )
    assert (
        message(UsageError, VAE, [16, 16, 1], latent="grid") == "vae: latent is 'grid'; expected 'vector' or 'map'."
    )


def test_features_are_not_frames():
    assert message(UsageError, VAE, [8, 8, 16]) == (
        "vae: input_shape is [8, 8, 16]; expected frames with 1 or 3 channels. Use feature-vae or pca to encode a "
        "map of features."
    )


def test_items_of_another_shape_are_refused():
    vae = VAE([16, 16, 1], latent_dim=4, widths=[4])
    assert message(DataError, vae.encode, np.zeros((2, 16, 17, 1), np.float32)) == (
        "frames has shape (2, 16, 17, 1); expected (n, 16, 16, 1)."
    )
    assert message(DataError, vae.decode, np.zeros((2, 5), np.float32)) == "z has shape (2, 5); expected (n, 4)."
