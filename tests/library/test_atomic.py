"""Files that are there whole or not at all, whatever happens while they are written."""

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentseq.errors import DataError, TryAgainError, UsageError
from latentseq.storage.atomic import (
    HISTORY,
    check_free,
    output_folder,
    read_json,
    run_folder,
    write_bytes,
    write_json,
)

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
FOLDERS = pytest.mark.parametrize("open_folder", [output_folder, run_folder])


def failing(monkeypatch, where, error):
    """Make a step of writing fail: what comes before it has happened, what comes after has not."""

    def fail(*args, **keywords):
        raise error

    monkeypatch.setattr({"fsync": os, "replace": Path}[where], where, fail)


@pytest.fixture
def earlier(tmp_path):
    """A folder with an earlier result."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    (folder / "data").write_text("earlier")
    return folder


def test_what_is_written_is_there_and_nothing_else(tmp_path, tree):
    digest = write_bytes(tmp_path / "a" / "b" / "file.bin", b"content")
    assert digest == hashlib.sha256(b"content").hexdigest()
    assert tree(tmp_path) == {"a": None, "a/b": None, "a/b/file.bin": b"content"}
    write_bytes(tmp_path / "a" / "b" / "file.bin", b"")
    assert tree(tmp_path) == {"a": None, "a/b": None, "a/b/file.bin": b""}


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_full_disk(where, tmp_path, tree, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    failing(monkeypatch, where, FULL)
    with pytest.raises(TryAgainError) as caught:
        write_bytes(path, b"later")
    assert str(caught.value) == (
        f"{path} (5 bytes) could not be written: No space left on device. What was there before is untouched; "
        "make room or choose another folder, then run the same command again."
    )
    assert tree(tmp_path) == {"file": b"earlier"}


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.EINVAL, "odd"), KeyboardInterrupt(), MemoryError()])
def test_any_other_failure_passes_and_leaves_nothing(where, error, tmp_path, tree, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    failing(monkeypatch, where, error)
    with pytest.raises(type(error)):
        write_bytes(path, b"later")
    assert tree(tmp_path) == {"file": b"earlier"}


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_process_that_is_killed_leaves_the_earlier_file(where, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    owner = {"fsync": "os", "replace": "pathlib.Path"}[where]
    code = f"""
import os, pathlib, signal, sys
from latentseq.storage.atomic import write_bytes
{owner}.{where} = lambda *args: os.kill(os.getpid(), signal.SIGKILL)
write_bytes(pathlib.Path(sys.argv[1]), b"later")
"""
    run = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert run.returncode == -9
    assert path.read_bytes() == b"earlier"
    # What is left of the attempt is hidden, and in the way of nobody.
    assert write_bytes(path, b"again") == hashlib.sha256(b"again").hexdigest()
    assert path.read_bytes() == b"again"
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == ["file"]


def test_json_is_sorted_and_the_same_every_time(tmp_path):
    first = write_json(tmp_path / "a.json", {"b": [1, 2], "a": {"d": 1, "c": None}})
    assert first == write_json(tmp_path / "b.json", {"a": {"c": None, "d": 1}, "b": [1, 2]})
    text = (tmp_path / "a.json").read_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert read_json(tmp_path / "a.json", "settings") == {"a": {"c": None, "d": 1}, "b": [1, 2]}


def test_json_holds_numbers_only(tmp_path, tree):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory."),
        (b"{", "it is not JSON."),
        (b"\xff\xfe", "it is not JSON."),
        (b"[1]", "it holds a list, expected an object."),
    ],
)
def test_json_that_cannot_be_read(content, reason, tmp_path):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_json(path, "a manifest")
    assert str(caught.value) == f"{path} cannot be read as a manifest: {reason}"


@FOLDERS
def test_a_folder_is_made_and_filled(open_folder, tmp_path, tree):
    with open_folder(tmp_path / "a" / "run", "run.json") as folder:
        (folder / "run.json").write_text("{}")
    assert tree(tmp_path) == {"a": None, "a/run": None, "a/run/run.json": b"{}"}


def test_an_output_appears_at_the_end_and_a_run_from_the_start(tmp_path):
    with output_folder(tmp_path / "out", "m") as folder:
        assert folder.parent == tmp_path
        assert folder.name.startswith(".")
        assert not (tmp_path / "out").exists()
    with run_folder(tmp_path / "run", "m") as folder:
        assert folder == tmp_path / "run"
        assert folder.is_dir()


@FOLDERS
def test_an_empty_folder_counts_as_free(open_folder, tmp_path, tree):
    (tmp_path / "run").mkdir()
    with open_folder(tmp_path / "run", "run.json") as folder:
        (folder / "new").touch()
    assert tree(tmp_path) == {"run": None, "run/new": b""}


@FOLDERS
def test_what_exists_is_refused(open_folder, earlier, tmp_path, tree):
    before = tree(tmp_path)
    with pytest.raises(UsageError) as caught, open_folder(earlier, "run.json"):
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
    with pytest.raises(UsageError) as caught, open_folder(path, "run.json", overwrite=True):
        pytest.fail("It was entered.")
    assert str(caught.value) == (
        f"{path} exists and was not made by this command (it holds no run.json), so it is not replaced. "
        "Choose another name, or remove it yourself."
    )
    assert tree(tmp_path) == before


@FOLDERS
def test_an_earlier_result_is_replaced_whole(open_folder, earlier, tmp_path, tree):
    with open_folder(earlier, "run.json", overwrite=True) as folder:
        assert not any(folder.iterdir())
        (folder / "new").touch()
    assert tree(tmp_path) == {"run": None, "run/new": b""}


@FOLDERS
@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), SystemExit(143), OSError(errno.EINVAL, "x")])
def test_a_failure_leaves_the_earlier_result(open_folder, error, earlier, tmp_path, tree):
    before = tree(tmp_path)
    with pytest.raises(type(error)), open_folder(earlier, "run.json", overwrite=True) as folder:
        (folder / "half").write_text("half")
        raise error
    assert tree(tmp_path) == before


@FOLDERS
def test_a_failure_leaves_nothing_where_nothing_was(open_folder, tmp_path, tree):
    with pytest.raises(ValueError, match="x"), open_folder(tmp_path / "run", "run.json") as folder:
        (folder / "half").write_text("half")
        raise ValueError("x")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt()])
def test_a_run_that_has_begun_to_learn_stays_where_nothing_was(error, tmp_path, tree):
    with pytest.raises(type(error)), run_folder(tmp_path / "run", "run.json") as folder:
        (folder / "run.json").write_text("{}")
        (folder / HISTORY).write_text("epoch")
        raise error
    assert tree(tmp_path) == {"run": None, "run/run.json": b"{}", "run/history.csv": b"epoch"}
    # It is one of ours, so it can be replaced.
    with run_folder(tmp_path / "run", "run.json", overwrite=True) as folder:
        assert not any(folder.iterdir())


def test_a_run_that_has_begun_to_learn_gives_way_to_the_earlier_result(earlier, tmp_path, tree):
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="x"), run_folder(earlier, "run.json", overwrite=True) as folder:
        (folder / HISTORY).write_text("epoch")
        raise ValueError("x")
    assert tree(tmp_path) == before


@FOLDERS
def test_a_disk_that_fills_up_meanwhile(open_folder, earlier, tmp_path, tree):
    before = tree(tmp_path)
    with pytest.raises(TryAgainError) as caught, open_folder(earlier, "run.json", overwrite=True) as folder:
        (folder / "half").write_text("half")
        raise FULL
    assert str(earlier) in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "run the same command again" in str(caught.value)
    assert tree(tmp_path) == before


def test_an_output_that_cannot_take_its_place_leaves_the_earlier_one(earlier, tmp_path, tree, monkeypatch):
    before, replace = tree(tmp_path), Path.replace

    def fail(self, target):
        if ".tmp" in self.name:
            raise FULL
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(TryAgainError), output_folder(earlier, "run.json", overwrite=True) as folder:
        (folder / "new").touch()
    assert tree(tmp_path) == before


def test_a_run_that_cannot_be_made_leaves_the_earlier_one(earlier, tmp_path, tree, monkeypatch):
    before = tree(tmp_path)

    def fail(*args, **keywords):
        raise FULL

    monkeypatch.setattr(Path, "mkdir", fail)
    with pytest.raises(TryAgainError) as caught, run_folder(earlier, "run.json", overwrite=True):
        pytest.fail("It was entered.")
    assert str(caught.value) == f"{earlier} cannot be made: No space left on device. Choose another folder."
    assert tree(tmp_path) == before


@pytest.mark.parametrize("open_folder", [output_folder, run_folder])
def test_a_place_below_a_file(open_folder, tmp_path, tree):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises((UsageError, TryAgainError)) as caught, open_folder(tmp_path / "notes.txt" / "run", "m"):
        pytest.fail("It was entered.")
    assert str(tmp_path / "notes.txt") in str(caught.value)
    assert tree(tmp_path) == {"notes.txt": b"mine"}


def test_a_file_below_a_file(tmp_path, tree):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises((UsageError, TryAgainError)) as caught:
        write_bytes(tmp_path / "notes.txt" / "out.gif", b"GIF")
    assert str(tmp_path / "notes.txt") in str(caught.value)
    assert tree(tmp_path) == {"notes.txt": b"mine"}


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
