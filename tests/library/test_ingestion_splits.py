"""Folders in the order of their classes: what is held out is from all of them, and the summary says from which."""

import numpy as np
import pytest
from ingesting import numbered, take, write_array

from latentseq.data.open import open_data
from latentseq.data.splits import split_ranges

CLASSES = ("boxing", "clapping", "jogging", "waving")


@pytest.fixture
def classes(tmp_path):
    """Four classes of five films, each in a folder of its own."""
    for name in CLASSES:
        for i in range(5):
            write_array(tmp_path / "kth" / name / f"{i}.npy", numbered(20, 16, 24))
    return tmp_path / "kth"


def _held(taken, part):
    """The folders and files whose clips are of a split."""
    rows = split_ranges(taken.clips.lengths, taken.clips.split)[part]
    sources = taken.of_clips("source")
    return {tuple(taken.sources[sources[clip]].split("/")[1:]) for clip in rows[:, 0]}


def test_validation_and_test_are_from_different_classes_that_are_trained_on(classes, tmp_path):
    taken = take(tmp_path / "out", classes)
    assert len(_held(taken, "validation")) == len({name for name, _ in _held(taken, "validation")}) == 2
    assert len({name for name, _ in _held(taken, "validation") | _held(taken, "test")}) == 4
    assert {name for name, _ in _held(taken, "train")} == set(CLASSES)
    again = take(tmp_path / "again", classes)
    assert again.manifest["clips"] == taken.manifest["clips"]


def test_the_files_themselves_are_split_alike(classes, tmp_path):
    taken, files = take(tmp_path / "out", classes), open_data(classes, options={"gray": True, "size": [16, 24]})
    np.testing.assert_array_equal(files.split, taken.clips.split)


@pytest.mark.parametrize(
    "options",
    [{"clip_length": 8, "stride": 2}, {"crop": 8, "clip_length": 4, "count": 400, "motion": 0.0}],
    ids=["overlapping", "crops"],
)
def test_clips_that_share_frames_and_crops(options, classes, tmp_path):
    taken = take(tmp_path / "out", classes, **options)
    for part in ("validation", "test"):
        held = _held(taken, part)
        assert len({name for name, _ in held}) == 2
        assert not held & _held(taken, "train")
    assert {name for name, _ in _held(taken, "train")} == set(CLASSES)


def test_named_splits_without_validation(classes, tmp_path):
    classes.rename(tmp_path / "train")
    write_array(tmp_path / "test" / "new" / "0.npy", numbered(20, 16, 24))
    for options in ({}, {"clip_length": 8, "stride": 2}):
        taken = take(tmp_path / f"out{len(options)}", tmp_path / "test", tmp_path / "train", **options)
        assert _held(taken, "test") == {("new", "0.npy")}
        assert len({name for name, _ in _held(taken, "validation")}) == 2
        assert not _held(taken, "validation") & _held(taken, "train")


def test_clips_on_disk_keep_the_split_that_they_have(classes, tmp_path, monkeypatch):
    """A folder from before: no split in its manifest, so the last clips are held out, also by the same command."""
    with monkeypatch.context() as before:
        before.setattr("latentseq.ingestion.assembly.split_by_folder", lambda folders, split: list(split))
        old = take(tmp_path / "out", classes)
    assert old.of_clips("split") == [None] * 20
    assert take(tmp_path / "out", classes).manifest == old.manifest
    assert _held(old, "validation") == {("waving", "3.npy"), ("waving", "4.npy")}


def test_the_summary_says_from_where_they_are(classes, tmp_path, capfd):
    from latentseq.commands.ingest import ingest

    ingest([classes], tmp_path / "out")
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("held out")]
    taken = take(tmp_path / "out", classes)
    expected = {
        part: " and ".join(sorted(f"kth/{name}" for name, _ in _held(taken, part))) for part in ("validation", "test")
    }
    assert lines == [f"held out for {part}: 2 clips, from {where}" for part, where in expected.items()]
    ingest([classes / "boxing" / "0.npy"], tmp_path / "one")
    assert capfd.readouterr().err.splitlines()[-1] == (
        "The last fifth of every clip is held out: a tenth for testing, a tenth for validation."
    )
