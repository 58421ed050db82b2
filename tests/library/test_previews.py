"""What a run draws of itself."""

import io

import numpy as np
import pytest
from honest_plugins import HonestDynamics, HonestEncoder
from PIL import Image

from latentseq.arrays import Clip
from latentseq.errors import DataError
from latentseq.protocols import Dataset
from latentseq.storage.latents import LatentFolder, write_latents
from latentseq.training.previews import reconstructions, rollouts
from latentseq.training.watch import Watcher


class TwoClips(Dataset):
    """Two clips of random frames: the last tenth of the first is no frame at all."""

    name, description = "two-clips", "Random frames."
    frame_shape = (8, 8, 1)
    lengths = np.array([4, 40])

    def read(self, i, start=0, stop=None):
        frames = np.random.default_rng(i).integers(0, 256, (self.lengths[i], 8, 8, 1), np.uint8)
        return Clip(frames[start:stop], {})


def size(png):
    return Image.open(io.BytesIO(png)).size


def test_clips_too_short_to_hold_anything_out_do_not_stop_a_preview(tmp_path):
    data, encoder = TwoClips(), HonestEncoder((8, 8, 1))
    write_latents(data, encoder, "f" * 64, tmp_path / "z", Watcher(quiet=True))
    folder = LatentFolder(tmp_path / "z")
    width, height = size(rollouts(HonestDynamics((4,)), encoder, folder))
    assert width > height > 100
    assert size(reconstructions(encoder, data))[1] > 100


class Gray(HonestEncoder):
    """Decodes every latent to one gray."""

    def decode(self, z):
        return np.full((len(z), *self.input_shape), 204 / 255, np.float32)


class DarkClips(TwoClips):
    """Clips of one darker gray."""

    def read(self, i, start=0, stop=None):
        clip = super().read(i, start, stop)
        return Clip(np.full_like(clip.frames, 51), {})


def test_reconstructions_stand_below_their_frames_at_the_same_size():
    picture = np.asarray(Image.open(io.BytesIO(reconstructions(Gray((8, 8, 1)), DarkClips()))).convert("RGB"))
    frames, decoded = (np.argwhere((picture == gray).all(-1)) for gray in (51, 204))
    # Some pixels of a label may have the gray of a frame by chance.
    assert len(decoded) > 8 * 64 and len(frames) == pytest.approx(len(decoded), rel=0.01)
    assert np.median(frames[:, 0]) < np.median(decoded[:, 0])
    assert np.median(frames[:, 1]) == pytest.approx(np.median(decoded[:, 1]), abs=2)


def test_a_preview_of_what_is_not_finite_is_refused(tmp_path):
    data, encoder = TwoClips(), HonestEncoder((8, 8, 1))
    encoder.mean[5] = np.nan
    with pytest.raises(DataError, match=r"^The model predicts frames with values that are not finite\."):
        reconstructions(encoder, data)


def test_latents_of_many_short_clips_are_those_of_each(tmp_path):
    data, encoder = TwoClips(), HonestEncoder((8, 8, 1))
    data.lengths = np.array([3, 300, 1, 257, 2])
    write_latents(data, encoder, "f" * 64, tmp_path / "z", Watcher(quiet=True))
    folder = LatentFolder(tmp_path / "z")
    assert folder.lengths.tolist() == data.lengths.tolist()
    for i, length in enumerate(data.lengths):
        mean = encoder.encode(data.read(i).frames).mean
        np.testing.assert_allclose(folder.read(i, 0, length)["mean"], mean, atol=1e-5)
