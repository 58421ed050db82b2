"""The convolutional autoencoder: the promises of an encoder, its loss, its vectors and its maps."""

import numpy as np
import pytest

from latentseq.data.windows import frame_source
from latentseq.errors import UsageError
from latentseq.testing import EncoderPromises
from latentseq.testing.generated import blobs
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.datasets.moving_digits import MovingDigits
from latentseq_plugins.encoders.conv_ae import ConvAE
from latentseq_plugins.encoders.pca import PCA


@pytest.mark.jax
class TestConvAE(EncoderPromises):
    def make(self):
        return ConvAE([16, 16, 1], latent_dim=4, widths=[8, 16])


@pytest.mark.slow
class TestConvAEOfMaps(EncoderPromises):
    def make(self):
        return ConvAE([16, 16, 1], latent="map", latent_dim=2, widths=[8, 16])


@pytest.mark.slow
class TestConvAEOfMapsOfAnOddSizeInColour(EncoderPromises):
    def make(self):
        return ConvAE([21, 27, 3], latent="map", latent_dim=3, widths=[4, 8, 8])


@pytest.mark.slow
class TestConvAEOfAnOddSizeInColour(EncoderPromises):
    def make(self):
        return ConvAE([13, 9, 3], latent_dim=3, widths=[4, 8])


@pytest.mark.parametrize(
    ("shape", "options", "wanted"),
    [
        ([64, 64, 1], {"latent": "map"}, (8, 8, 16)),
        ([64, 64, 1], {}, (64,)),
        ([64, 48, 3], {"latent": "map", "latent_dim": 5, "widths": [4, 4]}, (16, 12, 5)),
        ([50, 41, 3], {"latent": "map", "latent_dim": 5, "widths": [4, 4, 4]}, (7, 6, 5)),
    ],
)
def test_the_latent_is_a_vector_or_a_map_an_eighth_of_the_side(shape, options, wanted):
    model = ConvAE(shape, **options)
    assert model.latent_shape == wanted
    assert model.encode(np.zeros((1, *shape), np.float32)).mean.shape == (1, *wanted)


def test_there_is_no_posterior():
    assert ConvAE([16, 16, 1], widths=[4]).encode(np.zeros((2, 16, 16, 1), np.float32)).log_var is None


def test_the_loss_is_the_squared_error_of_a_frame_before_it_is_clipped():
    model = ConvAE([16, 16, 1], latent="map", latent_dim=2, widths=[4, 4], augment=False)
    x = np.random.default_rng(0).uniform(size=(3, 16, 16, 1)).astype(np.float32)
    made = model.network({"x": x}, training=True)
    loss = float(model.network.compute_loss(x={"x": x}, y_pred=made))
    raw = np.asarray(model.decoder(model.encode(x).mean), np.float64)
    assert loss == pytest.approx(np.square(raw - x).sum((1, 2, 3)).mean(), rel=1e-4)


def test_in_training_frames_are_mirrored_and_shifted_and_rebuilt_as_such():
    x = blobs(np.arange(16), 1, (16, 16, 1))[:, 0]
    model = ConvAE([16, 16, 1], latent_dim=4, widths=[4])
    target = np.asarray(model.network({"x": x}, training=True)["target"])
    assert all(np.abs(a - b).max() > 0.05 for a, b in zip(target, x, strict=True))
    assert np.array_equal(model.network({"x": x})["target"], x)


@pytest.mark.slow
def test_a_map_reconstructs_better_than_a_quarter_as_many_principal_components():
    """4x4x4 numbers against 16 linear ones, on little digits."""
    dataset = MovingDigits(number=1, size=16, digit_size=10, speed=2.0, count=200, held_out=20)
    source = frame_source(dataset)
    model = ConvAE([16, 16, 1], latent="map", latent_dim=4, widths=[16, 32], augment=False)
    model.fit(source, RunTrainer(steps=400))
    pca = PCA([16, 16, 1], latent_dim=16)
    pca.fit(source, RunTrainer(epochs=1))
    x = source.validation.take(np.arange(len(source.validation)))["x"]
    found, linear = (np.square(m.decode(m.encode(x).mean) - x).sum((1, 2, 3)).mean() for m in (model, pca))
    assert found < linear


def test_a_seed_says_what_it_starts_from():
    first, again, other = (ConvAE([16, 16, 1], widths=[4], seed=seed) for seed in (1, 1, 2))
    x = np.random.default_rng(0).uniform(size=(2, 16, 16, 1)).astype(np.float32)
    assert np.array_equal(first.encode(x).mean, again.encode(x).mean)
    assert not np.allclose(first.encode(x).mean, other.encode(x).mean, atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "options", "wanted"),
    [
        ([16, 16], {}, "input_shape is [16, 16]; expected (height, width, channels) of frames."),
        (
            [8, 8, 16],
            {},
            "input_shape is [8, 8, 16]; expected frames with 1 or 3 channels. Use feature-vae or pca to encode a map "
            "of features.",
        ),
        ([16, 16, 1], {"latent": "maps"}, "latent is 'maps'; expected 'vector' or 'map'."),
        (
            [16, 16, 1],
            {"latent_dim": 0},
            "latent_dim is 0, widths [16, 64, 128]; expected latent_dim of 1 or more, and at least one width, each 1 "
            "or more.",
        ),
        (
            [16, 16, 1],
            {"widths": []},
            "latent_dim is 64, widths []; expected latent_dim of 1 or more, and at least one width, each 1 or more.",
        ),
    ],
)
def test_what_makes_no_network_is_refused(shape, options, wanted):
    with pytest.raises(UsageError) as error:
        ConvAE(shape, **options)
    assert str(error.value) == f"conv-ae: {wanted}"
