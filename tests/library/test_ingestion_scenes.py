"""Clips of ingested footage: never across a cut, all of one length where that is asked for, and of which split."""

import numpy as np
import pytest
from ingesting import STRIP, numbered, scenes, take, write_array, write_film

from latentseq.errors import DataError

LENGTHS = (30, 25, 8, 40)


@pytest.fixture
def shown(numbers):
    """The numbers that the frames of each clip show at their top."""
    return lambda taken: [numbers(frames[:, :STRIP]) for frames in taken.frames]


@pytest.fixture
def film(tmp_path):
    return write_film(tmp_path / "film.mp4", scenes(LENGTHS))


def stretch(first, last, step=1):
    return list(range(first, last, step))


def test_a_scene_is_a_clip(film, shown, tmp_path):
    taken = take(tmp_path / "out", film, cuts=True, min_length=1)
    assert shown(taken) == [stretch(0, 30), stretch(30, 55), stretch(55, 63), stretch(63, 103)]
    assert taken.of_clips("start") == [0, 1.2, 2.2, 2.52]
    assert taken.of_clips("end") == [1.2, 2.2, 2.52, 4.12]
    assert taken.of_clips("split") == [None] * 4


@pytest.mark.parametrize(("least", "left"), [(8, 4), (9, 3), (26, 2), (31, 1)])
def test_shorter_scenes_are_left_out(least, left, film, shown, tmp_path):
    taken = take(tmp_path / "out", film, cuts=True, min_length=least)
    assert sorted(taken.lengths, reverse=True) == sorted(LENGTHS, reverse=True)[:left]
    assert all(len(clip) >= least for clip in shown(taken))


def test_scenes_are_twenty_frames_long_at_least_unless_it_is_said_otherwise(film, shown, tmp_path):
    expected = [stretch(0, 30), stretch(30, 55), stretch(63, 103)]
    assert shown(take(tmp_path / "out", film, cuts=True)) == expected


def test_without_cuts_a_film_is_one_clip_however_short(film, shown, tmp_path):
    assert shown(take(tmp_path / "out", film)) == [stretch(0, 103)]
    short = write_film(tmp_path / "short.mp4", scenes([3]))
    assert shown(take(tmp_path / "short", short)) == [stretch(0, 3)]


def test_scenes_are_cut_into_clips_of_one_length(film, shown, tmp_path):
    taken = take(tmp_path / "out", film, cuts=True, min_length=1, clip_length=10)
    starts = [0, 10, 20, 30, 40, 63, 73, 83, 93]
    assert shown(taken) == [stretch(s, s + 10) for s in starts]
    np.testing.assert_allclose(taken.of_clips("start"), [s / 25 for s in starts])
    np.testing.assert_allclose(taken.of_clips("end"), [(s + 10) / 25 for s in starts])
    assert taken.of_clips("split") == [None] * 9


def test_a_scene_may_be_long_enough_for_a_clip_and_too_short_for_itself(film, shown, tmp_path):
    taken = take(tmp_path / "out", film, cuts=True, min_length=26, clip_length=20)
    assert shown(taken) == [stretch(0, 20), stretch(63, 83), stretch(83, 103)]


def test_a_stride_beyond_the_length_leaves_gaps(film, shown, tmp_path):
    taken = take(tmp_path / "out", film, clip_length=10, stride=40)
    assert shown(taken) == [stretch(0, 10), stretch(40, 50), stretch(80, 90)]
    assert taken.of_clips("split") == [None] * 3


def test_clips_that_overlap_have_the_split_of_their_place_in_time(film, shown, tmp_path):
    taken = take(tmp_path / "out", film, clip_length=4, stride=3)
    # 103 frames: training ends at 82.4, test at 92.7.
    assert shown(taken) == [stretch(s, s + 4) for s in range(0, 100, 3) if s not in (81, 90)]
    assert taken.of_clips("split") == ["train"] * 27 + ["test"] * 2 + ["validation"] * 3
    assert [clip[0] for clip in shown(taken)][-6:] == [78, 84, 87, 93, 96, 99]


def test_their_place_is_one_in_all_footage_together(tmp_path):
    for name, count in (("a", 60), ("b", 15), ("c", 25)):  # The borders are in c, at its 5th and its 15th frame.
        write_array(tmp_path / "in" / f"{name}.npy", numbered(count))
    taken = take(tmp_path / "out", tmp_path / "in", clip_length=5, stride=1)
    kept = {split: [] for split in ("train", "test", "validation")}
    for source, start, split in zip(
        taken.of_clips("source"), taken.of_clips("start"), taken.of_clips("split"), strict=True
    ):
        kept[split].append(("abc"[source], round(start * 25)))
    assert kept["train"] == [*(("a", s) for s in range(56)), *(("b", s) for s in range(11)), ("c", 0)]
    assert kept["test"] == [("c", s) for s in range(5, 11)]
    assert kept["validation"] == [("c", s) for s in range(15, 21)]


def test_clips_that_overlap_keep_a_split_of_their_own(tmp_path):
    for split in ("train", "test", "validation"):
        write_array(tmp_path / "in" / split / "a.npy", numbered(10))
    taken = take(tmp_path / "out", tmp_path / "in", clip_length=4, stride=2)
    assert taken.lengths == [4] * 12
    assert taken.of_clips("split") == ["test"] * 4 + ["train"] * 4 + ["validation"] * 4


def test_where_every_clip_lies_across_a_border_it_is_said(tmp_path):
    array = write_array(tmp_path / "a.npy", numbered(12))
    with pytest.raises(DataError) as caught:
        take(tmp_path / "out", array, clip_length=10, stride=1)
    assert str(caught.value) == (
        "There is no footage: expected videos, folders of images, or arrays. "
        "Skipped: a.npy: It has no scene of 10 frames or more that lies within one split."
    )
    assert not (tmp_path / "out").exists()


def test_footage_without_a_long_scene_is_named(film, tmp_path):
    flicker = write_film(tmp_path / "flicker.mp4", scenes([12] * 5))
    taken = take(tmp_path / "out", flicker, film, cuts=True)
    assert taken.sources == ["film.mp4"]
    assert taken.of_clips("source") == [0, 0, 0]
    assert taken.skipped == {"flicker.mp4": "It has no scene of 20 frames or more."}


def test_footage_that_is_too_short_is_not_decoded(film, tmp_path):
    short = write_film(tmp_path / "short.mp4", scenes([19]))
    clips = write_array(tmp_path / "clips.npy", np.zeros((9, 7, 64, 96), np.uint8))
    assert take(tmp_path / "out", short, clips, film, cuts=True).skipped == {
        "short.mp4": "It has 19 frames, fewer than the 20 of a scene (--min-length).",
        "clips.npy": "Its longest clip has 7 frames, fewer than the 20 of a scene (--min-length).",
    }
    assert take(tmp_path / "long", short, clips, film, clip_length=20).skipped == {
        "short.mp4": "It has 19 frames, fewer than the 20 of a clip.",
        "clips.npy": "Its longest clip has 7 frames, fewer than the 20 of a clip.",
    }


@pytest.mark.parametrize(
    ("options", "pictures", "starts"),
    [
        ({"fps": 10}, [k * 5 // 2 for k in range(42)], (0, 12, 22, 26)),
        ({"fps": 50}, [k // 2 for k in range(206)], (0, 60, 110, 126)),
        ({"skip": 4}, list(range(0, 103, 4)), (0, 8, 14, 16)),
        ({"skip": 4, "fps": 50}, list(range(0, 103, 2)), (0, 15, 28, 32)),
    ],
)
def test_a_cut_is_found_among_all_pictures_and_then_moved_to_a_row(options, pictures, starts, film, shown, tmp_path):
    taken = take(tmp_path / "out", film, cuts=True, min_length=1, **options)
    ends = (*starts[1:], len(pictures))
    assert shown(taken) == [pictures[start:end] for start, end in zip(starts, ends, strict=True)]
    assert [clip[0] for clip in shown(taken)] == [next(p for p in pictures if p >= cut) for cut in (0, 30, 55, 63)]


@pytest.mark.parametrize("rows", [1, 2, 7, 30, 31, 64])
@pytest.mark.parametrize("options", [{}, {"fps": 10}, {"fps": 60}, {"skip": 3}], ids=str)
def test_cuts_are_the_same_in_shards_of_any_size(rows, options, film, tmp_path, monkeypatch):
    whole = take(tmp_path / "whole", film, cuts=True, min_length=1, **options)
    monkeypatch.setattr("latentseq.ingestion.plan.SHARD_BYTES", rows * 64 * 96 * 3)
    parts = take(tmp_path / "parts", film, cuts=True, min_length=1, workers=3, **options)
    assert len(whole.shards()) == 1
    assert len(parts.shards()) == -(-sum(whole.lengths) // rows)
    assert parts.manifest["clips"] == whole.manifest["clips"]
    for one, other in zip(parts.frames, whole.frames, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [5, 1000])
def test_cuts_of_gray_pictures_and_of_clips_in_an_array(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("latentseq.ingestion.plan.SHARD_BYTES", rows * 64 * 96)
    film = scenes((12, 13, 15))[..., 0].reshape(2, 20, 64, 96)
    taken = take(tmp_path / "out", write_array(tmp_path / "a.npy", film), cuts=True, min_length=1)
    assert taken.lengths == [12, 8, 5, 15]
    np.testing.assert_array_equal(np.concatenate(taken.frames)[..., 0], film.reshape(40, 64, 96))


def test_cuts_of_a_film_whose_frames_come_on_unevenly(shown, tmp_path):
    times = [40 * i for i in range(20)] + [2000 + 100 * i for i in range(20)]
    film = write_film(tmp_path / "a.mkv", scenes([15, 25]), times=times)
    taken = take(tmp_path / "out", film, cuts=True, min_length=5)
    assert shown(taken) == [stretch(0, 15), stretch(15, 40)]
    assert taken.of_clips("start") == [0, 0.6]
    assert taken.of_clips("end") == [0.6, 3.97]  # The last frame is as long as the others on average: 70 ms.
