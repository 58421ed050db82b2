"""Ways through Z: by hand on arrays, and from end to end on NumPy plugins."""

import numpy as np
import pytest
from honest_plugins import HonestEncoder
from scipy.interpolate import make_interp_spline

from latentseq.arrays import to_float
from latentseq.commands.interpolate import between, curve, distances, interpolate, place
from latentseq.commands.train_ae import train_ae
from latentseq.commands.train_lstm import train_lstm
from latentseq.data.open import open_data
from latentseq.errors import DataError, UsageError
from latentseq.storage.artifact import read_artifact
from latentseq.training.budget import Budget

SQUARES = {"count": 12, "length": 12, "size": 16}
ALLOWED = ["honest-encoder", "honest-dynamics", "numpy-pca"]


@pytest.fixture(scope="module")
def runs(honest, tmp_path_factory):
    """An encoder with a posterior and one without, of squares; dynamics on the first."""
    folder = tmp_path_factory.mktemp("runs")
    for name, encoder in (("ae", "honest-encoder"), ("pca", "numpy-pca")):
        options = {"latent_dim": 4}
        out = folder / name
        train_ae(
            "moving-squares",
            out,
            encoder=encoder,
            options=options,
            data_options=SQUARES,
            budget=Budget(steps=2),
            quiet=True,
        )
    rest = {"data_options": SQUARES, "allow_plugins": ALLOWED, "budget": Budget(steps=2), "quiet": True}
    train_lstm("moving-squares", folder / "ae", folder / "lstm", dynamics="honest-dynamics", **rest)
    return folder


@pytest.fixture
def made(runs, tmp_path):
    """Interpolates, and gives the arrays: frames and latents."""

    def call(model="pca", **options):
        out, known = tmp_path / "out.npz", {"data_options": SQUARES, "allow_plugins": ALLOWED}
        interpolate(runs / model, "moving-squares", out, **{**known, **options}, overwrite=True)
        with np.load(out) as file:
            return dict(file)

    return call


@pytest.fixture
def encoded(runs):
    """Latents and reconstructions of frames of a clip."""

    def call(clip, start, stop, model="pca"):
        encoder = read_artifact(runs / model).allow(ALLOWED).load()
        frames = open_data("moving-squares", options=SQUARES).read(clip, start, stop).frames
        z = encoder.encode(to_float(frames)).mean
        return z, encoder.decode(z)

    return call


class TestBetween:
    A, B = np.array([[0.0, 8.0]], np.float32), np.array([[4.0, 0.0]], np.float32)

    def test_equal_steps_with_both_ends(self):
        assert between(self.A, self.B, 4).tolist() == [[0, 8], [1, 6], [2, 4], [3, 2], [4, 0]]

    def test_a_loop_returns_and_repeats_neither_end(self):
        there_and_back = [[0, 8], [1, 6], [2, 4], [3, 2], [4, 0], [3, 2], [2, 4], [1, 6]]
        assert between(self.A, self.B, 4, loop=True).tolist() == there_and_back

    def test_ends_that_move_on(self):
        a, b = np.float32([[0], [10], [20]]), np.float32([[100], [200], [300]])
        assert between(a, b, 2).tolist() == [[0], [105], [300]]
        assert between(a, b, 2, loop=True).tolist() == [[0], [105], [300], [105]]

    def test_maps(self):
        a, b = np.zeros((1, 2, 3, 4), np.float32), np.ones((1, 2, 3, 4), np.float32)
        assert (between(a, b, 2)[1] == 0.5).all()


class TestCurve:
    POINTS = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)

    def test_it_passes_through_every_point(self):
        for closed, n in ((False, 4 * 7 + 1), (True, 5 * 7)):
            found = curve(self.POINTS, 7, closed=closed)
            assert found.shape == (n, 2, 3)
            np.testing.assert_allclose(found[::7], self.POINTS, atol=1e-6)

    def test_it_is_the_natural_cubic_spline(self):
        natural = [(2, np.zeros((2, 3)))]
        other = make_interp_spline(np.arange(5), self.POINTS, k=3, bc_type=(natural, natural))
        np.testing.assert_allclose(curve(self.POINTS, 10), other(np.arange(41) / 10), atol=1e-5)

    def test_a_closed_one_has_no_seam(self):
        found = curve(self.POINTS, 50, closed=True).astype(np.float64)
        steps = np.diff(np.concatenate([found, found[:1]]), axis=0)
        bends = np.linalg.norm(np.diff(np.concatenate([steps, steps[:1]]), axis=0), axis=(1, 2))
        assert bends[-1] < 1.1 * bends[:-1].max()
        assert np.linalg.norm(steps, axis=(1, 2)).min() > 0

    def test_it_has_no_corner(self):
        steps = np.diff(curve(self.POINTS, 50).astype(np.float64), axis=0)
        assert abs(np.diff(steps, axis=0)).max() < 0.1 * abs(steps).max()

    def test_two_points_and_back(self):
        found = curve(np.float32([[0], [2]]), 2, closed=True)
        np.testing.assert_allclose(found, [[0], [1], [2], [1]], atol=1e-6)


def test_distances_are_over_the_whole_latent_and_never_0():
    assert distances(np.float32([[3, 4], [0, 0]])).ravel().tolist() == pytest.approx([5, 0])
    assert distances(np.float32([[3, 4], [0, 0]])).min() > 0
    assert distances(np.full((2, 2, 2, 1), 3, np.float32)).tolist() == np.full((2, 1, 1, 1), 6).tolist()


class TestFrames:
    def test_the_ends_are_the_reconstructions_of_the_two_frames(self, made, encoded):
        found = made(start="1:2", end="3:10", steps=6)
        (a, first), (b, last) = encoded(1, 2, 3), encoded(3, 10, 11)
        assert found["frames"].shape == (7, 16, 16, 1)
        np.testing.assert_array_equal(found["latents"][[0, -1]], np.concatenate([a, b]))
        np.testing.assert_allclose(found["frames"][[0, -1]], np.concatenate([first, last]), atol=1e-6)
        np.testing.assert_allclose(found["latents"][2], (2 * a[0] + b[0]) / 3, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("model", ["ae", "lstm"])
    def test_with_a_posterior_the_way_keeps_its_distance_from_0(self, model, made, encoded):
        z = made(model, start="1:2", end="3:10", steps=4)["latents"].astype(np.float64)
        a, b = (encoded(*where, "ae")[0][0].astype(np.float64) for where in ((1, 2, 3), (3, 10, 11)))
        np.testing.assert_array_equal(z[[0, -1]], [a, b])
        radius = np.linalg.norm([a, b], axis=1)
        np.testing.assert_allclose(np.linalg.norm(z, axis=1), np.linspace(*radius, 5), rtol=1e-5)
        # In the plane of 0, a and b, as on a great circle.
        np.testing.assert_allclose(z[2] / np.linalg.norm(z[2]), (a + b) / np.linalg.norm(a + b), rtol=1e-4, atol=1e-5)

    def test_from_the_first_to_the_last_frame_where_nothing_is_said(self, made, encoded):
        z = made(steps=2)["latents"]
        np.testing.assert_array_equal(z[0], encoded(0, 0, 1)[0][0])
        np.testing.assert_array_equal(z[2], encoded(0, 11, 12)[0][0])

    def test_a_loop_goes_on_into_its_beginning(self, made):
        z = made(start="0:0", end="3:10", steps=5, loop=True)["latents"]
        there = made(start="0:0", end="3:10", steps=5)["latents"]
        assert len(z) == 10
        np.testing.assert_array_equal(z[:6], there)
        np.testing.assert_array_equal(z[-1], there[1])


class TestClips:
    def test_one_clip_becomes_the_other(self, made, encoded):
        z = made(start="1:2", end="3:7", steps=4, clips=True)["latents"]
        (a, _), (b, _) = encoded(1, 2, 7), encoded(3, 7, 12)
        share = np.array([0, 0.25, 0.5, 0.75, 1])[:, None]
        np.testing.assert_allclose(z, (1 - share) * a + share * b, rtol=1e-4, atol=1e-5)

    def test_a_clip_that_is_too_short(self, made):
        with pytest.raises(UsageError) as error:
            made(start="1:2", end="3:8", steps=4, clips=True)
        assert str(error.value) == "Frames 8 to 12 of clip 3 were requested; it has frames 0 to 11."


class TestWalk:
    def test_it_passes_through_frames_of_the_data(self, made, encoded):
        z = made(walk=5, steps=3, seed=4)["latents"]
        every = np.concatenate([encoded(clip, 0, 12)[0] for clip in range(12)])
        nearest = np.linalg.norm(z[:, None] - every, axis=-1).min(1)
        assert len(z) == 4 * 3 + 1
        assert nearest[::3].max() < 1e-5 < nearest[1::3].min()

    def test_a_closed_walk_and_the_seed(self, made):
        z = made(walk=4, steps=3, seed=4, loop=True)["latents"]
        assert len(z) == 4 * 3
        np.testing.assert_array_equal(made(walk=4, steps=3, seed=4, loop=True)["latents"], z)
        assert not np.array_equal(made(walk=4, steps=3, seed=5, loop=True)["latents"], z)

    def test_every_frame_can_be_passed_once(self, made, encoded):
        z = made(walk=144, steps=2)["latents"][::2]
        every = np.concatenate([encoded(clip, 0, 12)[0] for clip in range(12)])
        np.testing.assert_allclose(np.sort(z, axis=0), np.sort(every, axis=0), atol=1e-4)

    @pytest.mark.parametrize("count", [0, 1, 145])
    def test_too_few_or_too_many(self, count, made):
        with pytest.raises(UsageError) as error:
            made(walk=count)
        assert str(error.value) == f"walk is {count}; expected 2 to 144, the number of frames of moving-squares."

    @pytest.mark.parametrize("other", [{"start": "0"}, {"end": "3:1"}, {"clips": True}])
    def test_it_chooses_its_frames_itself(self, other, made):
        with pytest.raises(UsageError) as error:
            made(walk=5, **other)
        assert str(error.value) == (
            "--walk passes through random frames. Leave out --start, --end and --clips, or --walk."
        )


class TestPlaces:
    @pytest.mark.parametrize(
        ("text", "found"),
        [("3:10", (3, 10)), ("7", (0, 7)), ("0.2s", (0, 5)), ("11:0.4s", (11, 10)), ("2:0s", (2, 0))],
    )
    def test_a_clip_and_a_frame_or_a_time(self, text, found):
        assert place(text, open_data("moving-squares", options=SQUARES)) == found

    def test_the_first_clip_for_testing_where_there_is_one(self):
        digits = open_data("moving-digits", options={"count": 3, "held_out": 2, "length": 5})
        assert (place("4", digits), place("0:4", digits)) == ((5, 4), (0, 4))

    @pytest.mark.parametrize("text", ["", "3:", ":3", "-1", "1.5", "a:b", "1:2:3", "soon"])
    def test_what_is_none(self, text):
        with pytest.raises(UsageError) as error:
            place(text, open_data("moving-squares", options=SQUARES))
        assert str(error.value) == (
            f"{text!r} is not a place; expected CLIP:FRAME such as 3:10, a frame of the first clip such as 10, or a "
            "time instead of the frame such as 3:1.5s."
        )

    def test_what_does_not_exist(self):
        squares = open_data("moving-squares", options=SQUARES)
        with pytest.raises(UsageError, match="Clip 12 does not exist: moving-squares has clips 0 to 11"):
            place("12:0", squares)
        with pytest.raises(UsageError, match="Frames 12 to 12 of clip 0 were requested; it has frames 0 to 11"):
            place("12", squares)


@pytest.mark.parametrize("suffix", [".npz", ".png", ".gif"])
def test_frames_that_are_not_finite_are_not_written(runs, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(HonestEncoder, "decode", lambda self, z: np.full((len(z), *self.input_shape), np.nan))
    out = tmp_path / f"out{suffix}"
    with pytest.raises(DataError) as error:
        interpolate(runs / "ae", "moving-squares", out, data_options=SQUARES, allow_plugins=ALLOWED)
    told = "The encoder honest-encoder decodes frames with values that are not finite. Train it again."
    assert str(error.value) == told
    assert not out.exists()


def test_too_few_steps(made):
    with pytest.raises(UsageError) as error:
        made(steps=1)
    assert str(error.value) == "steps is 1; expected 2 or more, so that there is a frame between the ends."


def test_frames_of_another_size(made, runs):
    with pytest.raises(DataError) as error:
        made(data_options={"count": 2})
    assert str(error.value) == (
        f"The frames of moving-squares are 40 x 40 x 1 (h x w x c); the encoder in {runs / 'pca'} was trained on "
        "16 x 16 x 1. Use data of that size."
    )
