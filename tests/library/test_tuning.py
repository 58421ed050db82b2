"""Tuning on frames: its loss against the public verbs, what it changes and what it leaves alone."""

import numpy as np
import pytest

from latentseq.arrays import Source
from latentseq.errors import UsageError
from latentseq.models.latent import LatentPredictor, encode_windows
from latentseq.networks.tuning import PARTS, TuningNetwork
from latentseq.testing.generated import blobs, generated
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.conv_lstm import ConvLSTM
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.encoders.conv_ae import ConvAE
from latentseq_plugins.encoders.pca import PCA
from latentseq_plugins.encoders.vae import VAE

LENGTH = 7
SHAPE = (8, 8, 1)
SOURCE: Source = generated(lambda rows: {"frames": blobs(rows, LENGTH, SHAPE)})


def of_vectors(**options):
    encoder = VAE([*SHAPE], latent_dim=3, widths=[4], augment=False)
    return LatentPredictor(encoder, LSTM([3], layers=1, units=8, head="mse", **options), PARTS)


def of_maps(**options):
    encoder = ConvAE([*SHAPE], latent="map", latent_dim=2, widths=[4], augment=False)
    return LatentPredictor(encoder, ConvLSTM([4, 4, 2], layers=1, units=4, head="mixture", **options), PARTS)


def weights(predictor):
    parts = {**predictor.encoder.networks, "dynamics": predictor.dynamics.network}
    return {name: [np.array(w) for w in part.trainable_weights] for name, part in parts.items()}


@pytest.mark.parametrize("make", [of_vectors, of_maps])
@pytest.mark.parametrize("free", [0, 3])
def test_its_loss_is_the_error_of_the_frames_that_the_verbs_give(make, free):
    predictor = make(free_steps=free)
    encoder, dynamics = predictor.encoder, predictor.dynamics
    frames, known = blobs(np.arange(3), LENGTH, SHAPE), LENGTH - free
    network = TuningNetwork(encoder, dynamics)
    found = float(network.compute_loss(y_pred=network({"frames": frames})))

    z = encode_windows(encoder, frames)
    forecast, state = dynamics.observe(type(z)(*(a if a is None else a[:, :known] for a in z)))
    made, wanted = z.mean[:, known - 2 : known], frames[:, known - 2 : known]
    if free:
        imagined, _ = dynamics.imagine(state, free, seed=0, temperature=0.0)
        made, wanted = np.concatenate([imagined, made], 1), np.concatenate([frames[:, known:], wanted], 1)
    else:
        one_step = forecast.sample(1, seed=0, temperature=0.0)[:, 0, :-1]
        made, wanted = np.concatenate([one_step, made], 1), np.concatenate([frames[:, 1:], wanted], 1)
    # Not through ``decode``, which puts frames into [0, 1].
    pictures = np.asarray(encoder.networks["decoder"](made.reshape(-1, *made.shape[2:]))).reshape(wanted.shape)
    assert found == pytest.approx(np.square(pictures - wanted).sum((2, 3, 4)).mean(), rel=1e-4)


@pytest.mark.parametrize("part", ["dynamics", *(pytest.param(p, marks=pytest.mark.slow) for p in PARTS[1:])])
def test_what_is_not_named_stays_as_it_is(part):
    predictor = of_maps(free_steps=3)
    predictor.tune = (part,)
    before = weights(predictor)
    predictor.fit(SOURCE, RunTrainer(steps=2, batch_size=4))
    after = weights(predictor)
    for name in PARTS:
        same = all(np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True))
        assert same == (name != part), name


def test_it_lowers_the_error_of_imagined_frames():
    predictor = of_vectors(free_steps=3)
    frames = blobs(240 + np.arange(16), LENGTH, SHAPE)

    def error():
        futures = predictor.predict(frames[:, :4], 3, temperature=0.0)[:, 0]
        return np.square(futures - frames[:, 4:]).sum((2, 3, 4)).mean()

    before = error()
    history = predictor.fit(SOURCE, RunTrainer(steps=60, batch_size=16, learning_rate=5e-3))
    assert error() < 0.7 * before
    assert history.rows[-1]["stage"] == "tune"


@pytest.mark.slow
def test_statistics_stay_and_the_spread_is_measured_again():
    predictor = of_vectors(free_steps=3)
    network = predictor.dynamics.network
    network.offset.assign([0.1, -0.2, 0.3])
    network.scale.assign([0.5, 1.0, 2.0])
    predictor.fit(SOURCE, RunTrainer(steps=2, batch_size=4))
    assert np.allclose(network.offset, [0.1, -0.2, 0.3])
    assert np.allclose(network.scale, [0.5, 1.0, 2.0])
    z = encode_windows(predictor.encoder, SOURCE.validation.take(np.arange(len(SOURCE.validation)))["frames"])
    forecast, _ = predictor.dynamics.observe(type(z)(*(a[:, :-1] for a in z)))
    residual = np.sqrt(np.square((forecast.mean - z.mean[:, 1:]) / [0.5, 1.0, 2.0]).mean((0, 1)))
    np.testing.assert_allclose(network.spread, residual, rtol=1e-3)


def test_the_range_is_measured_again_as_the_encoder_has_become_another():
    predictor = of_vectors(free_steps=3)
    network = predictor.dynamics.network
    network.offset.assign([0.1, -0.2, 0.3])
    predictor.fit(SOURCE, RunTrainer(steps=2, batch_size=4))
    z = encode_windows(predictor.encoder, SOURCE.train.take(np.arange(len(SOURCE.train)))["frames"]).mean
    standard = z - np.float32([0.1, -0.2, 0.3])
    np.testing.assert_allclose(network.low, standard.min((0, 1)) - 1, atol=1e-3)
    np.testing.assert_allclose(network.high, standard.max((0, 1)) + 1, atol=1e-3)
    assert float(network.radius) == pytest.approx(np.linalg.norm(standard, axis=-1).max() + 1, abs=1e-3)


def refusal(predictor):
    with pytest.raises(UsageError) as error:
        predictor.fit(SOURCE, RunTrainer(steps=1))
    return str(error.value)


def test_parts_without_networks_are_refused():
    linear = PCA([*SHAPE], latent_dim=3)
    assert refusal(LatentPredictor(linear, LSTM([3], layers=1, units=4), ["dynamics"])) == (
        "'pca' has no networks, and every part is tuned on frames that go through all of them. "
        "Choose an encoder with networks, such as conv-ae, vae or stack."
    )


def test_parts_that_do_not_exist_are_refused():
    predictor = of_vectors()
    predictor.tune = ("dynamics", "decode")
    assert (
        refusal(predictor)
        == "The parts to tune are decode and dynamics; expected some of decoder, dynamics and encoder."
    )


def test_in_training_all_frames_of_a_window_are_mirrored_and_shifted_alike():
    encoder, dynamics = ConvAE([16, 16, 1], latent="map", latent_dim=2, widths=[4]), ConvLSTM([8, 8, 2], units=4)
    network = TuningNetwork(encoder, dynamics)
    still = np.repeat(blobs(np.arange(12), 1, (16, 16, 1)), LENGTH, axis=1)
    target = np.asarray(network({"frames": still}, training=True)["target"])
    assert np.abs(target - target[:, :1]).max() == 0
    assert all(np.abs(a - b).max() > 0.05 for a, b in zip(target[:, 0], still[:, 0], strict=True))
    assert np.array_equal(network({"frames": still})["target"], still[:, : target.shape[1]])


def test_actions_are_not_mirrored_so_neither_are_their_frames():
    encoder = ConvAE([16, 16, 1], latent="map", latent_dim=2, widths=[4])
    dynamics = ConvLSTM([8, 8, 2], units=4, conditions={"actions": 1})
    network = TuningNetwork(encoder, dynamics)
    still = np.repeat(blobs(np.arange(4), 1, (16, 16, 1)), LENGTH, axis=1)
    batch = {"frames": still, "actions": np.zeros((4, LENGTH, 1), np.float32)}
    target = np.asarray(network(batch, training=True)["target"])
    assert np.array_equal(target, still[:, : target.shape[1]])
