"""Windows cut out of footage: each one a real stretch of it that moves, as many as were asked for, by the seed."""

import numpy as np
import pytest
from ingesting import SCALE, ingest, numbered, take, write_array, write_film

from latentseq.errors import DataError

MOVES = 0.5 / 3 / 255
"""A motion that a film of ``placed`` has wherever it does not stand still: red rises by one from frame to frame."""


def placed(frames, height=40, width=60, still=()):
    """A film whose every pixel says where it is: red its frame, green its row, blue its column.

    In the stretches of ``still``, pairs of frame numbers, nothing moves: red is that of the first one.
    """
    t = np.arange(frames)
    for first, last in still:
        t[first:last] = first
    film = np.zeros((frames, height, width, 3), np.uint8)
    film[..., 0] = t[:, None, None]
    film[..., 1], film[..., 2] = np.indices((height, width))
    return film


def corners(taken):
    """The frame, row and column of each crop's first pixel; checks that all others belong to it."""
    found, film = [], placed(256)
    for crop in taken.frames:
        t, y, x = (int(v) for v in crop[0, 0, 0])
        np.testing.assert_array_equal(crop, film[t : t + len(crop), y : y + crop.shape[1], x : x + crop.shape[2]])
        found.append((t, y, x))
    return found


def motion(crop):
    return np.abs(np.diff(crop.astype(float), axis=0)).mean() / 255


@pytest.fixture
def stretches(monkeypatch):
    """Stretches of so many frames of 40 x 60, in colour."""
    return lambda rows: monkeypatch.setattr("latentseq.ingestion.plan.STRETCH_BYTES", rows * 40 * 60 * 3)


def test_a_crop_is_a_window_of_the_film(tmp_path):
    film = write_array(tmp_path / "film.npy", placed(50))
    taken = take(tmp_path / "out", film, crop=16, count=300, motion=MOVES)
    assert taken.lengths == [10] * 300
    assert taken.clips.frame_shape == (16, 16, 3)
    found = corners(taken)
    np.testing.assert_allclose(taken.of_clips("start"), [t / 25 for t, _, _ in found], atol=1e-4)
    np.testing.assert_allclose(taken.of_clips("end"), [(t + 10) / 25 for t, _, _ in found], atol=1e-4)
    # From everywhere, to the last frame, row and column; but training ends with the 40th frame.
    assert {t for t, _, _ in found} == {*range(31), 40}
    assert [(min(v), max(v)) for v in zip(*found, strict=True)] == [(0, 40), (0, 24), (0, 44)]
    assert taken.manifest["source"]["config"]["size"] is None


def test_the_seed_alone_decides(tmp_path, tree):
    film = write_array(tmp_path / "film.npy", placed(50))
    options = {"crop": 16, "count": 50, "motion": MOVES, "clip_length": 4}
    one = take(tmp_path / "one", film, seed=7, **options)
    assert tree(take(tmp_path / "same", film, seed=7, **options).out) == tree(one.out)
    assert corners(take(tmp_path / "other", film, seed=8, **options)) != corners(one)
    assert one.lengths == [4] * 50
    assert len(set(corners(one))) > 40


def test_a_crop_moves_as_much_as_was_asked_for(tmp_path):
    random = np.random.default_rng(0)
    film = np.zeros((60, 40, 60), np.uint8)
    film[:, :20, :20] = random.integers(0, 255, (60, 20, 20))
    film[:, 20:] = random.integers(0, 20, (60, 20, 60))
    array = write_array(tmp_path / "film.npy", film)
    taken = take(tmp_path / "out", array, crop=12, count=200, motion=0.2, still=0)
    assert len(taken.frames) == 200
    assert min(map(motion, taken.frames)) >= 0.2
    less = take(tmp_path / "less", array, crop=12, count=200, motion=0.01, still=0)
    assert 0.01 <= min(map(motion, less.frames)) < 0.05


@pytest.mark.parametrize("still", [0.0, 0.3, 1.0])
def test_a_share_need_not_move(still, tmp_path):
    film = placed(100)
    film[:, :, 30:, 0] = 0  # The right half stands still.
    array = write_array(tmp_path / "film.npy", film)
    taken = take(tmp_path / "out", array, crop=4, count=1000, still=still, motion=MOVES)
    assert len(taken.frames) == 1000
    stands = np.mean([motion(crop) < MOVES for crop in taken.frames])
    # Half of what may be still lies in the half that is; six standard deviations of the binomial are 0.09.
    assert stands == pytest.approx(still / 2, abs=0.09 if still else 0)


def test_the_count_is_reached_where_little_moves(tmp_path):
    film = np.zeros((40, 40, 60), np.uint8)
    film[::2, 20, 30] = 255  # One pixel that flickers: one window in 132 of 4 x 4 holds it.
    array = write_array(tmp_path / "film.npy", film)
    taken = take(tmp_path / "out", array, axes="THW", crop=4, count=400, still=0)
    assert len(taken.frames) == 400
    assert all(crop.max() == 255 for crop in taken.frames)


def test_the_count_is_reached_where_one_stretch_alone_moves(stretches, tmp_path):
    stretches(20)
    film = placed(240, still=[(0, 100), (120, 240)])
    array = write_array(tmp_path / "film.npy", film)
    for count in (1, 3, 100):
        taken = take(tmp_path / str(count), array, crop=8, count=count, still=0, motion=MOVES)
        starts = [round(start * 25) for start in taken.of_clips("start")]
        assert len(starts) == count
        assert all(91 <= start <= 115 for start in starts)
        assert min(map(motion, taken.frames)) >= MOVES


def test_what_does_not_move_is_not_drawn_from_instead(stretches, tmp_path):
    stretches(20)
    film = placed(240, still=[(0, 120)])
    array = write_array(tmp_path / "film.npy", film)
    taken = take(tmp_path / "out", array, crop=8, count=600, still=0.1, motion=MOVES)
    stands = sum(motion(crop) < MOVES for crop in taken.frames)
    assert len(taken.frames) == 600
    assert 12 < stands < 48  # A tenth of the 300 that fall to the still half, within six standard deviations.


def test_fewer_come_where_too_little_moves(tmp_path, capsys):
    taken_from = write_array(tmp_path / "film.npy", placed(50, still=[(0, 50)]))
    other = write_array(tmp_path / "other.npy", placed(12))
    out = tmp_path / "out"
    ingest([taken_from, other], out, crop=40, count=500, motion=0.5, still=0.2)
    assert capsys.readouterr().err.splitlines()[-1] == "--count is 500, but no other crops have a motion of 0.5"
    left = take(out, taken_from, other, crop=40, count=500, motion=0.5, still=0.2)
    assert 46 < len(left.frames) < 154  # The fifth that need not move.


def test_where_nothing_moves_it_is_said(tmp_path):
    film = write_array(tmp_path / "film.npy", placed(50, still=[(0, 50)]))
    with pytest.raises(DataError) as caught:
        take(tmp_path / "out", film, crop=8, count=10, still=0)
    assert str(caught.value) == (
        "There is no footage: expected videos, folders of images, or arrays. "
        "Skipped: film.npy: No crop of it has a motion of 0.02 (--motion)."
    )
    assert not (tmp_path / "out").exists()


def test_footage_that_gave_no_crop_is_named(tmp_path):
    for name, film in (("a", placed(40, still=[(0, 40)])), ("b", placed(40)), ("c", placed(40)), ("d", placed(40))):
        write_array(tmp_path / "in" / f"{name}.npy", film[..., :2, :] if name == "d" else film)
    taken = take(tmp_path / "out", tmp_path / "in", crop=8, count=3, still=0, motion=MOVES)
    assert len(taken.frames) == 3
    assert taken.skipped == {
        "in/a.npy": "No crop of it has a motion of 0.000653595 (--motion).",
        "in/d.npy": "Its frames are 40 x 2 (h x w), too small for crops of 8 x 8.",
    }
    fewer = take(tmp_path / "fewer", tmp_path / "in", crop=8, count=1, still=0, motion=MOVES)
    assert fewer.sources == ["in/c.npy"]
    assert {fewer.skipped[f"in/{name}.npy"] for name in "ab"} == {"No crop was drawn from it: --count is 1."}


@pytest.mark.parametrize("workers", [1, 4])
def test_damaged_footage_costs_none(workers, stretches, tmp_path):
    stretches(20)
    damaged = placed(200) / 255
    damaged[150] = 2
    write_array(tmp_path / "in" / "a.npy", damaged)
    write_array(tmp_path / "in" / "b.npy", placed(30))
    taken = take(tmp_path / "out", tmp_path / "in", crop=8, count=120, motion=MOVES, workers=workers)
    assert (taken.sources, len(taken.frames)) == (["in/b.npy"], 120)
    assert taken.skipped == {
        "in/a.npy": "Picture 150 of in/a.npy has values from 2 to 2; expected floats from 0 to 1. " + SCALE
    }
    assert {t for t, _, _ in corners(taken)} <= set(range(21))


def test_a_crop_stays_within_a_clip(tmp_path):
    clips = np.stack([placed(12), placed(12)])
    clips[1, ..., 0] += 100
    array = write_array(tmp_path / "a.npy", clips)
    taken = take(tmp_path / "out", array, crop=8, count=200, motion=MOVES, clip_length=9)
    assert {t for t, _, _ in corners(taken)} == {0, 1, 2, 3, 100, 101, 102, 103}
    with pytest.raises(DataError) as caught:
        take(tmp_path / "long", array, crop=8, clip_length=13)
    assert str(caught.value).endswith("Skipped: a.npy: Its longest clip has 12 frames, fewer than the 13 of a clip.")


@pytest.mark.parametrize("rows", [20, 1000])
def test_crops_of_a_stretch_are_on_one_side_of_a_split(rows, stretches, tmp_path):
    stretches(rows)
    for name, frames in (("a", 90), ("b", 110)):
        write_array(tmp_path / "in" / f"{name}.npy", placed(frames))
    taken = take(tmp_path / "out", tmp_path / "in", crop=8, count=1000, motion=MOVES)
    places = {split: set() for split in ("train", "test", "validation")}
    counts = dict.fromkeys(places, 0)
    for split, source, (t, _, _) in zip(
        taken.of_clips("split"), taken.of_clips("source"), corners(taken), strict=True
    ):
        places[split] |= set(range(t + 90 * source, t + 90 * source + 10))
        counts[split] += 1
    assert counts == {"train": 800, "test": 100, "validation": 100}
    assert places["train"] <= set(range(160))
    assert places["test"] <= set(range(160, 180))
    assert places["validation"] <= set(range(180, 200))


def test_crops_keep_a_split_of_their_own(tmp_path):
    for split in ("train", "test"):
        write_array(tmp_path / "in" / split / "a.npy", placed(60))
    taken = take(tmp_path / "out", tmp_path / "in", crop=8, count=100, motion=MOVES)
    assert set(zip(taken.of_clips("split"), taken.of_clips("source"), strict=True)) == {("test", 0), ("train", 1)}


def test_footage_too_short_to_be_divided_is_for_training(tmp_path):
    taken = take(tmp_path / "out", write_array(tmp_path / "a.npy", placed(15)), crop=8, count=20, motion=MOVES)
    assert taken.of_clips("split") == ["train"] * 20


def test_crops_are_made_of_frames_as_they_are_or_of_one_size(tmp_path):
    films = [write_array(tmp_path / f"{n}.npy", placed(20, 20 * n, 30 * n)) for n in (1, 2)]
    taken = take(tmp_path / "out", *films, crop=16, count=50, motion=MOVES)
    assert len({crop[0, 0, 0, 2] for crop in taken.frames[30:]}) > 5
    for crop in taken.frames:
        assert (np.diff(crop[..., 1].astype(int), axis=1) == 1).all()
    sized = take(tmp_path / "sized", films[1], crop=16, count=50, motion=0, size="20x30")
    # Half as large: neighbours are two rows and two columns of the film apart.
    inside = np.stack(sized.frames)[:, :, 2:-2, 2:-2]
    assert set(np.unique(np.diff(inside[..., 1].astype(int), axis=2))) == {2}
    assert sized.manifest["source"]["config"]["size"] == [20, 30]


def test_a_crop_does_not_depend_on_what_is_taken_along(stretches, tmp_path, tree, monkeypatch):
    monkeypatch.setattr("latentseq.ingestion.plan.SHARD_BYTES", 8 * 8 * 3 * 50)
    films = [write_array(tmp_path / f"{n}.npy", placed(40, 40 + n)) for n in range(2)]
    for split, film in zip(("train", "test"), films, strict=True):
        (tmp_path / split).mkdir()
        film.rename(tmp_path / split / film.name)
    options = {"crop": 8, "count": 20, "motion": MOVES}
    one = take(tmp_path / "out", tmp_path / "train", tmp_path / "test", **options)
    fresh = take(tmp_path / "fresh", tmp_path / "test", tmp_path / "train", **options)
    assert one.shards() == fresh.shards()
    again = take(tmp_path / "out", tmp_path / "test", tmp_path / "train", overwrite=True, **options)
    assert tree(again.out) == tree(fresh.out)


def test_footage_for_crops_that_does_not_fit(tmp_path):
    for name, film in (("short", placed(9)), ("low", placed(20, 15)), ("fits", placed(20))):
        write_array(tmp_path / "in" / f"{name}.npy", film)
    taken = take(tmp_path / "out", tmp_path / "in", crop=16, count=5, motion=0)
    assert taken.skipped == {
        "in/short.npy": "It has 9 frames, fewer than the 10 of a clip.",
        "in/low.npy": "Its frames are 15 x 60 (h x w), too small for crops of 16 x 16.",
    }
    wide = write_array(tmp_path / "wide.npy", np.zeros((10, 16, 8200), np.uint8))
    with pytest.raises(DataError) as caught:
        take(tmp_path / "none", wide, crop=16)
    assert str(caught.value).endswith(
        "Skipped: wide.npy: Its frames are 16 x 8200 (h x w); expected sides of at most 8192, or a --size."
    )


def test_crops_of_a_film_that_is_coded(tmp_path):
    film = numbered(60)
    coded = write_film(tmp_path / "a.mp4", np.repeat(film[..., None], 3, -1))
    taken = take(tmp_path / "out", coded, crop=48, count=30, motion=0.01, still=0, clip_length=5, skip=2)
    assert len(taken.frames) == 30
    for crop, start in zip(taken.frames, taken.of_clips("start"), strict=True):
        wide = film[round(start * 25) :: 2][:5]
        assert any(np.abs(crop[..., 0].astype(int) - wide[..., x : x + 48]).max() < 60 for x in range(49))
