"""Windows cut out where something moves: which, of what, and the same ones every time."""

import json

import numpy as np
import pytest

from latentseq.arrays import Clip
from latentseq.commands.encode import encode
from latentseq.commands.train_ae import train_ae
from latentseq.data.crops import CropRecipe, Crops, draw, motion_of
from latentseq.data.open import open_data
from latentseq.data.splits import split_ranges
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Dataset
from latentseq.storage.frames import write_clips
from latentseq.testing import DatasetPromises
from latentseq.training.budget import Budget
from latentseq.training.watch import Watcher
from latentseq_cli.main import run

QUIET = Watcher(quiet=True)


class Places(Dataset):
    """Frames whose pixels say where they are: 16 times the row plus the column, the frame, the clip."""

    name = "places"
    description = "Where they are."
    fps = 12.5
    streams = {"when": 2}  # noqa: RUF012

    def __init__(self, lengths: list[int], split: list[str] | None = None):
        self._lengths = lengths
        self.split = None if split is None else np.array(split)

    lengths = property(lambda self: np.array(self._lengths, np.int64))
    frame_shape = (12, 16, 3)

    def get_config(self):
        return {"lengths": self._lengths}

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        t, y, x = np.meshgrid(np.arange(start, stop), np.arange(12), np.arange(16), indexing="ij")
        frames = np.stack([16 * y + x, t, np.full_like(t, i)], -1).astype(np.uint8)
        when = np.arange(start, stop, dtype=np.float32)[:, None]
        return Clip(frames, {"when": np.concatenate([when, when + 1000 * i], 1)})


class Blinking(Places):
    """Gray frames of 12 x 16; from frame 60 on, the left half turns from black to white and back."""

    frame_shape = (12, 16, 1)

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        frames = np.zeros((stop - start, 12, 16, 1), np.uint8)
        for t in range(max(start, 60), stop):
            frames[t - start, :, :8] = 255 * (t % 2)
        return Clip(frames, {"when": np.zeros((stop - start, 2), np.float32)})


def anything(dataset, crop=5, clip_length=4, count=60, **options):
    """Crops that need not move."""
    return Crops(dataset, crop, clip_length, count, **{"motion": 0.0, **options})


def frames_used(crops, split):
    """{(clip, frame), …} that the crops of one split are cut from, as their pixels say."""
    used = set()
    for i in np.flatnonzero(crops.split == split).tolist():
        frames = crops.read(i).frames
        used |= set(zip(frames[..., 2].ravel().tolist(), frames[..., 1].ravel().tolist(), strict=True))
    return used


def refused(call, kind):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_motion_by_hand():
    clip = np.zeros((3, 2, 2, 1), np.uint8)
    assert motion_of(clip) == 0
    clip[1] = 255
    assert motion_of(clip) == 1
    clip[1] = 0
    clip[2, 0, 0] = 51
    assert motion_of(clip) == pytest.approx(51 / 255 / 8)


def test_what_is_drawn_is_a_window_at_any_place():
    frames = Places([6]).read(0).frames[:, :4, :5]
    seen = set()
    for seed in range(300):
        t, crop = draw(frames, CropRecipe(3, 4, 1, 0.5), np.random.default_rng(seed))
        y, x = divmod(int(crop[0, 0, 0, 0]), 16)
        np.testing.assert_array_equal(crop, frames[t : t + 4, y : y + 3, x : x + 3])
        seen.add((t, y, x))
    assert seen == {(t, y, x) for t in range(3) for y in range(2) for x in range(3)}
    t, whole = draw(frames, CropRecipe(4, 6, 1, 0.5), np.random.default_rng(0))
    assert (t, whole.shape) == (0, (6, 4, 4, 3))


def test_the_same_seed_draws_the_same():
    frames = Places([50]).read(0).frames
    recipe = CropRecipe(4, 5, 0.5, 0)
    first, second = ([draw(frames, recipe, r) for _ in range(20)] for r in map(np.random.default_rng, (3, 3)))
    assert [t for t, _ in first] == [t for t, _ in second]
    np.testing.assert_array_equal([c for _, c in first], [c for _, c in second])
    other = np.random.default_rng(4)
    assert [t for t, _ in first] != [draw(frames, recipe, other)[0] for _ in range(20)]


@pytest.mark.parametrize("motion", [0.05, 0.2, 0.5])
def test_what_must_move_moves_enough(motion):
    frames = Blinking([80]).read(0).frames
    random, recipe = np.random.default_rng(0), CropRecipe(4, 5, 0, motion)
    found = [draw(frames, recipe, random) for _ in range(200)]
    moves = [np.abs(np.diff(crop.astype(float), axis=0)).mean() / 255 for _, crop in (each for each in found if each)]
    assert len(moves) > 100
    assert min(moves) >= motion
    assert min(moves) < motion + 0.2  # Those that move just enough are not left out.


def test_the_still_share_need_not_move():
    frames = np.zeros((8, 6, 6, 1), np.uint8)
    random = np.random.default_rng(0)
    drawn = [draw(frames, CropRecipe(4, 5, 0.3, 0.1), random) for _ in range(1000)]
    assert 250 < sum(each is not None for each in drawn) < 350
    assert draw(frames, CropRecipe(4, 5, 0, 0.1), random) is None
    assert draw(frames, CropRecipe(4, 5, 1, 0.1), random) is not None
    assert draw(frames, CropRecipe(4, 5, 0, 0), random) is not None


def test_a_clip_is_the_same_every_time_it_is_read():
    crops, again = anything(Places([40, 30, 30, 30])), anything(Places([40, 30, 30, 30]))
    whole = [crops.read(i) for i in range(60)]
    for i in np.random.default_rng(0).permutation(60).tolist():
        for start, stop in ((0, 4), (1, 3), (3, 4)):
            for found in (crops.read(i, start, stop), again.read(i, start, stop)):
                np.testing.assert_array_equal(found.frames, whole[i].frames[start:stop])
                np.testing.assert_array_equal(found.streams["when"], whole[i].streams["when"][start:stop])
    other = anything(Places([40, 30, 30, 30]), crop_seed=1)
    assert any((other.read(i).frames != whole[i].frames).any() for i in range(60))
    assert len({clip.frames.tobytes() for clip in whole}) > 50


def test_every_clip_is_cut_out_of_one_place_with_the_streams_of_its_frames():
    dataset = Places([40, 30, 30, 30])
    crops = anything(dataset)
    assert (crops.fps, crops.streams, crops.slow, crops.frame_shape) == (12.5, {"when": 2}, False, (5, 5, 3))
    assert crops.lengths.tolist() == [4] * 60
    for i in range(60):
        found = crops.read(i)
        first, clip = int(found.frames[0, 0, 0, 1]), int(found.frames[0, 0, 0, 2])
        y, x = divmod(int(found.frames[0, 0, 0, 0]), 16)
        whole = dataset.read(clip, first, first + 4)
        np.testing.assert_array_equal(found.frames, whole.frames[:, y : y + 5, x : x + 5])
        np.testing.assert_array_equal(found.streams["when"], whole.streams["when"])


@pytest.mark.parametrize(
    ("lengths", "split"),
    [
        ([100], None),
        ([90, 120], None),
        ([20] * 20, None),
        ([30, 8, 30, 12, 9], ["train", "test", "train", "validation", "train"]),
        ([30, 30, 30], ["train", "train", "test"]),
    ],
)
def test_the_splits_are_those_of_the_data_and_share_no_frame(lengths, split):
    crops = anything(Places(lengths, split), count=400)
    used = {name: frames_used(crops, name) for name in ("train", "validation", "test")}
    ranges = split_ranges(np.array(lengths), None if split is None else np.array(split))
    for name, rows in ranges.items():
        allowed = {(i, t) for i, start, stop in rows.tolist() for t in range(start, stop)}
        assert used[name] <= allowed
        assert len(used[name]) > 0.8 * len(allowed)


def test_each_split_has_its_share_of_the_clips():
    def counts(dataset, count):
        split = anything(dataset, count=count).split.tolist()
        return [split.count(name) for name in ("train", "validation", "test")]

    assert counts(Places([100]), 1000) == [800, 100, 100]
    assert counts(Places([200, 30, 50], ["train", "test", "validation"]), 280) == [200, 50, 30]
    assert sum(counts(Places([37] * 7), 101)) == 101
    # Three frames are too few for a clip of four, and count for nothing.
    assert counts(Places([60, 3, 20, 20], ["train", "train", "validation", "test"]), 100) == [60, 20, 20]
    assert counts(Places([60, 20], ["train", "validation"]), 80) == [60, 20, 0]


@pytest.mark.parametrize("still", [0.0, 0.1, 0.4])
def test_as_many_stand_still_as_may_where_most_of_the_film_does(still):
    crops = Crops(Blinking([80, 80], ["train", "validation"]), 4, 5, 800, still=still, motion=0.2)
    held = np.mean([motion_of(crops.read(i).frames) < 0.2 for i in range(400)])
    # A quarter of the places has a window that moves; those that need not move may do so all the same.
    assert 0.7 * still <= held < still + 0.04


def test_where_nothing_moves_a_still_one_is_taken():
    still = Crops(Blinking([50]), 4, 5, 10, still=0.0, motion=0.5)
    assert all(still.read(i).frames.shape == (5, 4, 4, 1) for i in range(10))


def test_the_fingerprint_is_of_the_data_and_the_options():
    made = [
        anything(Places([40])),
        anything(Places([41])),
        anything(Places([40]), crop=4),
        anything(Places([40]), crop_seed=1),
        anything(Places([40]), still=0.5),
    ]
    assert len({crops.fingerprint() for crops in made}) == 5
    assert made[0].fingerprint() == anything(Places([40])).fingerprint()
    assert made[0].get_config() == {
        "lengths": [40],
        "crop": 5,
        "clip_length": 4,
        "count": 60,
        "still": 0.05,
        "motion": 0.0,
        "crop_seed": 0,
    }


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"crop": 0}, UsageError, "Option crop is 0; expected a side of 1 pixel or more."),
        ({"clip_length": 1}, UsageError, "Option clip_length is 1; expected crops of 2 frames or more."),
        ({"still": 1.5}, UsageError, "Option still is 1.5; expected a share from 0 to 1."),
        ({"motion": 1.0}, UsageError, "Option motion is 1.0; expected a number from 0 to below 1."),
        ({"count": 0}, UsageError, "Option count is 0; expected 1 crop or more."),
        ({"crop_seed": -1}, UsageError, "Option crop_seed is -1; expected a whole number of 0 or more."),
        ({"crop": "5"}, UsageError, "crops: option crop is '5'; expected int."),
        (
            {"crop": 13},
            DataError,
            "The frames of places are 12 x 16 (h x w), too small for crops of 13 x 13. Choose a smaller crop.",
        ),
        (
            {"clip_length": 33},
            DataError,
            "No training clip of places has 33 frames. Choose shorter crops.",
        ),
    ],
)
def test_what_cannot_be_cut_out(options, kind, message):
    dataset = Places([40])  # Of which 32 frames are for training.
    config = {"dataset": dataset, "crop": 5, "clip_length": 4, **options}
    assert refused(lambda: Crops.from_config(config), kind) == message


class TestPromises(DatasetPromises):
    """Of what a dataset gives; it is made of another one, so that its configuration alone builds none."""

    test_c02_config_is_json = None
    test_c03_config_builds_the_same = None

    def make(self):
        return open_data("moving-squares", options={"size": 24, "crop": 8, "clip_length": 5, "count": 12})

    def again(self, **changes):
        options = {"size": 24, "crop": 8, "clip_length": 5, "count": 12, **changes}
        return open_data("moving-squares", options=options)


def test_options_of_crops_go_with_crop_only():
    assert refused(lambda: open_data("moving-squares", options={"still": 0.5}), UsageError) == (
        "moving-squares has no option 'still'. Its options: count, length, seed and size."
    )
    assert refused(lambda: open_data("moving-squares", options={"crop": 8, "sise": 9}), UsageError) == (
        "moving-squares has no option 'sise'. Did you mean 'size'? Its options: count, length, seed and size."
    )


@pytest.fixture
def clips(tmp_path, write_movie):
    """A folder of clips of 20 x 40, made of every second frame of films that are stretched."""
    for name in "abcd":
        write_movie(f"films/{name}.mp4", 24)
    options = {"size": [20, 40], "fit": "stretch", "skip": 2, "gray": True}
    write_clips(open_data(tmp_path / "films", options=options), tmp_path / "clips", QUIET)
    return tmp_path / "clips"


def test_an_encoder_is_trained_on_crops_of_clips(honest, clips, tmp_path):
    settings = ["crop=16", "clip_length=3", "count=40"]
    line = ["train-ae", str(clips), str(tmp_path / "ae"), "--encoder", "honest-encoder", "--steps", "2", "--quiet"]
    assert run([*line, *(part for each in settings for part in ("--data-set", each))]) == 0
    about = json.loads((tmp_path / "ae" / "artifact.json").read_text())
    assert about["config"]["input_shape"] == [16, 16, 1]
    assert about["training"]["data"] == (
        open_data(clips, options={"crop": 16, "clip_length": 3, "count": 40}).fingerprint()
    )
    # Films are prepared for it as the whole clips were, at the size of a crop.
    assert about["preprocessing"] == {"size": [16, 16], "fit": "stretch", "gray": True, "skip": 2, "fps": None}
    z = encode(tmp_path / "films", tmp_path / "ae", tmp_path / "z", allow_plugins=["honest-encoder"], quiet=True)
    assert json.loads((z / "manifest.json").read_text())["clips"][0]["length"] == 12


def test_crops_of_films_are_drawn_at_their_own_size(honest, write_movie, tmp_path):
    film = write_movie("film.mp4", 60)
    options = {"crop": 32, "clip_length": 4, "count": 30, "motion": 0.01}
    train_ae(
        film, tmp_path / "ae", encoder="honest-encoder", data_options=options, budget=Budget(steps=2), quiet=True
    )
    cache = json.loads((tmp_path / "ae" / "cache" / "manifest.json").read_text())
    assert (cache["frame_shape"], sum(run["count"] for run in cache["clips"])) == ([32, 32, 3], 30)
    assert cache["sources"][0]["size"] == [48, 96]
    found = open_data(tmp_path / "ae" / "cache")
    assert np.mean([motion_of(found.read(i).frames) >= 0.01 for i in range(30)]) > 0.8
