"""The multi-scale GAN: the kit, what its scales say, whose weights a step changes, and what it refuses."""

import numpy as np
import pytest

from latentseq.arrays import Source, Windows
from latentseq.data.crops import Crops
from latentseq.data.windows import clip_source
from latentseq.errors import DataError, UsageError
from latentseq.testing import PredictorPromises
from latentseq.testing.generated import blobs, generated
from latentseq.training import stage
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.datasets.moving_squares import MovingSquares
from latentseq_plugins.predictors import multiscale_gan
from latentseq_plugins.predictors.multiscale_gan import MultiScaleGAN
from latentseq_plugins.predictors.multiscale_losses import adversarial_loss

SHAPE = (16, 16, 1)


def make(**options):
    small = {"context": 2, "widths": [2, 3], "discriminator_widths": [2, 3], "seed": 1}
    return MultiScaleGAN([*SHAPE], **{**small, **options})


def stirred(**options):
    """A model whose corrections are not nothing any more."""
    model, rng = make(**options), np.random.default_rng(1)
    for weight in model.following.trainable_weights:
        if "change" in weight.path:
            weight.assign(rng.normal(0, 0.1, weight.shape).astype(np.float32))
    return model


def values(networks):
    return [np.array(weight) for network in networks for weight in network.weights]


def same(before, after):
    return [np.array_equal(a, b) for a, b in zip(before, after, strict=True)]


def pooled(x, times):
    """(..., h, w, c) by NumPy, halved so many times."""
    for _ in range(times):
        *rest, h, w, c = x.shape
        x = x.reshape(*rest, h // 2, 2, w // 2, 2, c).mean(axis=(-4, -2))
    return x


@pytest.mark.jax
class TestMultiScaleGAN(PredictorPromises):
    context = 2
    far = 200

    def make(self):
        return make()


def test_it_begins_with_the_last_frame():
    frames = blobs(np.arange(2), 4, SHAPE)
    made = make().predict(frames, 3, temperature=0.0)[:, 0]
    assert np.allclose(made, frames[:, -1:], atol=1e-6)


def test_what_is_trained_is_what_predicts():
    """At every scale it is shown halved frames, of all that a window has, and its finest frame is the forecast."""
    model, frames = stirred(), blobs(np.arange(2), 4, SHAPE)
    said = model.network.predict_on_batch({"frames": frames})
    sides = [picture.shape[1:3] for picture in said["prediction"]]
    assert sides == [(2, 2), (4, 4), (8, 8), (16, 16)]
    last, second = frames[:, 3], frames[:, 2]
    for times, target, seen in zip((3, 2, 1, 0), said["target"], said["context"], strict=True):
        wanted = pooled(2 * np.concatenate([last, second]) - 1, times)
        assert np.allclose(target, wanted, atol=1e-6)
        before = np.concatenate([_stack(frames[:, 1:3]), _stack(frames[:, 0:2])])
        assert np.allclose(seen, pooled(2 * before - 1, times), atol=1e-6)
    forecast, _ = model.observe(frames)
    wanted = np.concatenate([forecast[:, 2], forecast[:, 1]])
    assert np.abs(wanted - np.concatenate([frames[:, 2], frames[:, 1]])).max() > 0.01
    assert np.allclose(np.clip((np.array(said["prediction"][-1]) + 1) / 2, 0, 1), wanted, atol=1e-5)


def test_a_long_window_is_seen_in_four_places():
    frames = np.broadcast_to(np.linspace(0, 1, 21, dtype=np.float32)[None, :, None, None, None], (1, 21, *SHAPE))
    said = make().network.predict_on_batch({"frames": frames})
    shown = [20 * (np.array(said[key][-1])[:, 0, 0, -1] + 1) / 2 for key in ("target", "context")]
    assert np.allclose(shown, [[20, 14, 8, 2], [19, 13, 7, 1]], atol=1e-4)


def test_validation_is_error_and_gradient_difference_at_full_scale():
    model, frames = stirred(lambda_lp=2.0, lambda_gdl=0.5), blobs(np.arange(2), 3, SHAPE)
    model.network.compile()
    found = model.network.test_on_batch({"frames": frames}, return_dict=True)["loss"]
    made, target = (2 * x - 1 for x in (np.array(model.following(_stack(frames[:, :2]))), frames[:, 2]))
    steps = sum(np.abs(np.abs(np.diff(made, axis=i)) - np.abs(np.diff(target, axis=i))).mean() for i in (1, 2))
    assert found == pytest.approx(2 * np.abs(made - target).mean() + 0.5 * steps, rel=1e-4)


def _stack(frames):
    return np.concatenate(list(np.moveaxis(frames, 1, 0)), axis=-1)


def contest(model, rate):
    multiscale_gan._compile(model.discriminators, rate)
    with multiscale_gan._frozen(model.discriminators):
        multiscale_gan._compile(model.network, rate)
    batch = {"frames": blobs(np.arange(4), 3, SHAPE)}

    def step():
        with multiscale_gan._frozen(model.discriminators):
            return float(model.network.train_on_batch(batch, return_dict=True)["loss"])

    return step, batch


def test_the_generators_see_how_the_discriminators_change():
    """Compiled once, the step is taken against the weights of now."""
    model = stirred(lambda_adv=0.5)
    step, batch = contest(model, rate=1e-20)
    said = model.network(batch)

    def deceived():
        return float(adversarial_loss(model.discriminators.judge(said["context"], said["prediction"]), real=True))

    before, as_they_were = step(), deceived()
    for weight in model.discriminators.scales[3].weights:
        weight.assign(np.array(weight) + 0.3)
    after, as_they_are = step(), deceived()
    assert abs(as_they_are - as_they_were) > 0.01
    assert after - before == pytest.approx(0.5 * (as_they_are - as_they_were), rel=1e-3)


def test_a_step_changes_the_weights_of_one_side_and_discriminators_learn_to_tell():
    model = stirred()
    step, batch = contest(model, rate=1e-2)
    sides = [model.network.generators], model.discriminators.scales
    before = [values(side) for side in sides]
    step()
    changed = [values(side) for side in sides]
    assert not any(same(before[0], changed[0])) and all(same(before[1], changed[1]))
    said = model.network.predict_on_batch(batch)
    losses = [float(model.discriminators.train_on_batch(said, return_dict=True)["loss"]) for _ in range(60)]
    again = [values(side) for side in sides]
    assert all(same(changed[0], again[0])) and not any(same(changed[1], again[1]))
    # Against generators that stand still they come to be surer than by guessing, whose loss is 8 log 2.
    assert losses[-1] < 0.9 * 8 * np.log(2)


class Halting(Windows):
    """Windows that are taken so many times, and then no more."""

    def __init__(self, windows, times):
        self.windows, self.times = windows, times

    def __len__(self):
        return len(self.windows)

    def take(self, indices):
        self.times -= 1
        if self.times < 0:
            raise KeyboardInterrupt
        return self.windows.take(indices)


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_in_the_same_weights(tmp_path, monkeypatch):
    """Of both sides, and their optimisers: the losses of every step are the same."""
    monkeypatch.setattr(stage, "CHECKPOINT_EVERY", 0.0)
    monkeypatch.setattr(stage, "CHECKPOINT_SHARE", np.inf)
    source = generated(lambda rows: {"frames": blobs(rows, 3, SHAPE)})
    budget = {"steps": 5, "batch_size": 60, "seed": 3}

    def fitted(windows, **options):
        model = make(widths=[2], discriminator_widths=[2])
        history = model.fit(Source(windows, source.validation), RunTrainer(**budget, **options))
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]
        return rows, values([model.following, *model.discriminators.scales])

    rows, weights = fitted(source.train)
    with pytest.raises(KeyboardInterrupt):
        fitted(Halting(source.train, 4), folder=tmp_path)
    again, later = fitted(source.train, folder=tmp_path, resume=True)
    assert [row["step"] for row in rows] == [4, 5]
    assert again == rows
    assert all(same(weights, later))


@pytest.mark.slow
def test_trained_on_crops_without_discriminators_it_predicts_whole_frames():
    clips = MovingSquares(count=6, length=8, size=32)
    crops = Crops(clips, crop=16, clip_length=4, count=40)
    assert make(lambda_adv=0.0).discriminators is None
    model = make(adversarial=False)
    history = model.fit(clip_source(crops, []), RunTrainer(steps=2, batch_size=4))
    assert model.discriminators is None and "discriminators" not in history.rows[-1]
    frames = clips.read(0).frames[None, :3, :, :27].astype(np.float32) / 255
    assert model.predict(frames, 2, temperature=0.0).shape == (1, 1, 2, 32, 27, 1)


def test_frames_that_are_too_small():
    with pytest.raises(UsageError) as error:
        MultiScaleGAN([15, 40, 1])
    assert str(error.value) == (
        "multiscale-gan is trained on frames of 16 x 16 (h x w) or more, whose coarsest scale has 2 x 2 pixels; they "
        "are 15 x 40. Use larger frames, such as with --size."
    )
    told = (
        r"^multiscale-gan needs frames of 8 x 8 \(h x w\) or more; they are 7 x 16. Use larger frames, such as with"
    )
    with pytest.raises(DataError, match=told):
        make().observe(np.zeros((1, 2, 7, 16, 1), np.float32))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"context": 0}, "context is 0, p 1 and alpha 1; expected 1 or more of each."),
        ({"widths": []}, r"widths is \[\]; expected one or more numbers of channels, each 1 or more."),
        (
            {"discriminator_widths": [4, 0]},
            r"discriminator_widths is \[4, 0\]; expected one or more numbers of channels, each 1 or more.",
        ),
        (
            {"lambda_lp": 0.0, "lambda_gdl": 0.0},
            "the weights are lambda_adv 0.05, lambda_lp 0, lambda_gdl 0; expected none below 0, and one of the last "
            "two above 0.",
        ),
    ],
)
def test_options_out_of_their_range(options, told):
    with pytest.raises(UsageError, match=f"^multiscale-gan: {told}$"):
        make(**options)
