"""The convolutional LSTM on frames: the kit, its patches, and its loss."""

import numpy as np
import pytest

from latentseq.errors import UsageError
from latentseq.testing import PredictorPromises
from latentseq.testing.generated import blobs
from latentseq_plugins.predictors.conv_lstm import FrameConvLSTM


def make(shape=(12, 12, 1), **options):
    return FrameConvLSTM(list(shape), **{"units": 4, "readout": [4], "free_steps": 3, **options})


@pytest.mark.jax
class TestFrameConvLSTM(PredictorPromises):
    steps = 60
    far = 500

    def make(self):
        return make()


@pytest.mark.slow
class TestDrivenFrameConvLSTM(PredictorPromises):
    steps = 60
    far = 500

    def make(self):
        return make(conditions={"sound": 2})


@pytest.mark.parametrize("size", [(12, 12), (9, 14), (3, 5)])
def test_patches_lose_nothing(size):
    model = make((*size, 3))
    frames = np.random.default_rng(0).uniform(size=(2, 3, *size, 3)).astype("float32")
    patches = model.to_patches(frames)
    assert patches.shape == (2, 3, -(-size[0] // 4), -(-size[1] // 4), 48)
    assert np.array_equal(model.to_frames(patches), frames)


def test_a_patch_holds_what_lies_there():
    frames = np.arange(64, dtype="float32").reshape(1, 1, 8, 8, 1)
    patches = make((8, 8, 1)).to_patches(frames)
    assert patches[0, 0, 1, 0].tolist() == [32, 33, 34, 35, 40, 41, 42, 43, 48, 49, 50, 51, 56, 57, 58, 59]


def test_it_starts_at_the_last_frame_and_its_loss_is_that_of_frames():
    model = make(readout=[])
    model.dynamics.network.output_layer.last.kernel.assign(
        np.zeros(model.dynamics.network.output_layer.last.kernel.shape, np.float32)
    )
    frames = blobs(np.arange(2), 6, (12, 12, 1))
    made, state = model.observe(frames)
    assert np.allclose(made, frames, atol=1e-6)
    assert np.allclose(model.imagine(state, 2, seed=0)[0], frames[:, -1:], atol=1e-6)
    network = model.dynamics.network
    loss = network.compute_loss(y_pred=network({"mean": model.to_patches(frames)}))
    # Three known frames: forecasts of frames 1 to 3 from the true ones, of 4 and 5 from the third on.
    said = frames[:, [0, 1, 2, 2, 2]]
    assert float(loss) == pytest.approx(np.mean(np.sum((said - frames[:, 1:]) ** 2, axis=(2, 3, 4))), rel=1e-4)


def test_a_patch_of_nothing():
    with pytest.raises(UsageError, match="conv-lstm: patch is 0; expected a side of 1 pixel or more"):
        make(patch=0)


def test_a_state_of_an_earlier_version_lacks_the_units_of_inputs_and_outputs(tmp_path):
    from safetensors.numpy import load_file, save_file

    from latentseq_plugins.predictors.audio_visual import AudioVisual

    for model in (
        FrameConvLSTM([8, 8, 1], units=4, readout=[]),
        AudioVisual([8, 8, 1], {"audio": 4, "audio_mask": 1}),
    ):
        folder = tmp_path / model.name
        folder.mkdir()
        model.save_state(folder)
        tensors = load_file(folder / "weights.safetensors")
        old = {key: a for key, a in tensors.items() if not key.endswith(("/input_unit", "/unit"))}
        assert len(old) == len(tensors) - 2
        save_file(old, folder / "weights.safetensors")
        model.load_state(folder)
