"""An ingestion that is killed, at any moment and again and again, ends in the bytes of one that never was."""

import json
import shutil
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from ingesting import Taken, numbered, scenes, write_array, write_film, write_images

HERE = __file__.rpartition("/")[0]
SCENES = {"cuts": True, "min_length": 5, "clip_length": 8, "stride": 4, "size": 64}
CROPS = {"crop": 24, "count": 400, "motion": 0.03, "clip_length": 6}
SMALL = f"""
from latentseq.ingestion import plan
plan.SHARD_BYTES = plan.STRETCH_BYTES = {12 * 64 * 64 * 3}
"""

# Forks a child for every line, which does an ingestion, and so need not import anything. A child is killed when its
# time is up, or kills itself right before its n-th step: a flush to disk, a renaming or a removal.
PARENT = f"""
import json, mmap, os, signal, sys, threading, time
from pathlib import Path
{SMALL}
sys.path.insert(0, {HERE!r})
from ingesting import ingest

print(*{{"keras", "tensorflow", "jax", "torch"}} & set(sys.modules), flush=True)
steps, lock = mmap.mmap(-1, 8), threading.Lock()

def counted(call, last):
    def step(*args, **keywords):
        with lock:
            number = int.from_bytes(steps[:], "big") + 1
            if number == last:
                os.kill(os.getpid(), signal.SIGKILL)
            steps[:] = number.to_bytes(8, "big")
        return call(*args, **keywords)
    return step

def work(last, asked):
    os.fsync = counted(os.fsync, last)
    Path.replace, Path.unlink = counted(Path.replace, last), counted(Path.unlink, last)
    ingest(**asked, quiet=True)
    os._exit(0)

for line in sys.stdin:
    asked = json.loads(line)
    last, seconds = asked.pop("last"), asked.pop("seconds")
    steps[:] = bytes(8)
    child = os.fork()
    if not child:
        work(last, asked)
    until = time.monotonic() + seconds
    while not os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT | os.WNOHANG) and time.monotonic() < until:
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int.from_bytes(steps[:], "big"), flush=True)
"""


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Three films, one of them with sound, images, and an array that turns out to be damaged."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(0)
    for name, lengths in (("a.mp4", (40, 35, 20, 25)), ("b.mkv", (50, 30)), ("c.mp4", (30,) * 4)):
        film = scenes(lengths, 96, 132)
        film[:, 40:, 40:] ^= random.integers(0, 64, (len(film), 56, 92, 1), np.uint8)
        sound = np.sin(np.arange(16000 * 4) / 9) / 2 if name == "c.mp4" else None
        write_film(folder / name, film, sound=sound, keyframes=30)
    write_images(folder / "shots", numbered(30))
    write_array(folder / "damaged.npy", np.linspace(0, 1.2, 60)[:, None, None] * np.ones((48, 96)))
    return folder


@pytest.fixture(scope="module")
def run(films):
    """Ingests in a process of its own, for at most so many seconds or steps: its exit code, and how many it took."""
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=-1, stdout=-1, text=True) as parent:
        assert parent.stdout.readline() == "\n", "Nothing of a framework is imported."

        def once(out, *, seconds=60, last=0, **options):
            asked = {"sources": [str(films)], "out": str(out), "seconds": seconds, "last": last, **options}
            parent.stdin.write(json.dumps(asked) + "\n")
            parent.stdin.flush()
            code, steps = map(int, parent.stdout.readline().split())
            assert code in (0, -signal.SIGKILL)
            return code, steps

        yield once
        parent.stdin.close()
        assert parent.wait(10) == 0


@pytest.fixture(scope="module")
def undisturbed(run, tmp_path_factory):
    """What comes of the scenes and of the crops, and the seconds it takes."""
    folders = {}
    for name, options in (("scenes", SCENES), ("crops", CROPS)):
        start = time.monotonic()
        folder = tmp_path_factory.mktemp("undisturbed") / name
        assert run(folder, **options)[0] == 0
        folders[name] = folder, time.monotonic() - start
    return folders


@pytest.mark.parametrize(
    ("name", "options", "workers", "most"),
    [
        ("scenes", SCENES, 4, 2),
        ("crops", CROPS, 1, 1),
        *(
            pytest.param(name, options, workers, 5, marks=pytest.mark.slow)
            for name, options in (("scenes", SCENES), ("crops", CROPS))
            for workers in (1, 4)
        ),
    ],
)
def test_killed_at_any_moment(name, options, workers, most, run, undisturbed, tmp_path, tree):
    whole, took = tree(undisturbed[name][0]), undisturbed[name][1]
    assert len(whole) > 12
    random, kills, number = np.random.default_rng(workers), 0, 0
    while kills < most:
        out, code = tmp_path / str(number), None
        while code != 0:
            seconds = random.uniform(0, took) if kills < most else 60
            code, _ = run(out, workers=workers, seconds=seconds, **options)
            kills += code != 0
        assert tree(out) == whole
        number += 1


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_killed_before_every_step_of_the_beginning(workers, run, undisturbed, tmp_path, tree):
    # Flush and renaming of ingest.json, then those of the first shards; every run goes on from the one before.
    for last in range(1, 8):
        assert run(tmp_path / "out", workers=workers, last=last, **SCENES) == (-signal.SIGKILL, last - 1)
        assert not (tmp_path / "out" / "manifest.json").exists()
    assert run(tmp_path / "out", workers=workers, **SCENES)[0] == 0
    assert tree(tmp_path / "out") == tree(undisturbed["scenes"][0])


def test_killed_before_every_step_of_the_end(run, films, tmp_path, tree):
    options = {**SCENES, "sources": [str(films / "a.mp4"), str(films / "b.mkv")]}
    run(tmp_path / "whole", **options)
    whole = tree(tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "out")
    # As it was when all shards were there.
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    asked = {"options": manifest["source"]["config"], "plan": manifest["plan"], "shards": manifest["shards"]}
    (tmp_path / "out" / "manifest.json").unlink()
    (tmp_path / "out" / "ingest.json").write_text(json.dumps(asked))
    last = 0
    while not (tmp_path / "out" / "manifest.json").exists():
        last += 1
        assert run(tmp_path / "out", last=last, **options)[0] == -signal.SIGKILL
    assert (
        last > 3
    )  # There are steps before the renaming of the manifest, and at least the flush of the folder after it.
    assert (tmp_path / "out" / "ingest.json").exists()
    assert tree(tmp_path / "out") != whole
    assert run(tmp_path / "out", last=1, **options)[0] == -signal.SIGKILL
    assert run(tmp_path / "out", **options)[0] == 0
    assert tree(tmp_path / "out") == whole


@pytest.mark.parametrize("every", [13, pytest.param(6, marks=pytest.mark.slow)])
def test_killed_while_another_result_is_replaced(every, run, undisturbed, tmp_path, tree):
    run(tmp_path / "out", skip=3, size=64)
    earlier, whole = tree(tmp_path / "out"), tree(undisturbed["scenes"][0])
    last, kills, steps = 2, 0, []
    while run(tmp_path / "out", last=last, overwrite=True, workers=2, **SCENES)[0] != 0:
        kills, last = kills + 1, last + every
        there = tree(tmp_path / "out")
        # Either the earlier result is still whole, or the new one is.
        result = earlier if there["manifest.json"] == earlier["manifest.json"] else whole
        assert {name: there[name] for name in result} == result
        steps.append(result is earlier)
        assert Taken(tmp_path / "out").manifest["fps"] > 0
    assert kills >= 3
    assert steps[0]
    assert tree(tmp_path / "out") == whole


@pytest.mark.parametrize(
    ("sent", "code", "told"), [(signal.SIGINT, 130, "error: interrupted.\n"), (signal.SIGTERM, 143, "")]
)
def test_stopped_on_the_command_line(sent, code, told, run, undisturbed, films, tmp_path, tree):
    program = f"{SMALL}\nfrom latentseq_cli.main import main\nmain()"
    options = [f"--{key.replace('_', '-')}={value}" for key, value in SCENES.items() if key != "cuts"]
    command = [
        sys.executable,
        "-c",
        program,
        "ingest",
        str(films),
        str(tmp_path / "out"),
        "--cuts",
        "--quiet",
        *options,
    ]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # A shell's background jobs are deaf to it.
    with subprocess.Popen(command, stdout=-1, stderr=-1, text=True, preexec_fn=heard) as process:
        until = time.monotonic() + 30
        while not list((tmp_path / "out").glob("shard-*.h5")):
            assert time.monotonic() < until and process.poll() is None
            time.sleep(0.001)
        process.send_signal(sent)
        assert process.wait(10) == code
        assert (process.stdout.read(), process.stderr.read()) == ("", told)
    left = tree(tmp_path / "out")
    assert "ingest.json" in left
    assert "manifest.json" not in left
    assert run(tmp_path / "out", **SCENES)[0] == 0
    assert tree(tmp_path / "out") == tree(undisturbed["scenes"][0])
