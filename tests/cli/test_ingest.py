"""latentseq ingest: what it says, what it answers with, and that other commands take what it makes."""

import json
import re

import numpy as np
import pytest

QUICK = ["--encoder", "honest-encoder", "--steps", 2]


def array(path, count, height=20, width=24, still=False):
    """Write gray pictures of which each is brighter than the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    levels = np.full(count, 99) if still else 4 * np.arange(count) % 256
    np.save(path, np.broadcast_to(levels.astype(np.uint8)[:, None, None], (count, height, width)))
    return path


@pytest.fixture
def footage(write_movie, tmp_path):
    """A film, an array that is short, and what is no footage at all."""
    write_movie("in/film.mp4", 40)
    array(tmp_path / "in" / "short.npy", 6)
    (tmp_path / "in" / "notes.txt").write_text("hello")
    return tmp_path / "in"


def test_what_is_made_can_be_trained_on(honest, footage, cli, tmp_path):
    clips = tmp_path / "clips"
    assert cli("ingest", footage, clips, "--size", 16, "--quiet") == (0, f"{clips}\n", "")
    assert cli("train-ae", clips, tmp_path / "ae", *QUICK, "--quiet") == (0, f"{tmp_path / 'ae'}\n", "")


def test_a_summary_ends_it(footage, cli, tmp_path):
    out = tmp_path / "out"
    answer = cli("ingest", footage, out, "--size", "16x24", "--clip-length", 10, "--fps", 10)
    assert (answer.code, answer.out) == (0, f"{out}\n")
    assert answer.err.splitlines() == [
        "skip in/notes.txt: .txt is not a known type of video, image or array file.",
        "skip in/short.npy: It has 6 frames, fewer than the 10 of a clip.",
        "1 clip, 10 frames of 16 x 24 x 3, from 1 of 3 files",
        "The last fifth of every clip is held out: a tenth for testing, a tenth for validation.",
    ]
    assert cli("ingest", footage, out, "--size", "16x24", "--clip-length", 10, "--fps", 10) == answer
    assert cli("verify", out).code == 0


def test_what_is_held_out_is_chosen(cli, tmp_path):
    for i in range(3):
        array(tmp_path / "in" / f"{i}.npy", 30)
    for choice, summary in (
        ([], "The last fifth of every clip is held out: a tenth for testing, a tenth for validation."),
        (["--hold-out", "clips"], "held out for validation: 1 clip, from in/2.npy"),
    ):
        out = tmp_path / f"out{len(choice)}"
        assert summary in cli("ingest", tmp_path / "in", out, *choice).err.splitlines()
        shown = [line.split() for line in cli("show", out).out.splitlines()]
        assert [line[2:] for line in shown if line[:2] == ["held", "out"]] == [choice[1:]] * bool(choice)
    answer = cli("ingest", tmp_path / "in", tmp_path / "out", "--hold-out", "all")
    assert (answer.code, answer.err) == (2, "error: --hold-out is 'all'; expected 'clips' or 'ends'.\n")


def test_long_lists_are_cut_short(cli, tmp_path):
    array(tmp_path / "in" / "a.npy", 6)
    for i in range(25):
        (tmp_path / "in" / f"{i}.txt").write_text("hello")
    lines = cli("ingest", tmp_path / "in", tmp_path / "out").err.splitlines()
    assert lines[0] == "in/a.npy: (6, 20, 24) read as T H W: 6 frames of 20 x 24, gray"
    assert lines[20].startswith("skip in/19.txt: ")
    assert lines[21:23] == ["… and 5 more", "1 clip, 6 frames of 20 x 24 x 1, from 1 of 26 files"]


def test_different_rates_are_pointed_out(write_movie, cli, tmp_path):
    films = [write_movie("a.mp4", 10, fps=30), write_movie("b.mp4", 10, fps=12), array(tmp_path / "c.npy", 4)]
    hint = "Frame rates differ, from 12 to 30 a second: --fps 12 makes them equal."
    assert cli("ingest", *films, tmp_path / "out").err.splitlines()[-1] == hint
    assert cli("ingest", *films, tmp_path / "out", "--dry-run").out.splitlines()[-1] == hint
    assert "rates differ" not in cli("ingest", *films, tmp_path / "one", "--fps", 12).err


def test_crops_that_are_missing_are_pointed_out(cli, tmp_path):
    moving, still = array(tmp_path / "moving.npy", 30), array(tmp_path / "still.npy", 30, still=True)
    options = ["--crop", 8, "--count", 50, "--motion", 0.01, "--still", 0.2]
    both = cli("ingest", moving, still, tmp_path / "both", *options)
    assert both.err.splitlines()[:2] == [
        "moving.npy and 1 more: (30, 20, 24) read as T H W: 30 frames of 20 x 24, gray",
        "50 clips, 500 frames of 8 x 8 x 1, from 2 of 2 files",
    ]
    lines = cli("ingest", still, tmp_path / "still", *options).err.splitlines()
    clips = int(re.match(r"\d+", lines[1])[0])
    assert 0 < clips < 25
    assert [lines[1], lines[-1]] == [
        f"{clips} clips, {10 * clips} frames of 8 x 8 x 1, from 1 of 1 file",
        "--count is 50, but no other crops have a motion of 0.01",
    ]


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(footage, cli, tmp_path, tree):
    before = tree(tmp_path)
    arguments = ["ingest", footage, tmp_path / "out", "--size", 32, "--clip-length", 10, "--workers", 3, "--dry-run"]
    answer = cli(*arguments)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines() == [
        "take in/film.mp4: video h264 yuv420p, 48 x 96, 40 pictures, 25 a second",
        "skip in/notes.txt: .txt is not a known type of video, image or array file.",
        "skip in/short.npy: It has 6 frames, fewer than the 10 of a clip.",
        "40 frames of 32 x 32 x 3, 25 a second, from 1 of 3 files: 0.1 MB, 1 shard, about 1 s with 3 workers",
    ]
    assert tree(tmp_path) == before


def test_a_dry_run_of_crops_and_of_splits(cli, tmp_path, tree):
    for split in ("train", "test"):
        array(tmp_path / "in" / split / "a.npy", 30)
    answer = cli(
        "ingest", tmp_path / "in", tmp_path / "out", "--crop", 8, "--count", 2000, "--dry-run", "--workers", 1
    )
    assert answer.out.splitlines() == [
        "take in/test/a.npy: array uint8, 20 x 24, 30 pictures, 25 a second, test",
        "take in/train/a.npy: array uint8, 20 x 24, 30 pictures, 25 a second, train",
        "in/test/a.npy and 1 more: (30, 20, 24) read as T H W: 30 frames of 20 x 24, gray",
        "2,000 crops of 8 x 8 x 1, 25 a second, from 2 of 2 files: 1.3 MB, 1 shard, about 1 s with 1 worker",
    ]
    assert not (tmp_path / "out").exists()


def test_a_dry_run_of_a_film_with_sound(shared, cli, tmp_path):
    answer = cli("ingest", shared / "data" / "bigbuckbunny.mp4", tmp_path / "out", "--dry-run", "--workers", 1)
    lines = answer.out.splitlines()
    assert lines[0] == "take bigbuckbunny.mp4: video h264 yuv420p, 720 x 1280, 132 pictures, 25 a second, sound"
    # 132 rows of 64 x 64 x 3 and of 65 numbers of 4 bytes.
    assert lines[1].startswith(
        "132 frames of 64 x 64 x 3 and audio 64 and audio_mask 1, 25 a second, from 1 of 1 file: 1.7 MB, 1 shard, "
    )


def test_every_option_reaches_the_manifest(footage, cli, tmp_path):
    options = ["--size", "16x24", "--fit", "pad", "--gray", "--fps", 50, "--skip", 2, "--min-length", 3]
    options += ["--clip-length", 5, "--stride", 2, "--seed", 9, "--workers", 2, "--audio", "wave", "--cuts"]
    assert cli("ingest", footage, tmp_path / "out", *options, "--array", "x").code == 0
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["source"]["config"] == {
        "size": [16, 24],
        "fit": "pad",
        "gray": True,
        "fps": 50,
        "skip": 2,
        "cuts": True,
        "min_length": 3,
        "clip_length": 5,
        "stride": 2,
        "seed": 9,
        "audio": "none",  # There is no sound.
        "count": 10_000,
        "array": "x",
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--stride", 5],
            "--stride is the distance between clips of --clip-length frames. Give both options, or neither.",
        ),
        (["--audio", "loud"], "--audio is 'loud'; expected 'mel', 'wave' or 'none'."),
        (["--size", "huge"], "The size is 'huge'; expected a number of pixels such as 64, or 48x64 (h x w)."),
        (["--workers", -2], "workers is -2; expected 1 or more, or 0 for one per core."),
    ],
)
def test_an_option_that_does_not_fit(options, message, footage, refused, tmp_path):
    assert refused(2, "ingest", footage, tmp_path / "out", *options) == message


def test_a_source_that_is_not_there(refused, tmp_path):
    message = refused(2, "ingest", tmp_path / "films", tmp_path / "out")
    assert message == f"There is no file or folder {tmp_path / 'films'}. Check the path."
    assert refused(2, "ingest", tmp_path / "out").startswith("Missing argument")


def test_nothing_that_can_be_taken(refused, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.mp4").write_text("no film")
    assert refused(65, "ingest", tmp_path / "in", tmp_path / "out") == (
        "There is no footage: expected videos, folders of images, or arrays. Skipped: in/a.mp4: in/a.mp4 cannot "
        "be read as a video: its content is of no known video format, or its end is missing. Expected a file such as "
        "MP4, MKV, WebM or AVI; copy or export it again, or remove it."
    )


def test_an_existing_result_is_kept_until_it_is_asked_to_be_replaced(footage, cli, refused, tmp_path):
    out = tmp_path / "out"
    assert cli("ingest", footage, out, "--size", 16).code == 0
    message = f"{out} exists already. Choose another name, or replace it with --overwrite."
    assert refused(2, "ingest", footage, out, "--size", 32) == message
    assert cli("ingest", footage, out, "--size", 32, "--overwrite", "--quiet") == (0, f"{out}\n", "")


def test_how_it_was_read_is_in_the_plan_the_manifest_and_the_summary(cli, tmp_path):
    path, out = tmp_path / "a.npy", tmp_path / "out"
    np.save(path, np.zeros((6, 9, 16, 20), np.uint8))
    line = "a.npy: (6, 9, 16, 20) read as T N H W: 9 clips of 6 frames of 16 x 20, gray"
    assert line in cli("ingest", path, out, "--axes", "tnhw", "--dry-run").out.splitlines()
    assert cli("ingest", path, out, "--axes", "tnhw").err.splitlines() == [
        line,
        "9 clips, 54 frames of 16 x 20 x 1, from 1 of 1 file",
        "held out for validation: 1 clip, from a.npy",
        "held out for test: 1 clip, from a.npy",
    ]
    shown = cli("show", out).out
    assert "(6, 9, 16, 20) read as T N H W" in shown
    assert '"axes": "TNHW"' in shown
