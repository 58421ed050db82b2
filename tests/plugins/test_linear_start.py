"""The linear start of encoders and dynamics: closed forms against scikit-learn's, and what training adds to them."""

import numpy as np
import pytest
from rows import Rows
from sklearn.decomposition import PCA

from latentseq import registry
from latentseq.arrays import Latents, Source
from latentseq.testing import DecoderPromises, DynamicsPromises, EncoderPromises
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.decoders.deconv import Deconv
from latentseq_plugins.dynamics.conv_lstm import ConvLSTM
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.encoders.conv_ae import ConvAE
from latentseq_plugins.encoders.feature_vae import FeatureVAE
from latentseq_plugins.encoders.vae import VAE
from latentseq_plugins.linear_path import start_from_components

SLOW_AND_JAX = [pytest.mark.slow, pytest.mark.jax]


class TestConvAEFromScratch(EncoderPromises):
    pytestmark = SLOW_AND_JAX

    def make(self):
        return ConvAE([16, 16, 1], latent_dim=4, widths=[8, 16], linear_start=False)


class TestVAEFromScratch(EncoderPromises):
    pytestmark = SLOW_AND_JAX

    def make(self):
        return VAE([16, 16, 1], latent_dim=4, widths=[8, 16], linear_start=False)


class TestFeatureVAEFromScratch(EncoderPromises):
    pytestmark = SLOW_AND_JAX

    def make(self):
        return FeatureVAE([12], latent_dim=4, widths=[32], linear_start=False)


class TestDeconvFromScratch(DecoderPromises):
    pytestmark = SLOW_AND_JAX

    def make(self):
        return Deconv([4], [16, 16, 1], widths=[8, 16], linear_start=False)


class TestLSTMFromScratch(DynamicsPromises):
    pytestmark = SLOW_AND_JAX

    def make(self):
        return LSTM([3], layers=1, units=16, readout=[8], head="mse", linear_start=False)


class TestConvLSTMFromScratch(DynamicsPromises):
    pytestmark = SLOW_AND_JAX

    def make(self):
        return ConvLSTM([4, 4, 2], units=8, readout=[8], linear_start=False)


def pictures(n, shape=(16, 16, 1), seed=0):
    """Frames (n, h, w, c) in [0, 1] that vary along a dozen smooth directions, with a little noise."""
    h, w, c = shape
    rng = np.random.default_rng(seed)
    y, x = np.meshgrid(np.linspace(0, 3, h), np.linspace(0, 3, w), indexing="ij")
    waves = np.stack([np.cos(i * y + j * x + i) for i in range(1, 5) for j in range(3)])
    levels = rng.normal(size=(n, 12)) * 0.1 * 0.7 ** np.arange(12)
    frames = 0.5 + np.einsum("nk,khw->nhw", levels, waves)[..., None] * np.ones(c)
    return np.clip(frames + 0.01 * rng.normal(size=(n, *shape)), 0, 1).astype(np.float32)


def start(model, x):
    """Fit the linear path of an encoder alone."""
    noise = getattr(model, "beta", None)
    start_from_components(
        model.networks["encoder"],
        model.networks["decoder"],
        Source(Rows(x=x), Rows(x=x)),
        RunTrainer(epochs=1),
        noise=noise,
    )
    return model


def cut(x, side, low=(0, 0)):
    """Patches (m, side * side * c) of frames whose edges are repeated."""
    n, h, w, _ = x.shape
    rows, columns = -(-h // side), -(-w // side)
    high = rows * side - h - low[0], columns * side - w - low[1]
    x = np.pad(x, [(0, 0), (low[0], high[0]), (low[1], high[1]), (0, 0)], mode="edge")
    patches = [
        x[:, i : i + side, j : j + side] for i in range(0, rows * side, side) for j in range(0, columns * side, side)
    ]
    return np.stack(patches, axis=1).reshape(n * len(patches), -1)


def test_a_vector_begins_as_the_principal_components_of_frames():
    x, held = pictures(192), pictures(30, seed=1)
    model = start(ConvAE([16, 16, 1], latent_dim=6, widths=[8, 16]), x)
    whole = PCA(6).fit(x.reshape(192, -1))
    wanted = whole.inverse_transform(whole.transform(held.reshape(30, -1))).reshape(held.shape)
    z = model.encode(held).mean
    np.testing.assert_allclose(model.decode(z), wanted, atol=1e-4)
    np.testing.assert_allclose(np.abs(z), np.abs(whole.transform(held.reshape(30, -1))), atol=1e-3)


@pytest.mark.parametrize(("shape", "low"), [((16, 16, 1), (0, 0)), ((19, 13, 3), (2, 1))])
def test_a_map_begins_as_the_principal_components_of_patches(shape, low):
    x, held = pictures(192, shape), pictures(30, shape, seed=1)
    model = start(ConvAE(list(shape), latent="map", latent_dim=5, widths=[4, 8, 8]), x)
    axes = PCA(5).fit(cut(x, 8, low))
    pieces = axes.transform(cut(held, 8, low))
    z = model.encode(held).mean
    np.testing.assert_allclose(np.abs(z.reshape(-1, 5)), np.abs(pieces), atol=2e-3)
    error = np.square(axes.inverse_transform(pieces) - cut(held, 8, low)).sum()
    padded = np.square(cut(np.clip(model.decode(z), 0, 1), 8, low) - cut(held, 8, low)).sum()
    assert padded == pytest.approx(error, rel=0.2)  # The padding counts differently.
    assert shape != (16, 16, 1) or padded == pytest.approx(error, rel=1e-3)


def test_errors_of_latents_are_errors_of_frames():
    x = pictures(192)
    for options in ({"latent_dim": 6}, {"latent": "map", "latent_dim": 5}):
        model = start(ConvAE([16, 16, 1], widths=[4, 8], **options), x)
        z = model.encode(x[:20]).mean
        moved = z + 0.02 * np.random.default_rng(0).normal(size=z.shape).astype(np.float32)
        frames = np.square(model.decode(moved) - model.decode(z)).sum()
        assert frames == pytest.approx(np.square(moved - z).sum(), rel=1e-3)
        np.testing.assert_allclose(model.channel_gain, 1, rtol=1e-5)


def test_a_vae_begins_as_probabilistic_principal_components():
    x = pictures(320)
    model = start(VAE([16, 16, 1], latent_dim=4, widths=[4, 8]), x)
    other = PCA(4).fit(x.reshape(320, -1))
    decoder = model.networks["decoder"].get_layer("linear")
    weights, variance = np.asarray(decoder.kernel), max(other.noise_variance_, 1e-4)
    covariance = weights.T @ weights + variance * np.eye(256)
    wanted = other.get_covariance() + (variance - other.noise_variance_) * np.eye(256)
    np.testing.assert_allclose(covariance, wanted, atol=3e-4)
    latents = model.encode(x)
    posterior = variance * np.linalg.inv(weights @ weights.T + variance * np.eye(4))
    np.testing.assert_allclose(np.exp(latents.log_var[0]), np.diag(posterior), rtol=0.02)
    mean = (x.reshape(320, -1) - x.reshape(320, -1).mean(0)) @ weights.T @ posterior / variance
    np.testing.assert_allclose(latents.mean, mean, atol=0.01)
    np.testing.assert_allclose(latents.mean.var(0) + np.diag(posterior), 1, rtol=0.05)  # No dimension has collapsed.
    np.testing.assert_allclose(model.channel_gain, np.linalg.norm(weights, axis=1), rtol=1e-5)


def test_the_bound_of_the_linear_vae_is_the_likelihood_of_probabilistic_principal_components():
    x = pictures(320)
    x = np.clip(x + 0.03 * np.random.default_rng(5).normal(size=x.shape), 0, 1).astype(np.float32)
    model = start(VAE([16, 16, 1], latent_dim=4, widths=[4, 8], augment=False), x)
    losses = [float(model.network.loss_of(model.network({"x": x}, training=True))) for _ in range(5)]
    assert -np.mean(losses) == pytest.approx(PCA(4).fit(x.reshape(320, -1)).score(x.reshape(320, -1)), rel=0.01)


def test_a_decoder_begins_as_regression():
    x = pictures(192)
    z = PCA(6).fit_transform(x.reshape(192, -1)).astype(np.float32) * [1, 2, 3, 4, 5, 6] + 7
    model = Deconv([6], [16, 16, 1], widths=[4, 8])
    source = Source(Rows(z=z.astype(np.float32), x=x), Rows(z=z.astype(np.float32), x=x))
    history = model.fit(source, RunTrainer(steps=1))
    whole = PCA(6).fit(x.reshape(192, -1))
    wanted = (
        np.square(whole.inverse_transform(whole.transform(x.reshape(192, -1))) - x.reshape(192, -1)).sum(1).mean()
    )
    assert history.rows[0]["epoch"] == 0
    assert history.rows[0]["val_loss"] == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("conv-ae", {"widths": [4, 8]}),
        ("conv-ae", {"widths": [4, 8], "latent": "map", "latent_dim": 2}),
        ("vae", {"widths": [4, 8], "latent_dim": 4}),
        ("stack", {"preset": "tiny"}),
    ],
)
def test_row_0_is_the_closed_form_and_the_fit_never_ends_worse(encoder, options):
    x, held = pictures(192), pictures(40, seed=1)
    source = Source(Rows(x=x), Rows(x=held))
    model = registry.build("encoders", encoder, options, input_shape=[16, 16, 1])
    history = model.fit(source, RunTrainer(steps=9, learning_rate=1.0))  # Steps that do harm.
    starts = [row for row in history.rows if row["epoch"] == 0]
    assert len(starts) == (3 if encoder == "stack" else 1)
    assert history.best["val_loss"] <= starts[-1]["val_loss"]
    again = registry.build("encoders", encoder, options, input_shape=[16, 16, 1])
    if encoder == "conv-ae":
        start(again, x)
        error = np.square(again.networks["decoder"](again.encode(held).mean) - held).sum((1, 2, 3)).mean()
        assert starts[0]["val_loss"] == pytest.approx(error, rel=1e-4)


HARD = {
    "fewer frames than dimensions": pictures(5),
    "constant pixels": np.concatenate([pictures(40)[:, :8], np.full((40, 8, 16, 1), 0.5, np.float32)], axis=1),
    "black": np.zeros((40, 16, 16, 1), np.float32),
    "two frames": pictures(2),
    "an odd size": pictures(40, (17, 23, 3)),
}


@pytest.mark.filterwarnings("error:.*(divide|invalid|overflow).*")
@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize(
    ("encoder", "options"),
    [
        ("conv-ae", {"widths": [4, 8], "latent_dim": 8}),
        ("conv-ae", {"widths": [4, 8, 8], "latent": "map", "latent_dim": 8}),
        ("vae", {"widths": [4, 8], "latent_dim": 8}),
        ("stack", {"preset": "tiny"}),
    ],
)
def test_hard_input_gives_a_model(name, encoder, options):
    x = HARD[name]
    model = registry.build("encoders", encoder, options, input_shape=list(x.shape[1:]))
    history = model.fit(Source(Rows(x=x), Rows(x=x[-2:])), RunTrainer(steps=3))
    latents = model.encode(x)
    assert all(np.isfinite(a).all() for a in latents if a is not None)
    frames = model.decode(latents.mean)
    assert np.isfinite(frames).all()
    assert all(np.isfinite(row["val_loss"]) for row in history.rows)
    if name == "black" and encoder == "conv-ae":
        assert np.abs(frames).max() < 0.02


def orbits(seed, n=120, t=20):
    """Latents (n, t, 3) on circles: autoregression follows them without error."""
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)[:, None] + 0.4 * np.arange(t)
    return np.stack([np.sin(phase), 10 * np.cos(phase), np.ones_like(phase)], axis=-1).astype(np.float32)


@pytest.mark.parametrize("head", ["mse", "mixture"])
@pytest.mark.parametrize("residual", [True, False])
def test_dynamics_begin_as_autoregression(head, residual):
    source = Source(Rows(mean=orbits(0)), Rows(mean=orbits(1)))
    model = LSTM([3], layers=1, units=8, readout=[8], head=head, residual=residual)
    history = model.fit(source, RunTrainer(steps=1))
    _, state = model.observe(Latents(orbits(2)[:, :8]))
    z, _ = model.imagine(state, 12, seed=0, temperature=0.0)
    assert history.rows[0]["epoch"] == 0
    if head == "mse":
        np.testing.assert_allclose(z, orbits(2)[:, 8:], atol=0.35)
    else:  # Its components differ a little from the start.
        assert np.square(z - orbits(2)[:, 8:]).mean() < 0.05 * orbits(2).var()


def test_autoregression_is_not_used_where_the_last_latent_is_better(capsys):
    rng = np.random.default_rng(0)
    still = np.repeat(rng.normal(size=(80, 1, 3)), 16, axis=1).astype(np.float32)
    jumping = np.cumsum(rng.normal(size=(80, 16, 3)), axis=1).astype(np.float32)
    model = LSTM([3], layers=1, units=8, readout=[], head="mse")
    model.fit(Source(Rows(mean=jumping), Rows(mean=still)), RunTrainer(steps=1))
    assert not np.asarray(model.network.linear.kernel).any()
    model.fit(Source(Rows(mean=orbits(0)), Rows(mean=orbits(1))), RunTrainer(steps=1))
    assert np.asarray(model.network.linear.kernel).any()


def test_one_number_scales_the_latents_of_an_isometric_encoder():
    z = np.random.default_rng(0).normal(size=(50, 10, 2)) * [3.0, 0.1]
    source = Source(Rows(mean=z.astype(np.float32)), Rows(mean=z[:9].astype(np.float32)), gain=np.ones(2))
    scales = {}
    for head in ("mse", "mixture"):
        model = LSTM([2], layers=1, units=4, readout=[], head=head)
        model.fit(source, RunTrainer(steps=1))
        scales[head] = np.asarray(model.network.scale)
    np.testing.assert_allclose(scales["mse"], np.sqrt((z.var((0, 1))).mean()), rtol=0.02)
    np.testing.assert_allclose(scales["mixture"][0], 3.0, rtol=0.1)  # A likelihood does not depend on the scale.
    twice = Source(source.train, source.validation, gain=np.array([1.0, 2.0]))
    model = LSTM([2], layers=1, units=4, readout=[], head="mse")
    model.fit(twice, RunTrainer(steps=1))
    scale = np.asarray(model.network.scale)
    assert scale[0] == pytest.approx(2 * scale[1])


@pytest.mark.jax
def test_a_map_begins_as_autoregression_of_its_neighbourhoods():
    rng = np.random.default_rng(3)
    wide = np.cumsum(rng.normal(size=(60, 8, 30)), axis=2)
    z = np.stack([wide[:, :, i : i + 8] for i in range(15)], axis=1)[..., None].astype(np.float32)
    model = ConvLSTM([8, 8, 1], units=4, readout=[])
    history = model.fit(Source(Rows(mean=z[:50]), Rows(mean=z[50:])), RunTrainer(steps=1))
    last = ConvLSTM([8, 8, 1], units=4, readout=[], linear_start=False)
    other = last.fit(Source(Rows(mean=z[:50]), Rows(mean=z[50:])), RunTrainer(steps=1))
    assert history.rows[0]["val_loss"] < 0.8 * other.rows[0]["val_loss"]
