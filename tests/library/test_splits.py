"""Which part of the data is for training, for validation and for test."""

import numpy as np
import pytest

from latentseq.data.splits import split_by_folder, split_by_share, split_ranges

PARTS = ("train", "validation", "test")


def ranges(lengths, split=None):
    """{part: [(clip, start, stop), …]} of ranges that are not empty."""
    found = split_ranges(np.array(lengths), None if split is None else np.array(split))
    assert sorted(found) == sorted(PARTS)
    assert all(rows.dtype == np.int64 and rows.shape[1:] == (3,) for rows in found.values())
    return {part: [tuple(row) for row in found[part].tolist() if row[1] < row[2]] for part in PARTS}


def test_one_clip_gives_its_last_tenth_to_validation_and_the_tenth_before_to_test():
    assert ranges([100]) == {"train": [(0, 0, 80)], "test": [(0, 80, 90)], "validation": [(0, 90, 100)]}


def test_two_clips_are_each_cut_in_time():
    found = ranges([100, 50])
    assert found["train"] == [(0, 0, 80), (1, 0, 40)]
    assert found["test"] == [(0, 80, 90), (1, 40, 45)]
    assert found["validation"] == [(0, 90, 100), (1, 45, 50)]


@pytest.mark.parametrize(("clips", "held"), [(3, 1), (10, 1), (25, 2), (40, 4)])
def test_three_clips_and_more_are_split_by_clip(clips, held):
    found = ranges([7] * clips)
    numbers = {part: [clip for clip, start, stop in found[part] if (start, stop) == (0, 7)] for part in PARTS}
    assert numbers["train"] == list(range(clips - 2 * held))
    assert numbers["test"] == list(range(clips - 2 * held, clips - held))
    assert numbers["validation"] == list(range(clips - held, clips))


def test_a_split_of_its_own_is_kept_even_for_few_clips():
    found = ranges([4, 9], ["validation", "train"])
    assert found == {"train": [(1, 0, 9)], "validation": [(0, 0, 4)], "test": []}
    found = ranges([4, 9, 5, 6], ["test", "validation", "train", "validation"])
    assert found == {"train": [(2, 0, 5)], "validation": [(1, 0, 9), (3, 0, 6)], "test": [(0, 0, 4)]}


@pytest.mark.parametrize("lengths", [[1], [2], [9], [10], [11], [101], [13, 29], [5, 8, 6]])
def test_every_frame_is_in_exactly_one_part(lengths):
    found = ranges(lengths)
    frames = [(clip, t) for part in PARTS for clip, start, stop in found[part] for t in range(start, stop)]
    assert sorted(frames) == [(i, t) for i, length in enumerate(lengths) for t in range(length)]


@pytest.mark.parametrize(("clips", "held"), [(2, 1), (3, 1), (10, 1), (15, 2), (40, 4)])
@pytest.mark.parametrize("tested", [0, 1, 3])
def test_a_split_without_validation_gives_the_last_training_clips_to_it(clips, held, tested):
    # A test clip behind every training clip, as long as there are some.
    split = [part for i in range(clips) for part in (["train", "test"] if i < tested else ["train"])]
    found = ranges([6] * len(split), split)
    trained = [i for i, part in enumerate(split) if part == "train"]
    assert [clip for clip, _, _ in found["train"]] == trained[:-held]
    assert [clip for clip, _, _ in found["validation"]] == trained[-held:]
    assert found["test"] == [(i, 0, 6) for i, part in enumerate(split) if part == "test"]


def test_the_only_training_clip_is_cut_in_time():
    assert ranges([100], ["train"]) == {
        "train": [(0, 0, 80)],
        "test": [(0, 80, 90)],
        "validation": [(0, 90, 100)],
    }
    assert ranges([30, 50], ["test", "train"]) == {
        "train": [(1, 0, 40)],
        "test": [(0, 0, 30)],
        "validation": [(1, 45, 50)],
    }


def test_what_has_no_training_clip_has_none():
    assert ranges([3, 4], ["test", "test"]) == {"train": [], "validation": [], "test": [(0, 0, 3), (1, 0, 4)]}


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [
        (0, 0.1, "train"),
        (0.79, 0.8, "train"),
        (0, 0.8, "train"),
        (0.79, 0.81, None),
        (0.8, 0.9, "test"),
        (0.85, 0.86, "test"),
        (0.85, 0.95, None),
        (0.9, 1, "validation"),
        (1, 1, "validation"),
        (0, 1, None),
        (0.7, 0.95, None),
    ],
)
def test_the_split_of_a_stretch_by_its_place(start, end, part):
    assert split_by_share(start, end) == part


@pytest.mark.parametrize("total", [10, 100, 970, 12_340, 1_000_000])
def test_stretches_that_end_at_a_border_are_on_one_side_of_it(total):
    """With the borders at whole frames, nothing is lost to rounding."""
    for first, last, part in ((0, 8, "train"), (8, 9, "test"), (9, 10, "validation")):
        begin, stop = total * first // 10, total * last // 10
        assert split_by_share(begin / total, stop / total) == part
        assert split_by_share(begin / total, (begin + 1) / total) == part
        assert split_by_share((stop - 1) / total, stop / total) == part


def _held(folders, split=None):
    """The items that are for validation and for test, as (folder, place in it)."""
    found = split_by_folder(folders, split or [None] * len(folders))
    places = [folders[:i].count(folder) for i, folder in enumerate(folders)]
    named = [(part, folder, place) for part, folder, place in zip(found, folders, places, strict=True)]
    return {part: {(folder, place) for name, folder, place in named if name == part} for part in PARTS}


def test_folders_of_one_class_each_are_all_trained_on_and_all_held_out():
    folders = [name for name in "abcdef" for _ in range(10)]
    found = _held(folders)
    assert found["validation"] == {(name, 9) for name in "abcdef"}
    assert found["test"] == {(name, 8) for name in "abcdef"}
    assert len(found["train"]) == 48


@pytest.mark.parametrize("counts", [[3] * 100, [100, 3, 7], [2, 2, 2], [25, 25], [1, 40], [8, 1, 1, 9]])
def test_no_folder_is_held_out_whole_and_the_shares_are_kept(counts):
    folders = [str(i) for i, count in enumerate(counts) for _ in range(count)]
    found, held = _held(folders), max(1, round(sum(counts) / 10))
    assert (len(found["validation"]), len(found["test"])) == (held, held)
    assert {folder for folder, _ in found["train"]} == set(folders)
    assert _held(folders) == found


def test_held_out_clips_of_many_small_folders_are_from_all_over_the_list():
    folders = [f"{i:03}" for i in range(100) for _ in range(3)]
    for part in ("validation", "test"):
        numbers = sorted(int(folder) for folder, _ in _held(folders)[part])
        assert len(numbers) == 30
        assert max(b - a for a, b in zip([0, *numbers], [*numbers, 99], strict=True)) <= 8


@pytest.mark.parametrize("folders", ["aaaaaaaaaa", "ab", "a", ""])
def test_one_folder_and_few_clips_are_left_to_split_ranges(folders):
    assert split_by_folder(list(folders), [None] * len(folders)) == [None] * len(folders)


def test_where_no_clip_was_named_for_validation_a_tenth_of_the_training_clips_is_from_all_folders():
    folders, split = [*"aaaaabbbbbcccccddddd", *"xx"], ["train"] * 20 + ["test"] * 2
    found = _held(folders, split)
    assert found["test"] == {("x", 0), ("x", 1)}
    assert len(found["validation"]) == 2
    assert len({folder for folder, _ in found["validation"]}) == 2
    named = ["train", "validation", "test", "train"]
    assert split_by_folder(list("abcd"), named) == named
