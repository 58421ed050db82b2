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
from latentseq.storage.atomic import read_json, write_bytes, write_json

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def failing(monkeypatch, where, error):
    """Make a step of writing fail: what comes before it has happened, what comes after has not."""

    def fail(*args, **keywords):
        raise error

    monkeypatch.setattr({"fsync": os, "replace": Path}[where], where, fail)


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
        f"{path} (5 bytes) could not be written: No space left on device. Earlier files are unchanged. "
        "Make room or choose another folder, then run the same command again."
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
        (b"[1]", "it holds a list; expected an object."),
    ],
)
def test_json_that_cannot_be_read(content, reason, tmp_path):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_json(path, "a manifest")
    assert str(caught.value) == f"{path} cannot be read as a manifest: {reason}"


def test_a_file_below_a_file(tmp_path, tree):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises((UsageError, TryAgainError)) as caught:
        write_bytes(tmp_path / "notes.txt" / "out.gif", b"GIF")
    assert str(tmp_path / "notes.txt") in str(caught.value)
    assert tree(tmp_path) == {"notes.txt": b"mine"}
