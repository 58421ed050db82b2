"""The audio-visual predictor: the kit, its context, and that it hears."""

import numpy as np
import pytest

from latentseq.errors import UsageError
from latentseq.testing import PredictorPromises
from latentseq.testing.generated import blobs, generated
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.predictors.audio_visual import AudioVisual

SMALL = {"context": 3, "width": 8, "blocks": 1, "attention_heads": 2, "units": 4, "readout": [4], "free_steps": 3}


def make(shape=(12, 12, 1), sound=20, **options):
    return AudioVisual(list(shape), {"audio": sound}, **{**SMALL, **options})


@pytest.mark.jax
class TestAudioVisual(PredictorPromises):
    context = 3
    far = 500

    def make(self):
        return make(free_steps=1)


def test_what_it_says_of_frames_in_the_context_is_that_they_stay():
    frames, sound = blobs(np.arange(2), 5, (12, 12, 1)), np.ones((2, 5, 20), np.float32)
    said, state = make().observe(frames[:, :2], conditions={"audio": sound[:, :2]})
    assert np.array_equal(said, frames[:, :2])
    with pytest.raises(
        UsageError, match=r"^audio-visual predicts from 3 frames, but was shown 2\. Show it 3 or more\.$"
    ):
        make().imagine(state, 1, seed=0, conditions={"audio": sound[:, :1]})


def test_what_was_heard_changes_what_is_imagined():
    """Sound in the context reaches it through the code, sound later through the LSTM."""
    model, heard = make(), [0, 2, 4, 6]
    last = model.decoder.dynamics.network.output_layer.last.kernel
    last.assign(np.random.default_rng(0).normal(0, 0.3, last.shape))
    frames = np.repeat(blobs(np.arange(1), 6, (12, 12, 1)), 5, axis=0)
    sound = np.zeros((5, 9, 20), np.float32)
    for i, row in enumerate(heard, 1):
        sound[i, row] = 3
    quiet, *loud = model.predict(frames, 3, temperature=0.0, conditions={"audio": sound})
    assert [np.abs(each - quiet).max() > 1e-4 for each in loud] == [True] * len(heard)


def test_it_is_trained_as_it_predicts():
    """The loss is the squared error of forecasts up to the last known frame, and of the rollout from it."""
    model = make()
    frames = 0.3 + 0.4 * blobs(np.arange(2), 8, (12, 12, 1))  # Nothing has to be clipped.
    sound = np.random.default_rng(0).normal(size=(2, 8, 20)).astype("float32")
    batch = {"mean": model.decoder.to_patches(frames), "audio": sound}
    loss = float(model.network.compute_loss(y_pred=model.network(batch)))
    # Of the six frames from the last of the context on, three are known: frames 2 to 4.
    said, state = model.observe(frames[:, :5], conditions={"audio": sound[:, :5]})
    rollout, _ = model.imagine(state, 3, seed=0, conditions={"audio": sound[:, 5:]})
    made = np.concatenate([said[:, 2:], rollout[:, 1:]], axis=1)
    assert loss == pytest.approx(np.mean(np.sum((made - frames[:, 3:]) ** 2, axis=(2, 3, 4))), rel=1e-4)


def test_without_sound_and_with_windows_that_are_too_short():
    with pytest.raises(UsageError) as error:
        AudioVisual([12, 12, 1], {"action": 2})
    assert str(error.value) == (
        "audio-visual needs the stream audio, but the data has action. Use clips with sound, which ingest makes from "
        "films with sound, or the dataset sounding-shapes."
    )
    windows = generated(
        lambda rows: {"frames": blobs(rows, 3, (12, 12, 1)), "audio": np.zeros((len(rows), 3, 20), np.float32)}
    )
    told = r"^audio-visual predicts from 3 frames, but the windows have 3; expected 4 or more\."
    with pytest.raises(UsageError, match=told):
        make().fit(windows, RunTrainer(steps=1))
