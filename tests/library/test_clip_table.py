"""Which rows are which clip: packed and unpacked again, nothing is lost, and what repeats is a line."""

import json

import numpy as np
import pytest

from latentseq.storage.clip_table import first_rows, pack, values


def unpacked(runs):
    """The clips again, one by one, by what the format says: run by run, each ``step`` rows after the one before."""
    clips = []
    for run in runs:
        for number in range(run["count"]):
            clip = {key: value for key, value in run.items() if key not in ("count", "step")}
            clip["row"] = run["row"] + number * run["step"]
            clips.append({key: value[number] if key in ("start", "end") else value for key, value in clip.items()})
    return clips


def check(clips):
    """Pack, through JSON as in a manifest; compare with the plain list."""
    runs = json.loads(json.dumps(pack(clips)))
    assert unpacked(runs) == clips
    assert first_rows(runs).tolist() == [clip["row"] for clip in clips]
    assert first_rows(runs).dtype == np.int64
    for key in ("length", "split", "source", "start", "end", "label"):
        assert values(runs, key) == [clip.get(key) for clip in clips]
    return runs


def random_clips(random, kind):
    """A table of clips: one after another, at a stride, with gaps, anywhere, or several of these in turn."""
    clips, row = [], 0
    for _ in range(int(random.integers(1, 6))):
        way = random.choice(["follow", "stride", "gaps", "anywhere"]) if kind == "mixed" else kind
        length, split = int(random.integers(1, 6)), str(random.choice(["train", "validation", "test"]))
        stride, source = int(random.integers(1, 8)), int(random.integers(0, 3))
        for _ in range(int(random.integers(1, 8))):
            clip = {"row": row, "length": length, "source": source, "split": split}
            clips.append({**clip, "start": round(row / 25, 4), "end": round((row + length) / 25, 4)})
            match way:
                case "follow":
                    row += length
                case "stride":
                    row += stride
                case "gaps":
                    row += length + int(random.integers(0, 3))
                case _:
                    row = int(random.integers(0, 100))
    return clips


@pytest.mark.parametrize("kind", ["follow", "stride", "gaps", "anywhere", "mixed"])
@pytest.mark.parametrize("varying", [True, False])
def test_any_table_comes_back(kind, varying):
    random = np.random.default_rng(7)
    for _ in range(200):
        clips = random_clips(random, kind)
        if not varying:
            clips = [{key: clip[key] for key in ("row", "length", "split")} for clip in clips]
        runs = check(clips)
        assert len(runs) <= len(clips)


def test_no_clips():
    assert pack([]) == []
    assert first_rows([]).tolist() == []
    assert values([], "split") == []


def test_equal_clips_one_after_another_are_one_run():
    clips = [{"row": 5 * i, "length": 5, "split": "train"} for i in range(1000)]
    assert check(clips) == [{"count": 1000, "row": 0, "step": 5, "length": 5, "split": "train"}]


def test_clips_that_share_rows_are_one_run():
    clips = [{"row": 7 + 2 * i, "length": 30, "split": None} for i in range(500)]
    assert check(clips) == [{"count": 500, "row": 7, "step": 2, "length": 30, "split": None}]


def test_rows_that_belong_to_no_clip():
    clips = [{"row": row, "length": 4} for row in (3, 10, 17, 30, 34)]
    assert check(clips) == [
        {"count": 3, "row": 3, "step": 7, "length": 4},
        {"count": 2, "row": 30, "step": 4, "length": 4},
    ]


def test_seconds_vary_inside_a_run():
    clips = [{"row": 10 * i, "length": 10, "source": 0, "start": i / 2, "end": i / 2 + 0.5} for i in range(3)]
    assert check(clips) == [
        {"count": 3, "row": 0, "step": 10, "length": 10, "source": 0, "start": [0, 0.5, 1], "end": [0.5, 1, 1.5]}
    ]


def test_the_same_rows_twice_and_rows_that_go_back():
    check([{"row": 4, "length": 2}] * 3)
    check([{"row": row, "length": 2} for row in (9, 6, 3, 0, 9)])


def test_a_single_clip_steps_over_itself():
    """As if the next one followed: a run of one says the same, whatever comes after it."""
    one = {"count": 1, "row": 8, "step": 6, "length": 6}
    assert pack([{"row": 8, "length": 6}]) == [one]
    assert pack([{"row": 8, "length": 6}, {"row": 50, "length": 7}])[0] == one


def test_a_new_length_split_or_source_starts_a_run():
    base = {"row": 0, "length": 4, "split": "train", "source": 0}
    for change in ({"length": 5}, {"split": "test"}, {"source": 1}, {"split": None}):
        runs = check([base, {**base, "row": 4, **change}])
        assert [run["count"] for run in runs] == [1, 1]


def test_some_clips_know_their_seconds_and_others_do_not():
    clips = [{"row": 0, "length": 4}, {"row": 4, "length": 4, "start": 1.0, "end": 2.0}, {"row": 8, "length": 4}]
    check(clips)
    check(clips[1:])


def test_a_list_that_all_clips_share_is_no_list_of_clips():
    clips = [{"row": 4 * i, "length": 4, "label": ["a", "b"]} for i in range(2)]
    assert check(clips) == [{"count": 2, "row": 0, "step": 4, "length": 4, "label": ["a", "b"]}]
