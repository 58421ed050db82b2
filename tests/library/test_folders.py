"""Folders that are there whole or not at all; runs that can be gone on with; one process at a time."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from children import in_a_child

from latentseq.errors import TryAgainError, UsageError
from latentseq.storage.atomic import read_json
from latentseq.storage.folders import HISTORY, check_free, output_folder, run_folder
from latentseq.storage.workspace import exclusive

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
ASKED = {"command": "train", "epochs": 3, "seed": 0}
LAST = "artifact.json"
RUN = json.dumps(ASKED, indent=2, sort_keys=True).encode() + b"\n"


def output(path, **options):
    return output_folder(path, "run.json", **options)


def run(path, **options):
    return run_folder(path, ASKED, last=LAST, may_change=("epochs",), **options)


FOLDERS = pytest.mark.parametrize("open_folder", [output, run])


@pytest.fixture
def earlier(tmp_path):
    """A folder with an earlier result."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    (folder / LAST).write_text("earlier")
    return folder


def finish(folder):
    """What a run does last."""
    (folder / LAST).write_text("later")


@pytest.mark.parametrize(("open_folder", "own"), [(output, {}), (run, {"a/run/run.json": RUN})])
def test_a_folder_is_made_and_filled(open_folder, own, tmp_path, tree):
    with open_folder(tmp_path / "a" / "run") as folder:
        (folder / "new").write_text("{}")
    assert tree(tmp_path) == {"a": None, "a/run": None, "a/run/new": b"{}", **own}


def test_an_output_appears_at_the_end_and_a_run_from_the_start(tmp_path):
    with output(tmp_path / "out") as folder:
        assert folder.parent == tmp_path / ".out.latentseq"
        assert not (tmp_path / "out").exists()
    with run(tmp_path / "run") as folder:
        assert folder == tmp_path / "run"
        assert read_json(folder / "run.json", "x") == ASKED


@FOLDERS
def test_an_empty_folder_counts_as_free(open_folder, tmp_path):
    (tmp_path / "run").mkdir()
    with open_folder(tmp_path / "run") as folder:
        (folder / "new").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert (tmp_path / "run" / "new").exists()


@FOLDERS
def test_what_exists_is_refused(open_folder, earlier, tmp_path, tree):
    before = tree(tmp_path)
    with pytest.raises(UsageError) as caught, open_folder(earlier):
        pytest.fail("It was entered.")
    assert str(caught.value) == f"{earlier} exists already. Choose another name, or replace it with --overwrite."
    assert tree(tmp_path) == before


@FOLDERS
@pytest.mark.parametrize("content", ["folder", "file"])
def test_what_is_not_ours_is_never_replaced(content, open_folder, tmp_path, tree):
    path = tmp_path / "photos"
    if content == "folder":
        path.mkdir()
    (path / "cat.png" if content == "folder" else path).write_text("miaow")
    before = tree(tmp_path)
    with pytest.raises(UsageError) as caught, open_folder(path, overwrite=True):
        pytest.fail("It was entered.")
    assert str(caught.value) == (
        f"{path} exists and was not written by this command (it holds no run.json), so it is not replaced. "
        "Choose another name, or remove it yourself."
    )
    assert tree(tmp_path) == before


@FOLDERS
def test_an_earlier_result_is_replaced_whole(open_folder, earlier, tmp_path):
    with open_folder(earlier, overwrite=True) as folder:
        assert not (folder / LAST).exists()
        (folder / "new").touch()
        finish(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
    assert {p.name for p in earlier.iterdir()} - {"run.json"} == {"new", LAST}
    assert (earlier / LAST).read_text() == "later"


@FOLDERS
@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(143), OSError(errno.EINVAL, "x")])
def test_a_failure_leaves_the_earlier_result(open_folder, error, earlier, tmp_path, tree):
    before = tree(tmp_path)
    with pytest.raises(type(error)), open_folder(earlier, overwrite=True) as folder:
        (folder / "half").write_text("half")
        raise error
    assert tree(tmp_path) == before


@FOLDERS
def test_a_failure_leaves_nothing_where_nothing_was(open_folder, tmp_path, tree):
    with pytest.raises(ValueError, match="x"), open_folder(tmp_path / "run") as folder:
        (folder / "half").write_text("half")
        raise ValueError("x")
    assert tree(tmp_path) == {}


@FOLDERS
def test_a_disk_that_fills_up_meanwhile(open_folder, earlier, tmp_path, tree):
    before = tree(tmp_path)
    with pytest.raises(TryAgainError) as caught, open_folder(earlier, overwrite=True) as folder:
        (folder / "half").write_text("half")
        raise FULL
    assert str(earlier) in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert tree(tmp_path) == before


@FOLDERS
def test_what_cannot_take_its_place_leaves_the_earlier_one(open_folder, earlier, tmp_path, tree, monkeypatch):
    before, replace = tree(tmp_path), Path.replace

    def fail(self, target):
        if target == earlier and self.name != "old":
            raise FULL
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(TryAgainError), open_folder(earlier, overwrite=True) as folder:
        (folder / "new").touch()
    assert tree(tmp_path) == before


@FOLDERS
def test_a_folder_that_cannot_be_made(open_folder, earlier, tmp_path, tree, monkeypatch):
    before, mkdir = tree(tmp_path), Path.mkdir

    def fail(self, *args, **keywords):
        if not self.exists():
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))
        return mkdir(self, *args, **keywords)

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(TryAgainError) as caught, open_folder(earlier, overwrite=True):
        pytest.fail("It was entered.")
    assert "Read-only file system" in str(caught.value)
    assert tree(tmp_path) == before


@FOLDERS
def test_a_place_below_a_file(open_folder, tmp_path, tree):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises((UsageError, TryAgainError)) as caught, open_folder(tmp_path / "notes.txt" / "run"):
        pytest.fail("It was entered.")
    assert str(tmp_path / "notes.txt") in str(caught.value)
    assert tree(tmp_path) == {"notes.txt": b"mine"}


# Runs that go on.


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
@pytest.mark.parametrize("begun", [HISTORY, "checkpoints/main.json"])
def test_a_run_that_has_begun_to_learn_stays_and_goes_on(begun, error, tmp_path, tree):
    with pytest.raises(type(error)), run(tmp_path / "run") as folder:
        (folder / begun).parent.mkdir(exist_ok=True)
        (folder / begun).write_text("epoch")
        (folder / ".0123456789abcdef.latentseq.tmp").write_text("half")
        raise error
    with pytest.raises(UsageError) as caught, run(tmp_path / "run"):
        pytest.fail("It was entered.")
    assert str(caught.value) == (
        f"{tmp_path / 'run'} holds an unfinished run. Continue it with the same command and --resume, choose "
        "another name, or replace it with --overwrite."
    )
    with run(tmp_path / "run", resume=True) as folder:
        assert (folder / begun).read_text() == "epoch"
        assert not (folder / ".0123456789abcdef.latentseq.tmp").exists()
    # It is one of ours, so it can be replaced.
    with run(tmp_path / "run", overwrite=True) as folder:
        assert [p.name for p in folder.iterdir()] == ["run.json"]


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt(), True), (FULL, True), (ValueError("x"), False)])
def test_what_was_decoded_is_kept_where_a_run_was_only_interrupted(error, kept, tmp_path):
    with pytest.raises((KeyboardInterrupt, TryAgainError, ValueError)), run(tmp_path / "run") as folder:
        (folder / "cache").mkdir()
        raise error
    assert (tmp_path / "run" / "cache").exists() == kept


def test_with_nothing_to_go_on_with_a_run_starts_afresh(tmp_path, tree):
    with run(tmp_path / "run", resume=True) as folder:
        finish(folder)
    assert tree(tmp_path) == {"run": None, "run/run.json": RUN, f"run/{LAST}": b"later"}


def test_the_earlier_result_is_kept_until_the_run_that_replaces_it_is_finished(earlier, tmp_path):
    with pytest.raises(KeyboardInterrupt), run(earlier, overwrite=True) as folder:
        (folder / HISTORY).write_text("epoch")
        raise KeyboardInterrupt
    assert (tmp_path / ".run.latentseq" / "old" / LAST).read_text() == "earlier"
    # Replaced again, it is still the finished one that is kept.
    with pytest.raises(KeyboardInterrupt), run(earlier, overwrite=True) as folder:
        (folder / HISTORY).write_text("other")
        raise KeyboardInterrupt
    assert (tmp_path / ".run.latentseq" / "old" / LAST).read_text() == "earlier"
    with run(earlier, resume=True) as folder:
        assert (folder / HISTORY).read_text() == "other"
        finish(folder)
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_run_of_other_options_is_not_gone_on_with(tmp_path, tree):
    with pytest.raises(KeyboardInterrupt), run(tmp_path / "run") as folder:
        (folder / HISTORY).touch()
        raise KeyboardInterrupt
    before = tree(tmp_path)
    path, other = tmp_path / "run", {**ASKED, "seed": 1}
    with pytest.raises(UsageError) as caught, run_folder(path, other, last=LAST, resume=True):
        pytest.fail("It was entered.")
    assert str(caught.value) == (
        f"{path} is a run with other options: seed was 0, and is 1 now. Repeat the original command, choose another "
        "folder, or replace the run with --overwrite."
    )
    assert tree(tmp_path) == before
    longer = {**ASKED, "epochs": 9}
    with run_folder(path, longer, last=LAST, may_change=("epochs",), resume=True):
        assert read_json(path / "run.json", "x") == longer


def test_an_output_that_was_interrupted_goes_on(tmp_path, tree):
    with pytest.raises(KeyboardInterrupt), output(tmp_path / "out", resumable=True) as folder:
        (folder / "half").write_text("half")
        raise KeyboardInterrupt
    assert not (tmp_path / "out").exists()
    with output(tmp_path / "out", resumable=True) as folder:
        assert (folder / "half").read_text() == "half"
    assert tree(tmp_path) == {"out": None, "out/half": b"half"}


def test_an_output_that_cannot_go_on_begins_anew(tmp_path, tree):
    with pytest.raises(KeyboardInterrupt), output(tmp_path / "out", resumable=True) as folder:
        (folder / "half").touch()
        raise KeyboardInterrupt
    with output(tmp_path / "out"):
        pass
    assert tree(tmp_path) == {"out": None}


# Processes that are killed.


@pytest.mark.parametrize("kind", ["output", "run"])
@pytest.mark.parametrize("there", [False, True])
def test_a_process_may_be_killed_before_any_step(kind, there, tmp_path, tree):
    """Before each renaming and flush: there is the earlier result or the new one, and the next run brings order."""
    steps = [(os, "fsync"), (Path, "replace"), (Path, "unlink")]

    def work(last):
        def counted(call):
            def step(*args, **keywords):
                nonlocal last
                last -= 1
                if last == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **keywords)

            return step

        for owner, name in steps:
            setattr(owner, name, counted(getattr(owner, name)))
        with {"output": output, "run": run}[kind](path, overwrite=True) as folder:
            (folder / "run.json").write_text("{}")
            finish(folder)

    path, last, killed = tmp_path / "run", 1, True
    while killed:
        if there:
            path.mkdir(exist_ok=True)
            (path / "run.json").write_text("{}")
            (path / LAST).write_text("earlier")
        killed = in_a_child(lambda last=last: work(last)) == -signal.SIGKILL
        # What there was before is whole somewhere until the new one is.
        results = [p / LAST for p in (path, tmp_path / ".run.latentseq" / "old") if (p / LAST).exists()]
        assert not there or {file.read_text() for file in results} & {"earlier", "later"}
        with {"output": output, "run": run}[kind](path, overwrite=True) as folder:
            (folder / "run.json").write_text("{}")
            finish(folder)
        assert [p.name for p in tmp_path.iterdir()] == ["run"]
        last += 1
    assert last > 6


# One process at a time.


def test_two_processes_do_not_write_one_folder(tmp_path):
    code = """
import sys
from pathlib import Path
from latentseq.storage.workspace import exclusive
with exclusive(Path(sys.argv[1])):
    print(flush=True)
    sys.stdin.read()
"""
    path = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdin=-1, stdout=-1, text=True) as other:
        other.stdout.readline()
        with pytest.raises(TryAgainError) as caught, run(path):
            pytest.fail("It was entered.")
        assert str(caught.value) == (
            f"{path} is being written by another process (number {other.pid}). Wait until it has ended, or choose "
            "another name."
        )
        with exclusive(tmp_path / "another"):
            pass
        other.kill()
        other.wait()
    # It died with the lock in its hand.
    assert [p.name for p in tmp_path.iterdir()] == [".run.latentseq"]
    with run(path):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_file_is_replaced_when_asked_and_a_folder_never(tmp_path):
    file, folder = tmp_path / "out.gif", tmp_path / "out"
    check_free(file, None)
    file.touch()
    folder.mkdir()
    with pytest.raises(UsageError) as caught:
        check_free(file, None)
    assert str(caught.value) == f"{file} exists already. Choose another name, or replace it with --overwrite."
    check_free(file, None, overwrite=True)
    with pytest.raises(UsageError) as caught:
        check_free(folder, None, overwrite=True)
    assert str(caught.value) == f"{folder} is a folder; expected a file or a free name. Choose another name."
