"""Predictors that are wrong in a known way: every number is expected by hand."""

import numpy as np
import pytest
from honest_plugins import HonestDynamics, HonestEncoder
from scipy.stats import norm

from latentseq.arrays import Clip
from latentseq.errors import DataError, UsageError
from latentseq.evaluation.protocol import Protocol
from latentseq.models import measure as measuring
from latentseq.models.latent import LatentPredictor
from latentseq.models.measure import measure
from latentseq.protocols import Dataset, Predictor
from latentseq.training.watch import Watcher

SHAPE = (4, 5, 1)
PIXELS = 20


class Ramps(Dataset):
    """Flat frames: clip i is at level ``i`` + its speed times t, of 255."""

    name = "ramps"
    description = "Flat frames that get brighter."

    def __init__(self, lengths: list[int], speeds: list[int], splits: list[str], streams: list[str] = ()):
        self._lengths, self.speeds, self.splits = lengths, speeds, splits
        self.split, self.streams = np.array(splits), dict.fromkeys(streams, 1)

    def get_config(self):
        return {"lengths": self._lengths}

    @property
    def lengths(self):
        return np.array(self._lengths)

    @property
    def frame_shape(self):
        return SHAPE

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        t = np.arange(start, stop)
        frames = np.broadcast_to((i + self.speeds[i] * t)[:, None, None, None], (len(t), *SHAPE)).astype(np.uint8)
        return Clip(frames, {name: np.full((len(t), 1), i, np.float32) for name in self.streams})


class Off(Predictor):
    """Copies the last frame; its reconstructions, forecasts and rollouts are off by so much more, in 255ths."""

    name = "off"
    description = "Wrong by known amounts."

    def __init__(self, reconstruction=0, forecast=0, rollout=0, noise=0.0, conditions=None):
        self.by = [np.float32(x / 255) for x in (reconstruction, forecast, rollout)]
        self.noise, self.input_shape, self.conditions = noise, SHAPE, conditions or {}
        self.seen = []

    def fit(self, source, trainer):
        raise NotImplementedError

    def save_state(self, folder): ...
    def load_state(self, folder): ...

    def observe(self, frames, state=None, *, conditions=None):
        assert {k: v.shape[:2] for k, v in conditions.items()} == dict.fromkeys(self.conditions, frames.shape[:2])
        self.seen.append(np.rint(255 * frames[:, :, 0, 0, 0]).astype(int).tolist())
        return frames + self.by[1], {"last": frames[:, -1]}

    def imagine(self, state, steps, *, seed, temperature=1.0, conditions=None):
        assert {k: v.shape[1] for k, v in (conditions or {}).items()} == dict.fromkeys(self.conditions, steps)
        frames = np.repeat(state["last"][:, None], steps, axis=1) + self.by[2]
        drawn = np.random.default_rng(seed).normal(size=frames.shape)
        return (frames + temperature**0.5 * self.noise * drawn).astype(np.float32), state

    def reconstruct(self, frames):
        return frames + self.by[0]


def measured(models, dataset, **options):
    return measure(models, dataset, Protocol(**options), Watcher(quiet=True))


def squared(*levels):
    """Of a flat frame that is off by so many 255ths."""
    return [pytest.approx(PIXELS * (level / 255) ** 2, rel=1e-4, abs=1e-8) for level in levels]


RAMPS = Ramps([6, 9, 30, 11], [2, 1, 3, 5], ["train", "validation", "test", "test"])


def test_the_error_of_each_part_by_hand():
    """Test clips get 3 and 5 brighter a frame; the last known frame is copied, and 1, 2 or 4 more added."""
    one = Ramps([6, 20], [2, 3], ["train", "test"])
    found = measured({"off": Off(1, 2, 4)}, one, context=2, horizon=3).metrics["models"]["off"]
    # The truth is 3, 6 and 9 above the last known frame, and 3 above the frame before it.
    assert found["prediction"]["mse"]["by_horizon"] == squared(3 - 4, 6 - 4, 9 - 4)
    assert found["prediction"]["mae"]["by_horizon"] == [
        pytest.approx(PIXELS * level / 255, rel=1e-4) for level in (1, 2, 5)
    ]
    assert found["reconstruction"]["mse"]["by_horizon"] == squared(1, 1, 1)
    parts = found["attribution"]
    assert parts["reconstruction"]["by_horizon"] == squared(1, 1, 1)
    unit = PIXELS / 255**2
    np.testing.assert_allclose(parts["one_step"]["by_horizon"], [0, 0, 0], atol=1e-6)  # Off by 3 - 2 each.
    np.testing.assert_allclose(parts["drift"]["by_horizon"], [0, 3 * unit, 24 * unit], rtol=1e-4, atol=1e-6)
    total = sum(np.array([part["mean"], *part["by_horizon"]]) for part in parts.values())
    mse = found["prediction"]["mse"]
    np.testing.assert_allclose(total, [mse["mean"], *mse["by_horizon"]], rtol=1e-4)
    assert found["parameters"] is None
    assert "linear_in_z" not in found and "bits_per_dimension" not in found and "ensemble" not in found


def test_the_floors_by_hand():
    one = Ramps([6, 20, 9], [2, 3, 7], ["train", "test", "validation"])
    found = measured({"off": Off()}, one, context=2, horizon=3).metrics
    floors = {name: scores["mse"]["by_horizon"] for name, scores in found["floors"].items()}
    assert floors["copy_last"] == squared(3, 6, 9)
    assert floors["mean_of_inputs"] == squared(4.5, 7.5, 10.5)
    # Four windows: levels 1 + 3t, at t = 2, 7, 12 and 17 and the two after.
    levels = np.array([[7, 10, 13], [22, 25, 28], [37, 40, 43], [52, 55, 58]])
    assert floors["black"] == squared(*np.sqrt(np.square(levels).mean(0)))
    # Training pairs start at t = 0 to 4, of levels 2t: their first frames are 4 in the mean.
    assert floors["train_mean"] == squared(*np.sqrt(np.square(levels - 4).mean(0)))
    said = found["protocol"]
    assert (said["windows"], said["clips"], said["training_frames"]) == (4, 1, 5)
    assert said["data"]["options"] == {"lengths": [6, 20, 9]}


class Edges(Ramps):
    """Ramps whose left side is black, so that every frame has one edge."""

    def read(self, i, start=0, stop=None):
        clip = super().read(i, start, stop)
        return Clip(np.where(np.arange(5)[:, None] < 2, 0, clip.frames).astype(np.uint8), clip.streams)


def test_sharpness_is_the_share_of_the_edges_of_the_truth():
    """Clips of levels 1 + 3t and 2 + 5t; the mean over clips comes before the share."""
    found = measured({"off": Off(rollout=9)}, Edges([6, 4, 4], [2, 3, 5], ["train", "test", "test"]), context=2,
                     horizon=2).metrics  # fmt: skip
    levels = np.array([[1 + 3, 1 + 6, 1 + 9], [2 + 5, 2 + 10, 2 + 15]])
    known, *later = levels.mean(axis=0)
    wanted = [pytest.approx(known / level, rel=1e-4) for level in later]
    assert found["floors"]["copy_last"]["sharpness"]["by_horizon"] == wanted
    # More light everywhere makes no edge higher.
    assert found["models"]["off"]["prediction"]["sharpness"]["by_horizon"] == wanted
    assert found["models"]["off"]["reconstruction"]["sharpness"] == {"mean": 1.0, "by_horizon": [1.0, 1.0]}
    assert found["floors"]["black"]["sharpness"] == {"mean": 0.0, "by_horizon": [0.0, 0.0]}


def test_where_the_truth_is_flat_nothing_is_said_of_sharpness():
    found = measured({"off": Off()}, Ramps([6, 9], [2, 3], ["train", "test"]), context=2, horizon=3).metrics
    assert found["floors"]["black"]["sharpness"] == {"mean": None, "by_horizon": [None] * 3}


def test_windows_cross_no_clip_and_overlie_nowhere(monkeypatch):
    monkeypatch.setattr(measuring, "BATCH_VALUES", 3 * 5 * PIXELS)  # Three windows at a time.
    off = Off()
    found = measured({"off": off}, RAMPS, context=2, horizon=3)
    known = [window for batch in off.seen[::2] for window in batch]
    assert known == [[2 + 3 * t, 2 + 3 * (t + 1)] for t in range(0, 30, 5)] + [[3, 8], [28, 33]]
    assert (len(found.windows), found.metrics["protocol"]["clips"]) == (8, 2)
    assert [len(batch) for batch in off.seen[::2]] == [3, 3, 2]
    few = measured({"off": Off()}, RAMPS, context=2, horizon=3, clips=3)
    assert few.windows.take(np.arange(3))["frames"][:, 0, 0, 0, 0] * 255 == pytest.approx([2, 47, 28])


def test_batches_do_not_change_the_numbers(monkeypatch):
    whole = measured({"off": Off(1, 2, 4)}, RAMPS, context=2, horizon=3)
    monkeypatch.setattr(measuring, "BATCH_VALUES", 1)
    single = measured({"off": Off(1, 2, 4)}, RAMPS, context=2, horizon=3)
    assert single.metrics == whole.metrics
    np.testing.assert_array_equal(single.errors["off"], whole.errors["off"])


def test_samples_are_measured_and_the_same_for_a_seed():
    options = {"context": 2, "horizon": 3, "samples": 5, "temperature": 0.25}
    found = measured({"off": Off(noise=0.2)}, RAMPS, **options, seed=3)
    ensemble = found.metrics["models"]["off"]["ensemble"]
    assert found.metrics == measured({"off": Off(noise=0.2)}, RAMPS, **options, seed=3).metrics
    assert (
        ensemble != measured({"off": Off(noise=0.2)}, RAMPS, **options, seed=4).metrics["models"]["off"]["ensemble"]
    )
    # A deviation of 0.2 at a temperature of 0.25 is one of 0.1; six fifths for the five samples.
    assert ensemble["spread"]["mean"] == pytest.approx(0.1 * np.sqrt(6 / 5), rel=0.05)
    assert len(ensemble["crps"]["by_horizon"]) == 3
    still = measured({"off": Off(noise=0.2)}, RAMPS, context=2, horizon=3).metrics["models"]["off"]
    assert still["prediction"] == found.metrics["models"]["off"]["prediction"]  # At temperature 0.


def test_certain_samples_have_the_error_of_the_rollout_and_no_spread():
    found = measured({"off": Off(rollout=1)}, RAMPS, context=2, horizon=3, samples=3).metrics["models"]["off"]
    for key in ("mse", "mae", "psnr", "ssim", "ssim_range_2"):
        assert found["ensemble"][f"best_{key}"] == found["prediction"][key]
    assert found["ensemble"]["crps"]["by_horizon"] == [
        pytest.approx(x, rel=1e-4) for x in found["prediction"]["mae"]["by_horizon"]
    ]
    assert found["ensemble"]["spread"]["mean"] == found["ensemble"]["ratio"]["mean"] == pytest.approx(0, abs=1e-6)


def latent():
    """Z is twelve times the first two pixels; the next is forecast as 0.9 of it plus 0.1, 0.5 and 2 wide."""
    encoder = HonestEncoder(SHAPE, latent_dim=2)
    encoder.axes *= 12
    dynamics = HonestDynamics((2,))
    dynamics.gain, dynamics.shift = np.float32([0.9, 0.9]), np.float32([0.1, 0.1])
    dynamics.scale = np.float32([0.5, 2.0])
    return LatentPredictor(encoder, dynamics)


def test_bits_per_dimension_and_persistence_by_scipy():
    """The usual step is that of the training clip, 2 a frame; never that of the test clip, 3 a frame."""
    one = Ramps([6, 5], [2, 3], ["train", "test"])
    found = measured({"z": latent()}, one, context=2, horizon=3).metrics["models"]["z"]["bits_per_dimension"]
    z = 12 * (1 + 3 * np.arange(5)) / 255
    nats = sum(norm.logpdf(z[2:], 0.9 * z[1:-1] + 0.1, scale) for scale in (0.5, 2.0))
    np.testing.assert_allclose(found["model"]["by_horizon"], -nats / np.log(2) / 2, rtol=1e-4)
    floor = norm.logpdf(z[2:], z[1:-1], 12 * 2 / 255)
    np.testing.assert_allclose(found["persistence"]["by_horizon"], -floor / np.log(2), rtol=1e-4)


def test_straight_on_in_z_is_decoded():
    """The true path is straight in Z, so that nothing but the reconstruction is wrong."""
    one = Ramps([6, 5], [2, 3], ["train", "test"])
    predictor = latent()
    predictor.encoder.decode = lambda z: np.broadcast_to(z[:, :1, None, None] / 12, (len(z), *SHAPE))
    found = measured({"z": predictor}, one, context=2, horizon=3).metrics["models"]["z"]
    assert found["linear_in_z"]["mse"]["mean"] == pytest.approx(0, abs=1e-9)
    assert found["prediction"]["mse"]["mean"] > 1e-3
    assert "linear_in_z" not in measured({"z": predictor}, one, context=1, horizon=3).metrics["models"]["z"]


def test_data_without_training_frames_has_no_train_mean_and_no_persistence():
    found = measured({"z": latent()}, Ramps([9, 9], [1, 2], ["test", "test"]), context=2, horizon=3).metrics
    assert list(found["floors"]) == ["black", "copy_last", "mean_of_inputs"]
    assert list(found["models"]["z"]["bits_per_dimension"]) == ["model"]
    assert found["protocol"]["training_frames"] == 0


def test_streams_drive_a_model():
    driven = Ramps([6, 20], [2, 3], ["train", "test"], ["sound"])
    found = measured({"off": Off(conditions={"sound": 1})}, driven, context=2, horizon=3, samples=2)
    assert found.metrics["models"]["off"]["prediction"]["mse"]["by_horizon"] == squared(3, 6, 9)
    with pytest.raises(DataError) as caught:
        measured({"off": Off(conditions={"sound": 1})}, RAMPS, context=2, horizon=3)
    assert str(caught.value) == (
        "The model off is driven by the stream sound (width 1); ramps has no streams. Use data with those streams."
    )


def test_a_context_that_is_too_short_for_a_model():
    late = Off()
    late.context = 3
    with pytest.raises(UsageError) as caught:
        measured({"early": Off(), "late": late}, RAMPS, context=2, horizon=3)
    assert str(caught.value) == (
        "The model late predicts from 3 frames, and the context is 2. Use --context 3 or more."
    )


class Loud(Ramps):
    """Ramps whose stream ``sound`` says the speed, and ``sound_mask`` that it is there."""

    def read(self, i, start=0, stop=None):
        clip = super().read(i, start, stop)
        sound = np.full((len(clip.frames), 1), self.speeds[i], np.float32)
        return Clip(clip.frames, {"sound": sound, "sound_mask": np.ones_like(sound)})


class Listener(Off):
    """Brighter by what it hears, by 10 more where it hears nothing, and by what it last heard of what it saw."""

    def observe(self, frames, state=None, *, conditions=None):
        forecast, state = super().observe(frames, state, conditions=conditions)
        return forecast, state | {"heard": conditions["sound"][:, -1]}

    def imagine(self, state, steps, *, seed, temperature=1.0, conditions=None):
        step = conditions["sound"] + 10 * (1 - conditions["sound_mask"])
        by = np.cumsum(step, axis=1) + state["heard"][:, None]
        return (state["last"][:, None] + by[..., None, None] / 255).astype(np.float32), state


def test_what_a_stream_contributes_by_hand():
    data = Loud([6, 5, 5], [1, 2, 5], ["train", "test", "test"], ["sound", "sound_mask"])
    listener = Listener(conditions={"sound": 1, "sound_mask": 1})
    found = measured({"listener": listener}, data, context=2, horizon=3).metrics["models"]["listener"]
    rms = lambda *levels: float(np.sqrt(np.mean(np.square(levels))))  # noqa: E731
    # Two windows, of speed 2 and of speed 5: it is ahead by what it heard last.
    assert found["prediction"]["mse"]["by_horizon"] == squared(*[rms(2, 5)] * 3)
    assert list(found["streams"]) == ["sound"]  # The mask goes with it.
    muted, shuffled = (found["streams"]["sound"][way]["mse"]["by_horizon"] for way in ("muted", "shuffled"))
    assert muted == squared(rms(10 - 2, 10 - 5), rms(20 - 4, 20 - 10), rms(30 - 6, 30 - 15))
    # The other window's sound, while it looks and after.
    assert shuffled == squared(rms(5 + 5 - 2, 2 + 2 - 5), rms(5 + 10 - 4, 2 + 4 - 10), rms(5 + 15 - 6, 2 + 6 - 15))


def test_a_single_window_has_no_other_to_take_a_stream_from():
    data = Loud([6, 5], [1, 2], ["train", "test"], ["sound", "sound_mask"])
    listener = Listener(conditions={"sound": 1, "sound_mask": 1})
    models = measured({"off": Off(), "listener": listener}, data, context=2, horizon=3).metrics["models"]
    assert list(models["listener"]["streams"]["sound"]) == ["muted"]
    assert "streams" not in models["off"]


@pytest.mark.parametrize(
    ("wrong", "does"),
    [((np.nan, 0, 0), "reconstructs"), ((0, np.inf, 0), "forecasts"), ((0, 0, np.nan), "imagines")],
)
def test_a_model_that_is_broken(wrong, does):
    with pytest.raises(DataError) as caught:
        measured({"off": Off(*wrong)}, RAMPS, context=2, horizon=3)
    assert str(caught.value) == f"The model off {does} frames with values that are not finite. Train it again."


def test_the_parameters_of_all_parts_are_counted(monkeypatch):
    predictor = latent()
    assert predictor.count_parameters() is None
    monkeypatch.setattr(predictor.encoder, "count_parameters", lambda: 12)
    assert predictor.count_parameters() == 12
    monkeypatch.setattr(predictor.dynamics, "count_parameters", lambda: 30)
    assert predictor.count_parameters() == 42
