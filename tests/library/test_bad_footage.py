"""Footage of which something is wrong or strange is taken whole or left out with a reason; what is good always comes.

No file may be taken with fewer frames than it had without being told, end an ingestion, keep it busy, or make it read
or write anything else.
"""

import contextlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from bad_films import COUNT, film, turned
from bad_footage import (
    NAMES,
    broken,
    cut_off,
    damaged,
    film_bombs,
    of_other_kinds,
    of_other_shapes,
    of_other_times,
    of_the_disk,
    playlists,
)
from bad_pictures import Case, array_bombs, case, of_arrays, of_images, of_records
from ingesting import Taken, ingest, take
from PIL import Image

from latentseq_cli.main import run

GOOD = 12
OPTIONS = {"size": "24x48", "array": "frames", "workers": 2}
NAMED = {f"called {written}": case(name, film(), COUNT) for name, written in NAMES.items()}
TABLES = (cut_off, broken, of_other_kinds, of_other_times, of_other_shapes, of_the_disk, of_images, of_arrays)
CASES = {name: each for table in (*TABLES, of_records, playlists) for name, each in table().items()} | NAMED
DAMAGED = damaged()
ALL = list(range(COUNT))
SHOWN = {
    "repeated times": ALL,
    "times finer than the clock": ALL,
    "variable": ALL,
    "5 s late": ALL,
    "reordered without times": ALL,
    "reordered in a transport stream": ALL,
    "an edit list": ALL[8:],
    "no keyframe first": ALL[8:],
    "no keyframe first in a stream": ALL[8:],
    "two streams in one": ALL + ALL[:20],
    "two streams of different rates": ALL + ALL[:20],
    "another size": ALL * 2,
    "another colour": ALL * 2,
    "film and sound in an mkv": ALL,
    "10 bits": ALL,
    "gray": ALL,
    "transparent": ALL,
    "rgba": ALL,
    "a palette": ALL,
    "vp8 with alpha": ALL,
    "vp9 with alpha": ALL,
    **{f"a {suffix}": ALL for suffix in ("3gp", "h264", "m2ts", "mts", "vob", "y4m")},
    "good images": ALL[:6],
    "a good array": ALL[:6],
    "floats": ALL[:6],
    "good records": ALL[:6] * 2,
}
TOLD = {
    "a h264": "h264 yuv420p, no times of its own: taken to be evenly spaced",
    "interlaced": "h264 yuv420p, interlaced: of each frame the top field is taken",
    "an edit list": "h264 yuv420p, 8 of 24 frames edited away",
    "no keyframe first": "h264 yuv420p, without 4 before the first keyframe",
    "no keyframe first in a stream": "h264 yuv420p, without 4 before the first keyframe",
}


@pytest.fixture
def beside(tmp_path, monkeypatch, numbers):
    """Ingests what is made beside a good film, which has to be there afterwards as the only thing that changed."""
    monkeypatch.chdir(tmp_path)

    def call(make) -> Taken:
        folder = prepared(tmp_path, make)
        before = everything(tmp_path)
        taken = take(tmp_path / "out", folder, **OPTIONS)
        assert {name: value for name, value in everything(tmp_path).items() if not name.startswith("out")} == before
        assert numbers(frames_of(taken, "in/good.mp4")) == list(range(GOOD))
        return taken

    return call


def prepared(folder, make) -> Path:
    """A folder with a good film and something else."""
    inside = folder / "in"
    inside.mkdir()
    (inside / "good.mp4").write_bytes(film(count=GOOD))
    make(inside)
    return inside


def everything(folder) -> dict[str, tuple[int, ...]]:
    """What is in a folder, not followed where it is a link nor opened where it is a pipe."""
    found = {}
    for here, below, names in os.walk(folder):
        for name in (*below, *names):
            about = (Path(here) / name).lstat()
            times = () if name in below else (about.st_mtime_ns,)
            found[str((Path(here) / name).relative_to(folder))] = (about.st_mode, about.st_size * bool(times), *times)
    return found


def frames_of(taken, name) -> np.ndarray:
    """All frames of a source."""
    number = taken.sources.index(name)
    return np.concatenate([taken.frames[i] for i, source in enumerate(taken.of_clips("source")) if source == number])


def check(each: Case, sources: list[dict], skipped: list[dict]) -> None:
    """What came of a case is what was to come of it, and of nothing else."""
    came = {source["path"]: source["frames"] for source in sources if source["path"] != "in/good.mp4"}
    came |= {other["path"]: other["reason"] for other in skipped}
    expected = {str(Path("in", NAMES.get(name, name))): result for name, result in each.result.items()}
    assert came.keys() == expected.keys(), came
    for name, result in expected.items():
        if isinstance(result, str):
            reason = re.escape(result.replace("{}", name)).replace("…", ".*")
            assert re.fullmatch(reason, str(came[name])), came[name]
        else:
            assert came[name] == result


@pytest.mark.parametrize("name", CASES)
def test_it_is_taken_whole_or_left_out_with_a_reason(name, beside, numbers, tmp_path):
    (tmp_path / "closed").touch(0)
    if name == "no right to read" and os.access(tmp_path / "closed", os.R_OK):
        pytest.skip("needs a user who may not read everything, as root may")
    taken = beside(CASES[name].make)
    check(CASES[name], taken.manifest["sources"], taken.manifest["skipped"])
    for source in taken.manifest["sources"]:
        assert len(frames_of(taken, source["path"])) == source["frames"] == source["rows"]
        if source["path"] != "in/good.mp4":
            assert source["detail"] == TOLD.get(name, source["detail"])
            if name in SHOWN:
                assert numbers(frames_of(taken, source["path"])) == SHOWN[name]


SENTENCES = (
    "is cut short: ",
    "is damaged at byte ",
    "is damaged at frame ",
    "is damaged after frame ",
    "is damaged: it lists ",
    "cannot be read as a video: ",
    "has no video stream; ",
    "has a video codec that is not supported; ",
)
SIZES = re.compile(r"is \d+ x \d+ \(h x w\), \d+ pixels; |Its frames are \d+ x \d+ \(h x w\), and would have to be ")


@pytest.mark.parametrize(
    "name", [name if name[0] == "0" else pytest.param(name, marks=pytest.mark.slow) for name in DAMAGED]
)
def test_damage_is_concealed_or_told(name, beside):
    file = f"in/bad.{name.rpartition('.')[2]}"
    taken = beside(lambda folder: (folder.parent / file).write_bytes(DAMAGED[name]))
    assert len(taken.sources) + len(taken.skipped) == 2
    if file in taken.skipped:
        reason = taken.skipped[file]
        assert reason.startswith(tuple(f"{file} {sentence}" for sentence in SENTENCES)) or SIZES.search(reason)
        assert reason.endswith(".")
        return
    source = taken.manifest["sources"][taken.sources.index(file)]
    assert len(frames_of(taken, file)) == source["rows"] == source["frames"]
    if source["frames"] != COUNT:
        assert source["frames"] < COUNT
        assert re.search(r", (\d+ of \d+ frames edited away|without \d+ before the first keyframe)", source["detail"])


def test_damage_is_not_always_refused_and_not_always_overlooked(tmp_path):
    """Without which the test of damage could be passed by refusing everything, or nothing."""
    (tmp_path / "in").mkdir()
    for name, data in DAMAGED.items():
        (tmp_path / "in" / f"{name}").write_bytes(data)
    taken = take(tmp_path / "out", tmp_path / "in", **OPTIONS)
    for kind in ("mp4", "mkv", "webm", "avi"):
        for way in ("flipped", "zeroed"):
            assert any(way in source and source.endswith(kind) for source in taken.sources), (way, kind)
            assert any(way in source and source.endswith(kind) for source in taken.skipped), (way, kind)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("variable", 0, 0.974),
        ("5 s late", 5, 5.96),
        ("before zero", -1.92, -0.96),
        ("an edit list", 0, 0.64),
        ("no keyframe first", 0.32, 0.96),
    ],
)
def test_times_are_those_of_the_film(name, start, end, beside):
    taken = beside(CASES[name].make)
    clip = taken.of_clips("source").index(taken.sources.index("in/" + next(iter(CASES[name].result))))
    assert (taken.of_clips("start")[clip], taken.of_clips("end")[clip]) == pytest.approx((start, end), abs=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_can_be_written_down(name, tmp_path):
    folder = prepared(tmp_path, NAMED[f"called {NAMES[name]}"].make)
    plan = ingest([folder], tmp_path / "out", dry_run=True, **OPTIONS)
    assert f"take in/{NAMES[name]}: video h264 yuv420p, 24 x 48, 24 pictures, 25 a second" in plan.splitlines()
    assert all(line.isprintable() and line.encode() for line in plan.splitlines())


def test_a_reason_can_be_written_down_whatever_the_name(tmp_path):
    folder = prepared(tmp_path, case(os.fsdecode(b"line\n\xff.mp4"), film()[:-100], 0).make)
    taken = take(tmp_path / "out", folder, **OPTIONS)
    length = len(film())
    assert taken.skipped == {
        "in/line\\n\\xff.mp4": f"in/line\\n\\xff.mp4 is cut short: it lists {length} bytes, and {length - 100} are "
        "there. Copy or download the file again."
    }


@pytest.mark.parametrize("name", playlists())
def test_what_a_list_names_is_not_opened(name, tmp_path):
    folder = prepared(tmp_path, CASES[name].make)
    secret, control = next((tmp_path / "secret").iterdir()), tmp_path / "control"
    control.write_bytes(b"hello")
    for path in (secret, control):
        os.utime(path, (0, 1))  # Last opened before it was written: the next time is noted.
    control.read_bytes()
    if control.stat().st_atime == 0:
        pytest.skip("needs a disk that notes when a file is read")
    taken = take(tmp_path / "out", folder, **OPTIONS)
    assert taken.sources == ["in/good.mp4"]
    assert secret.stat().st_atime == 0


@pytest.mark.parametrize("by", ["90", "180", "270"])
def test_a_film_that_is_turned_is_upright(by, tmp_path):
    matrix = {"90": (0, 1, -1, 0), "180": (-1, 0, 0, -1), "270": (0, -1, 1, 0)}[by]
    (tmp_path / "flat.mp4").write_bytes(film())
    (tmp_path / "turned.mp4").write_bytes(turned(film(), matrix))
    flat = take(tmp_path / "a", tmp_path / "flat.mp4").frames[0]
    upright = take(tmp_path / "b", tmp_path / "turned.mp4").frames[0]
    np.testing.assert_array_equal(upright, np.rot90(flat, -int(by) // 90, axes=(1, 2)))
    if not shutil.which("ffmpeg"):
        pytest.skip("needs ffmpeg to compare with")
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "turned.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    shown = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    expected = np.frombuffer(shown, np.uint8).reshape(upright.shape).astype(int)
    assert np.abs(expected - upright).mean() < 3


@pytest.mark.parametrize("name", ["a.mov", "a.gif"])
def test_what_is_transparent_is_black(name, tmp_path):
    """Whatever colour lies there: both halves are white, and the left one is transparent."""
    picture = np.full((24, 48, 4), 255, np.uint8)
    picture[:, :24, 3] = 0
    if name == "a.gif":
        images = [Image.fromarray(picture).rotate(180 * turn) for turn in (0, 1)]
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:], disposal=2)
    else:
        with av.open(str(tmp_path / name), "w") as file:
            stream = file.add_stream("png", rate=25)
            stream.height, stream.width, stream.pix_fmt = 24, 48, "rgba"
            for turned_by in (0, 2):
                turned_round = np.ascontiguousarray(np.rot90(picture, turned_by))
                file.mux(stream.encode(av.VideoFrame.from_ndarray(turned_round, "rgba")))
            file.mux(stream.encode())
    first, second = take(tmp_path / "out", tmp_path / name).frames[0]
    assert (first[:, :24].max(), first[:, 24:].min()) == (0, 255)
    assert (second[:, 24:].max(), second[:, :24].min()) == (0, 255)


def test_a_film_that_claims_to_last_for_ever_is_not_filled_up(tmp_path):
    folder = prepared(tmp_path, case("a.mkv", film("a.mkv", 4, times=(0, 40, 80, 10**9)), 0).make)
    taken = take(tmp_path / "out", folder, fps=25, **OPTIONS)
    assert taken.skipped == {
        "in/a.mkv": "It lasts 1000000 s, 25000001 frames at 25 a second; expected at most 10000000. "
        "Choose another --fps, or export it again."
    }
    assert take(tmp_path / "all", folder, **OPTIONS).lengths == [4, GOOD]


ALONE = (
    "end.mp4 50 %",
    "start.mp4 99 %",
    "a.mkv 95 %",
    "a.avi 65 %",
    "a.avi 99 %",
    "empty",
    "text",
    "an mp4 called png",
    "an mp4 called mkv",
    "sound in an mp4",
    "an unknown codec",
    "no keyframe first",
    "two streams in one",
    "4000 x 2",
    "endless pixels",
    "a pipe",
    "a socket",
    "a link to itself",
    "hidden",
    "a list of parts",
    "two sizes",
    "50 % of a jpg",
    "modes",
    "not a number",
    "a pickle",
    "a wrong pixel",
    "good records",
    "called --help.mp4",
)


@pytest.mark.parametrize("name", ALONE)
def test_alone_it_is_taken_or_one_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    CASES[name].make(tmp_path / "in")
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(["ingest", "in", "out", "--size", "24x48", "--array", "frames"])
    lines = err.getvalue().splitlines()
    if any(isinstance(result, int) for result in CASES[name].result.values()):
        assert (code, out.getvalue()) == (0, "out\n")
        manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
        check(CASES[name], manifest["sources"], manifest["skipped"])
    else:
        assert (code, out.getvalue(), len(lines)) == (65, "", 1)
        nothing = "error: There is no footage: expected videos, folders of images, or arrays."
        assert lines[0].startswith(nothing)
        reasons = [
            {"path": "in/" + file, "reason": lines[0].partition(f"Skipped: {'in/' + file if file else 'in'}: ")[2]}
            for file in CASES[name].result
        ]
        check(CASES[name], [], reasons) if reasons else None
        assert not (tmp_path / "out").exists()


MEASURED = """
import resource, sys
from latentseq import IngestOptions, Preprocessing, ingest

def peak():
    try:
        with open("/proc/self/status") as status:
            return int(next(line.split()[1] for line in status if line.startswith("VmHWM")))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

for folder in sys.argv[1:]:
    how = {"preprocessing": Preprocessing("24x48"), "options": IngestOptions(array="frames"), "workers": 2}
    ingest([folder + "/in"], folder + "/out", **how, quiet=True)
    print(peak())
"""


@pytest.mark.parametrize("bombs", [film_bombs, array_bombs], ids=lambda bombs: bombs.__name__)
def test_what_would_fill_the_memory_does_not(bombs, tmp_path):
    """In a process of its own, whose peak is that of the worst of them."""
    cases = {tmp_path / name.replace(" ", "-"): each for name, each in bombs().items()}
    for folder, each in cases.items():
        folder.mkdir()
        prepared(folder, each.make)
    command = [sys.executable, "-c", MEASURED, *map(str, cases)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for (folder, each), line in zip(cases.items(), done.stdout.splitlines(), strict=True):
        manifest = json.loads((folder / "out" / "manifest.json").read_text())
        check(each, manifest["sources"], manifest["skipped"])
        assert {"in/good.mp4": GOOD}.items() <= {s["path"]: s["rows"] for s in manifest["sources"]}.items()
        assert int(line) < 512 * 1024, folder.name  # kB.
