"""The U-shaped predictor: the kit, any size, recursion, and what it refuses."""

import numpy as np
import pytest

from latentseq.errors import DataError, UsageError
from latentseq.testing import PredictorPromises
from latentseq.testing.generated import blobs, generated
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.predictors.unet import UNet


def make(shape=(16, 16, 1), **options):
    return UNet(list(shape), **{"context": 3, "widths": [4, 8], "free_steps": 2, **options})


def changed(model, change):
    """A model whose change since the last frame is the same everywhere."""
    model.following.get_layer("change").bias.assign(np.full(model.input_shape[-1], change, np.float32))
    return model


@pytest.mark.jax
class TestUNet(PredictorPromises):
    context = 3
    steps = 60
    far = 200

    def make(self):
        return make()


@pytest.mark.parametrize("size", [(16, 16), (13, 21), (64, 48)])
def test_it_runs_at_any_size(size):
    frames = np.random.default_rng(0).uniform(0, 0.5, (2, 3, *size, 1)).astype("float32")
    made = changed(make(), 0.125).predict(frames, 3, temperature=0.0)[:, 0]
    assert made.shape == (2, 3, *size, 1)
    for i in range(3):
        assert np.allclose(made[:, i], frames[:, -1] + 0.125 * (i + 1), atol=1e-6)


def test_what_it_says_inside_a_frame_depends_on_what_is_near_only():
    """A window of a larger frame is predicted as the frame is, away from the border."""
    model = make()
    for layer in model.following.layers:
        if layer.name == "change":
            layer.kernel.assign(np.random.default_rng(1).normal(0, 0.05, layer.kernel.shape).astype("float32"))
    frames = np.random.default_rng(0).uniform(0.3, 0.6, (1, 3, 48, 48, 1)).astype("float32")
    whole = model.predict(frames, 1, temperature=0.0)[0, 0, 0]
    part = model.predict(frames[:, :, 8:40, 8:40], 1, temperature=0.0)[0, 0, 0]
    assert np.abs(whole - frames[0, -1]).max() > 1e-3
    assert np.allclose(part[10:-10, 10:-10], whole[18:-18, 18:-18], atol=1e-6)


def test_the_loss_is_that_of_its_own_rollout():
    """The trained loss is the squared error of ``predict`` on every stretch of context and free steps."""
    model = changed(make(), 0.03)
    frames = blobs(np.arange(2), 8, (16, 16, 1))
    loss = model.network.compute_loss(y_pred=model.network({"frames": frames}))
    errors = []
    for start in (3, 1):  # Stretches of 3 + 2 that end at frames 8 and 6.
        made = frames[:, start + 2 : start + 3] + 0.03 * np.arange(1, 3)[:, None, None, None]
        errors.append(((made - frames[:, start + 3 : start + 5]) ** 2).sum((2, 3, 4)))
    assert float(loss) == pytest.approx(np.mean(errors), rel=1e-5)


def test_fewer_frames_than_the_context():
    model = make()
    _, state = model.observe(np.zeros((1, 2, 16, 16, 1), np.float32))
    with pytest.raises(UsageError, match=r"unet predicts from 3 frames, but was shown 2\. Show it 3 or more\."):
        model.imagine(state, 1, seed=0)
    windows = generated(lambda rows: {"frames": blobs(rows, 3, (16, 16, 1))})
    told = (
        "unet predicts from 3 frames, but the windows have 3; expected 4 or more. Use a longer --length or longer "
        "clips, or --set context=2."
    )
    with pytest.raises(UsageError, match=told):
        model.fit(windows, RunTrainer(steps=1))


def test_other_channels_and_frames_that_are_too_small():
    with pytest.raises(DataError, match=r"frames has shape \(1, 2, 16, 16, 3\); expected \(b, t, 16, 16, 1\)."):
        make().observe(np.zeros((1, 2, 16, 16, 3), np.float32))
    told = r"unet needs frames of 4 x 4 \(h x w\) or more; they are 3 x 16. Use larger frames, such as with --size."
    with pytest.raises(DataError, match=told):
        make(widths=[2, 2, 2]).observe(np.zeros((1, 2, 3, 16, 1), np.float32))
    with pytest.raises(UsageError, match=r"widths \[\]; expected 1 or more of each, and at least one width\."):
        make(widths=[])
