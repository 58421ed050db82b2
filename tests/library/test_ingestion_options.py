"""Options of an ingestion: what is refused, what a second run does, what is replaced, what an interruption leaves."""

import errno
import json
import os
import sys
import threading

import numpy as np
import pytest
from ingesting import ingest, numbered, take, write_array

from latentseq.errors import DataError, LatentseqError, TryAgainError, UsageError
from latentseq.ingestion import run, work
from latentseq.media.arrayfile import ArrayFile
from latentseq.storage.ledger import Ledger

NONE = "There is no footage: expected videos, folders of images, or arrays. "


@pytest.fixture
def arrays(tmp_path, monkeypatch):
    """Three arrays, 30 frames in all, in shards of 5."""
    monkeypatch.setattr("latentseq.ingestion.plan.SHARD_BYTES", 5 * 48 * 96)
    for name, count in (("a", 12), ("b", 10), ("c", 8)):
        write_array(tmp_path / "in" / f"{name}.npy", numbered(count))
    return tmp_path / "in"


@pytest.fixture
def decoded(monkeypatch):
    """The pictures that are decoded, by file."""
    seen, walk = [], ArrayFile.walk

    def spy(footage, rows):
        seen.extend((footage.path.stem, int(row)) for row in rows)
        return walk(footage, rows)

    monkeypatch.setattr(ArrayFile, "walk", spy)
    return seen


def stop_writing(monkeypatch, count, trouble=KeyboardInterrupt):
    """Let so many shards be written, and stop whoever wants to write another."""
    written, write = [], work.write_shard

    def stop(path, *rest):
        if len(written) == count:
            raise trouble
        written.append(path)
        return write(path, *rest)

    monkeypatch.setattr(work, "write_shard", stop)


def refused(kind, *args, **options):
    with pytest.raises(LatentseqError) as caught:
        ingest(*args, quiet=True, **options)
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "wide"}, "The size is 'wide'; expected a number of pixels such as 64, or 48x64 (h x w)."),
        (
            {"size": 0},
            "Option size is [0, 0]; expected a side or [height, width] in pixels, each from 1 to 8192, such as 64 or "
            "[64, 96].",
        ),
        ({"fit": "zoom"}, "Option fit is 'zoom'; expected 'crop', 'pad' or 'stretch'."),
        (
            {"fps": 0.0},
            "Option fps is 0.0; expected frames a second, above 0 and at most 1000.",
        ),
        ({"skip": 0}, "Option skip is 0; expected 1 to keep every frame, 3 to keep every third."),
        ({"min_length": 0}, "--min-length is 0; expected 1 frame or more."),
        ({"clip_length": 0}, "--clip-length is 0; expected 1 frame or more."),
        ({"clip_length": 5, "stride": 0}, "--stride is 0; expected 1 frame or more."),
        (
            {"stride": 5},
            "--stride is the distance between clips of --clip-length frames. Give both options, or neither.",
        ),
        ({"audio": "loud"}, "--audio is 'loud'; expected 'mel', 'wave' or 'none'."),
        ({"crop": 0}, "Option crop is 0; expected a side of 1 pixel or more."),
        ({"crop": 8, "clip_length": 1}, "Option clip_length is 1; expected crops of 2 frames or more."),
        ({"crop": 8, "still": 1.5}, "Option still is 1.5; expected a share from 0 to 1."),
        ({"crop": 8, "motion": 1.0}, "Option motion is 1.0; expected a number from 0 to below 1."),
        ({"crop": 8, "count": 0}, "--count is 0; expected 1 crop or more."),
        (
            {"crop": 8, "cuts": True},
            "--crop draws clips at random and takes neither --cuts nor --stride. Leave one out.",
        ),
        (
            {"crop": 8, "clip_length": 5, "stride": 2},
            "--crop draws clips at random and takes neither --cuts nor --stride. Leave one out.",
        ),
        ({"seed": -1}, f"seed is -1; expected a whole number from 0 to {2**31 - 1}."),
        ({"workers": -1}, "workers is -1; expected 1 or more, or 0 for one per core."),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_option_that_does_not_fit(options, message, arrays, tmp_path, tree, decoded):
    before = tree(tmp_path)
    assert refused(UsageError, [arrays], tmp_path / "out", **options) == message
    assert (tree(tmp_path), decoded) == (before, [])


def test_nothing_and_something_that_is_not_there(tmp_path):
    assert refused(UsageError, [], tmp_path / "out") == (
        "There is nothing to ingest: give a video, a folder, or several."
    )
    assert refused(UsageError, [tmp_path / "in"], tmp_path / "out") == (
        f"There is no file or folder {tmp_path / 'in'}. Check the path."
    )
    (tmp_path / "in").mkdir()
    assert refused(DataError, [tmp_path / "in"], tmp_path / "out") == f"{NONE}The folders are empty."
    (tmp_path / "in" / "notes.txt").write_text("hello")
    assert refused(DataError, [tmp_path / "in"], tmp_path / "out") == (
        f"{NONE}Skipped: in/notes.txt: .txt is not a known type of video, image or array file."
    )
    assert not (tmp_path / "out").exists()


def test_footage_that_is_too_short_or_too_small(arrays, tmp_path):
    assert refused(DataError, [arrays], tmp_path / "out", clip_length=13) == (
        f"{NONE}Skipped: in/a.npy: It has 12 frames, fewer than the 13 of a clip. in/b.npy: It has 10 frames, fewer "
        "than the 13 of a clip. in/c.npy: It has 8 frames, fewer than the 13 of a clip."
    )
    for i in range(6):
        write_array(tmp_path / "more" / f"{i}.npy", numbered(3))
    assert refused(DataError, [tmp_path / "more"], tmp_path / "out", crop=49, clip_length=2).endswith(
        "more/4.npy: Its frames are 48 x 96 (h x w), too small for crops of 49 x 49. … and 1 more."
    )
    assert not (tmp_path / "out").exists()


def test_cuts_need_the_extra(arrays, tmp_path, monkeypatch, decoded):
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    assert refused(UsageError, [arrays], tmp_path / "out", cuts=True).startswith(
        "Finding scene cuts needs PySceneDetect, which cannot be imported: "
    )
    assert decoded == []


def test_the_same_again_does_nothing(arrays, tmp_path, decoded):
    out = take(tmp_path / "out", arrays).out
    assert len(decoded) == 30
    stamps = {path: path.stat().st_mtime_ns for path in [out, *out.iterdir()]}
    take(tmp_path / "out", arrays, workers=3)
    assert len(decoded) == 30
    assert {path: path.stat().st_mtime_ns for path in [out, *out.iterdir()]} == stamps


@pytest.mark.parametrize("change", ["options", "sources", "content"])
def test_something_else_is_only_put_there_when_it_is_asked_for(change, arrays, tmp_path, tree):
    out, sources, options = tmp_path / "out", [arrays], {}
    taken = take(out, *sources)
    match change:
        case "options":
            options = {"clip_length": 4}
        case "sources":
            sources = [arrays / "a.npy"]
        case "content":
            write_array(arrays / "b.npy", numbered(9, first=50))
    before = tree(out)
    assert refused(UsageError, sources, out, **options) == (
        f"{out} exists already. Choose another name, or replace it with --overwrite."
    )
    assert tree(out) == before
    taken = take(out, *sources, overwrite=True, **options)
    assert tree(taken.out) == tree(take(tmp_path / "fresh", *sources, **options).out)


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_a_shard_that_is_not_as_it_was_is_made_again_and_no_other(damage, arrays, tmp_path, decoded, tree):
    taken = take(tmp_path / "out", arrays)
    before, path = tree(taken.out), taken.out / taken.shards()[1]
    stamps = {p: p.stat().st_mtime_ns for p in taken.out.iterdir() if p.name.startswith("shard") and p != path}
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:-9] if damage == "cut" else content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    whole, _ = len(decoded), decoded.clear()
    take(tmp_path / "out", arrays)
    assert 0 < len(decoded) < whole
    assert tree(taken.out) == before
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps


def test_shards_that_are_equal_are_kept(arrays, tmp_path, decoded):
    taken = take(tmp_path / "out", arrays)
    stamps = {name: (taken.out / name).stat().st_mtime_ns for name in taken.shards()}
    decoded.clear()
    cut = take(tmp_path / "out", arrays, clip_length=3, stride=2, min_length=2, overwrite=True)
    assert decoded == []
    assert {name: (cut.out / name).stat().st_mtime_ns for name in cut.shards()} == stamps
    assert set(cut.lengths) == {3}
    write_array(arrays / "bb.npy", numbered(11))
    more = take(tmp_path / "out", arrays, overwrite=True)
    assert sorted(decoded) == [("bb", i) for i in range(11)]
    assert set(stamps) < set(more.shards())


def test_shards_that_are_not_equal_are_swept(arrays, tmp_path, tree):
    take(tmp_path / "out", arrays)
    (tmp_path / "out" / ".0123456789abcdef.latentseq.tmp").write_text("left by another")
    taken = take(tmp_path / "out", arrays, skip=2, overwrite=True)
    assert tree(taken.out) == tree(take(tmp_path / "fresh", arrays, skip=2).out)
    assert len(taken.shards()) == 4


def test_a_damaged_shard_is_made_again(arrays, tmp_path, tree):
    taken = take(tmp_path / "out", arrays)
    before = tree(taken.out)
    for name, length in zip(taken.shards()[:2], (100, None), strict=True):
        data = bytearray((taken.out / name).read_bytes()[:length])
        data[-1] ^= 1
        (taken.out / name).write_bytes(data)
    assert tree(taken.out) != before
    assert tree(take(tmp_path / "out", arrays, overwrite=True).out) == before


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_somebody_else_is_never_replaced(overwrite, arrays, tmp_path, tree):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    (tmp_path / "out" / "shard-mine.h5").write_text("mine")
    before = tree(tmp_path)
    assert refused(UsageError, [arrays], tmp_path / "out", overwrite=overwrite) == (
        f"{tmp_path / 'out'} exists and was not written by this command (it holds no manifest.json), so it is not "
        "replaced. Choose another name, or remove it yourself."
        if overwrite
        else f"{tmp_path / 'out'} exists already. Choose another name, or replace it with --overwrite."
    )
    assert tree(tmp_path) == before


def test_an_empty_folder_may_be_filled(arrays, tmp_path):
    (tmp_path / "out").mkdir()
    assert take(tmp_path / "out", arrays).lengths == [12, 10, 8]


@pytest.mark.parametrize("done", range(7))
@pytest.mark.parametrize("workers", [1, 3])
def test_what_was_interrupted_goes_on_to_the_same_bytes(done, workers, arrays, tmp_path, tree, monkeypatch, decoded):
    whole = take(tmp_path / "whole", arrays, clip_length=4)
    with monkeypatch.context() as patch:
        stop_writing(patch, done)
        with pytest.raises(KeyboardInterrupt):
            take(tmp_path / "out", arrays, clip_length=4, workers=workers)
    left = tree(tmp_path / "out")
    shards = [name for name in left if name.startswith("shard-")]
    assert len(shards) >= done
    assert set(left) == {"ingest.json", *shards}
    decoded.clear()
    assert tree(take(tmp_path / "out", arrays, clip_length=4, workers=workers).out) == tree(whole.out)
    assert len(decoded) == 30 - sum(shard["rows"] for shard in whole.manifest["shards"] if shard["file"] in shards)


def test_what_was_interrupted_is_not_gone_on_with_otherwise(arrays, tmp_path, tree, monkeypatch):
    with monkeypatch.context() as patch:
        stop_writing(patch, 3)
        with pytest.raises(KeyboardInterrupt):
            take(tmp_path / "out", arrays)
    before = tree(tmp_path / "out")
    for options in ({"clip_length": 4}, {"array": "frames"}, {"skip": 2}, {"audio": "none", "seed": 1}):
        assert refused(UsageError, [arrays], tmp_path / "out", **options) == (
            f"{tmp_path / 'out'} holds an ingestion that was not finished, with other options or files. Repeat "
            "the earlier command, choose another name, or replace it with --overwrite."
        )
    assert tree(tmp_path / "out") == before
    taken = take(tmp_path / "out", arrays, skip=2, overwrite=True)
    assert tree(taken.out) == tree(take(tmp_path / "fresh", arrays, skip=2).out)


def test_one_that_was_stopped_in_its_first_moment_is_none(arrays, tmp_path, tree):
    whole = take(tmp_path / "whole", arrays)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".0123456789abcdef.latentseq.tmp").write_text("{")
    assert tree(take(tmp_path / "out", arrays).out) == tree(whole.out)


@pytest.mark.parametrize("trouble", ["interruption", "full disk", "all damaged"])
def test_an_earlier_result_stays_until_there_is_another(trouble, arrays, tmp_path, tree, monkeypatch):
    before = tree(take(tmp_path / "out", arrays).out)
    with monkeypatch.context() as patch:
        if trouble == "all damaged":
            patch.setattr(ArrayFile, "_row", lambda *_: 1 / 0)
            kind = DataError
        else:
            kind = KeyboardInterrupt if trouble == "interruption" else TryAgainError
            stop_writing(patch, 2, kind("the disk is full"))
        with pytest.raises(kind):
            take(tmp_path / "out", arrays, skip=2, overwrite=True)
    after = tree(tmp_path / "out")
    if trouble == "all damaged":
        assert after == before
    assert {name: after[name] for name in before} == before
    # The command that made it finds it done, and sweeps what the other one left.
    assert tree(take(tmp_path / "out", arrays).out) == before


def test_a_full_disk_is_something_to_try_again(arrays, tmp_path, tree, monkeypatch):
    whole = take(tmp_path / "whole", arrays)

    def fill_up(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_up)
        assert "No space left on device" in refused(TryAgainError, [arrays], tmp_path / "out")
    assert tree(take(tmp_path / "out", arrays).out) == tree(whole.out)


def test_a_bar_is_taken_down_whatever_happens(arrays, tmp_path, monkeypatch):
    closed = []
    monkeypatch.setattr(run.Watcher, "close", lambda watcher: closed.append(watcher.title))
    stop_writing(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        take(tmp_path / "out", arrays)
    assert closed == ["ingest"]


def test_finished_shards_do_not_keep_one_from_stopping(arrays, tmp_path, monkeypatch):
    out = take(tmp_path / "out", arrays).out
    plan, stop, looked = run.plan_clips([arrays], out, 1), threading.Event(), []
    monkeypatch.setattr(work, "read_about", lambda path: looked.append(path) or {"parts": []})
    ledger = Ledger(out / "ingest.json", {}, others=True)
    worker = work.Worker(plan, ledger, lambda rows: stop.set(), stop)
    with pytest.raises(work.Stopped):
        worker.do(plan.tasks)
    assert len(looked) == 1


def test_a_dry_run_writes_nothing(arrays, tmp_path, tree):
    before = tree(tmp_path)
    text = ingest([arrays], tmp_path / "out", dry_run=True, workers=2, clip_length=9)
    assert tree(tmp_path) == before
    assert text.splitlines()[:5] == [
        "take in/a.npy: array uint8, 48 x 96, 12 pictures, 25 a second",
        "take in/b.npy: array uint8, 48 x 96, 10 pictures, 25 a second",
        "in/a.npy: (12, 48, 96) read as T H W: 12 frames of 48 x 96, gray",
        "in/b.npy: (10, 48, 96) read as T H W: 10 frames of 48 x 96, gray",
        "skip in/c.npy: It has 8 frames, fewer than the 9 of a clip.",
    ]
    assert text.splitlines()[5:] == [
        "22 frames of 48 x 96 x 1, 25 a second, from 2 of 3 files: 0.1 MB, 5 shards, about 1 s with 2 workers"
    ]


def test_a_dry_run_says_what_is_damaged_only_when_it_is_decoded(tmp_path):
    path = write_array(tmp_path / "a.npy", np.full((3, 48, 96), 2.0))
    assert ingest([path], tmp_path / "out", dry_run=True, workers=1).endswith("about 1 s with 1 worker")


def test_what_was_asked_for_is_kept_while_it_is_made(arrays, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_writing(patch, 0)
        take(tmp_path / "out", arrays, clip_length=4)
    asked = json.loads((tmp_path / "out" / "ingest.json").read_text())
    manifest = take(tmp_path / "whole", arrays, clip_length=4).manifest
    assert asked == {"options": manifest["source"]["config"], "plan": manifest["plan"], "shards": []}


def test_what_was_interrupted_is_not_gone_on_with_by_other_files(arrays, tmp_path, monkeypatch, tree):
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_writing(patch, 1)
        take(tmp_path / "out", arrays)
    before = tree(tmp_path / "out")
    write_array(tmp_path / "other.npy", np.zeros((3, 48, 96)))
    assert refused(UsageError, [tmp_path / "other.npy"], tmp_path / "out").startswith(
        f"{tmp_path / 'out'} holds an ingestion that was not finished, with other options or files."
    )
    assert tree(tmp_path / "out") == before
