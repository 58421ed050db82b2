"""-log p along a clip: hand values on NumPy plugins, and a model that learnt how a ball bounces."""

import numpy as np
import pytest
from honest_plugins import HonestDynamics, HonestEncoder, HonestForecast, HonestPredictor, MapDynamics, MapEncoder
from scipy.stats import norm

from latentseq.arrays import Clip
from latentseq.commands import surprise as module
from latentseq.commands.surprise import moments, surprisal
from latentseq.errors import DataError, UsageError
from latentseq.models.latent import LatentPredictor
from latentseq.protocols import Dataset

SHAPE = (4, 4, 1)


class Noise(Dataset):
    """Clips of noise with a stream, and a log of what is read."""

    name = "noise"

    def __init__(self, lengths=(9, 23), width=2):
        random = np.random.default_rng(3)
        self.frames = [random.integers(0, 256, (n, *SHAPE), np.uint8) for n in lengths]
        self.actions = [random.normal(size=(n, width)).astype(np.float32) for n in lengths]
        self.streams = {"action": width} if width else {}
        self.asked = []

    lengths = property(lambda self: np.array([len(f) for f in self.frames]))
    frame_shape = SHAPE

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        self.asked.append((i, start, stop))
        return Clip(self.frames[i][start:stop], dict.fromkeys(self.streams, self.actions[i][start:stop]))


class MeanSoFar(HonestDynamics):
    """Expects the mean of all that it has seen: what it has forgotten would show."""

    def observe(self, latents, state=None, *, conditions=None):
        z = latents.mean
        before = {"sum": np.zeros_like(z[:, 0]), "count": np.zeros(len(z))} if state is None else state
        total = before["sum"][:, None] + z.cumsum(1)
        count = before["count"][:, None] + np.arange(1, z.shape[1] + 1)
        forecast = HonestForecast(total / count[..., None], self.scale)
        return forecast, {"sum": total[:, -1], "count": count[:, -1]}


def dynamics(kind=HonestDynamics, shape=(3,), **options):
    made = kind(shape, **options)
    made.gain, made.shift, made.scale = (np.full(shape[-1], x, np.float32) for x in (0.5, 0.1, 0.2))
    return made


def predictor(kind=HonestDynamics, **options):
    return LatentPredictor(HonestEncoder(SHAPE, 3), dynamics(kind, **options))


def latents(data, clip):
    """An honest encoder that has learnt nothing keeps the first pixels."""
    return data.frames[clip].reshape(-1, 16)[:, :3] / 255


def nats(z, mean, scale=0.2):
    """By hand: the first has none."""
    return np.concatenate([[np.nan], -norm.logpdf(z[1:], mean, scale).reshape(len(mean), -1).sum(1)])


def test_every_frame_by_the_density_that_the_frames_before_it_give():
    data = Noise()
    z = latents(data, 1)
    found = surprisal(predictor(), data, 1)
    assert found.shape == (23,)
    np.testing.assert_allclose(found, nats(z, 0.5 * z[:-1] + 0.1), rtol=1e-4)


def test_maps_are_summed_over_their_positions():
    data = Noise()
    model = LatentPredictor(MapEncoder(SHAPE, 3), dynamics(MapDynamics, (2, 2, 3)))
    z = model.encoder.encode(data.frames[0]).mean
    np.testing.assert_allclose(surprisal(model, data, 0), nats(z, 0.5 * z[:-1] + 0.1), rtol=1e-4)


@pytest.mark.parametrize("chunk", [1, 2, 7, 21, 22, 500])
def test_a_long_clip_is_read_once_a_stretch_at_a_time_and_nothing_is_forgotten(chunk, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", chunk)
    data = Noise()
    z = latents(data, 1)
    mean = z.cumsum(0)[:-1] / np.arange(1, 23)[:, None]
    np.testing.assert_allclose(surprisal(predictor(MeanSoFar), data, 1), nats(z, mean), rtol=1e-4)
    assert max(stop - start for _, start, stop in data.asked) <= chunk + 1
    assert [t for _, start, stop in data.asked for t in range(start, stop)] == list(range(23))


def test_large_frames_are_read_fewer_at_a_time(monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 3 * 16 + 5)
    data = Noise()
    surprisal(predictor(), data, 1)
    assert {stop - start for _, start, stop in data.asked[1:-1]} == {3}


def test_the_streams_of_a_frame_serve_the_forecast_of_the_next(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 4)
    data = Noise()
    z, push = latents(data, 1), 0.01 * data.actions[1].sum(1, keepdims=True)
    found = surprisal(predictor(conditions={"action": 2}), data, 1)
    np.testing.assert_allclose(found, nats(z, (0.5 * z + 0.1 + push)[:-1]), rtol=1e-4)


class TestRefused:
    def test_data_without_the_streams(self):
        for width, has in ((0, "no streams"), (3, "the stream action (width 3)")):
            with pytest.raises(DataError) as error:
                surprisal(predictor(conditions={"action": 2, "sound": 4}), Noise(width=width), 0)
            assert str(error.value) == (
                f"The model is driven by the streams action (width 2) and sound (width 4); noise has {has}. "
                "Use data with those streams."
            )

    def test_a_predictor_without_latents(self):
        with pytest.raises(DataError) as error:
            surprisal(HonestPredictor(SHAPE), Noise(), 0)
        assert str(error.value) == (
            "The predictor 'honest-predictor' works on frames, but surprise needs a density of latents. Expected a "
            "run folder of train-lstm."
        )

    def test_a_clip_that_is_not_there_or_a_single_frame(self):
        with pytest.raises(UsageError, match="Clip 2 does not exist: noise has clips 0 to 1"):
            surprisal(predictor(), Noise(), 2)
        with pytest.raises(DataError) as error:
            surprisal(predictor(), Noise((1,)), 0)
        assert (
            str(error.value) == "Clip 0 of noise has 1 frame; expected 2 or more, since the first is not predicted."
        )

    def test_a_density_that_is_no_number(self):
        model = predictor()
        model.dynamics.shift[1] = np.inf
        with pytest.raises(DataError) as error:
            surprisal(model, Noise(), 0)
        assert str(error.value) == (
            "-log p is inf at frame 1 of clip 0; expected a finite number. The model is damaged, or the data is "
            "unlike its training data. Train the model again, or use other data."
        )


class TestMoments:
    def test_the_highest_first(self):
        values = np.array([np.nan, 0, 5, 0, 0, 9, 0, 0, 7, 0])
        assert moments(values, 5, np.arange(10.0), 1) == [5, 8, 2]
        assert moments(values, 2, np.arange(10.0), 1) == [5, 8]

    def test_the_foot_of_a_peak_is_no_moment(self):
        values = np.array([0, 9, 8, 7, 6, 5, 4, 0, 0, 1, 0])
        assert moments(values, 5, np.arange(11.0), 2) == [1, 9]  # Not the 6, which is three frames away from the 9.

    def test_equal_values_are_one_moment_where_they_are_close(self):
        assert moments(np.zeros(10), 9, np.arange(10.0), 3) == [0, 4, 8]

    def test_apart_is_in_seconds_however_frames_are_spaced(self):
        times = np.array([0, 0.1, 0.2, 0.45, 0.6, 0.7, 5, 5.5, 6.001, 80])
        values = np.array([9, 0, 8, 0, 7, 0, 6, 5, 4, 3.0])
        # 0.2 s is within half a second of 0, 0.6 s is not, and 0.2 s, higher than it, is near it; 5.5 s is exactly
        # half a second from 5 s, 6.001 s is more than that from 5.5 s.
        assert moments(values, 9, times, 0.5) == [0, 6, 8, 9]
        assert moments(values, 9, times, 0.1) == [0, 2, 4, 6, 7, 8, 9, 3]
        assert moments(values[::-1], 9, 80 - times[::-1], 0.5) == [9, 3, 1, 0]

    @pytest.mark.parametrize("rate", [24, 25, 30000 / 1001, 60])
    def test_half_a_second_at_every_rate(self, rate):
        half = int(rate / 2)
        for gap, found in ((half, [0]), (half + 1, [0, half + 1])):
            values = np.zeros(100)
            values[[0, gap]] = 9, 8
            times = np.arange(100) / rate + 1e6
            assert [t for t in moments(values, 9, times, 0.5) if values[t]] == found

    @pytest.mark.parametrize("apart", [0, 0.4])
    def test_at_a_low_frame_rate_every_frame_is_a_moment(self, apart):
        assert moments(np.array([np.nan, 1, 3, 2]), 5, np.arange(4.0), apart) == [2, 3, 1]
