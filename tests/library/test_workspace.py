"""What lies beside an output: nothing of somebody else is written, followed, moved or removed."""

import os
import re
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from children import in_a_child

from latentseq.drawing.picture import Row
from latentseq.drawing.writers import write
from latentseq.errors import TryAgainError, UsageError
from latentseq.storage.atomic import sweep, write_bytes
from latentseq.storage.folders import output_folder, run_folder
from latentseq.storage.workspace import LOCK, MARK, exclusive, write_output

LAST = "artifact.json"
OLD_NAMES = ("lock", "part", "new", "gone", "old", "tmp")
"""What earlier versions put beside an output, whoever had such a file there."""


def write_file(path):
    write_output(path, b"ours")


def write_folder(path):
    with output_folder(path, "run.json", overwrite=True) as folder:
        (folder / "run.json").write_text("{}")


def write_run(path):
    with run_folder(path, {"seed": 0}, last=LAST, overwrite=True) as folder:
        (folder / LAST).write_text("{}")


WRITERS = pytest.mark.parametrize("write_it", [write_file, write_folder, write_run])


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def in_the_way(path):
    return (
        f"{path} is in the way: latentseq keeps unfinished work under that name, but it was not written by "
        "latentseq, or belongs to another user. It stays unchanged. Move it away, or choose another output."
    )


# Links and files that somebody has put where an output is to be written.


@WRITERS
@pytest.mark.parametrize("kind", ["link", "folder"])
def test_hostile_names_of_earlier_versions_are_left_alone(kind, write_it, tmp_path, tree):
    letter = tmp_path / "letter"
    letter.write_text("my letter")
    names = [f".out.{name}" for name in OLD_NAMES] + [f".out.{os.getpid()}.tmp"]
    for name in names:
        if kind == "link":
            (tmp_path / name).symlink_to(letter)
        else:
            (tmp_path / name).mkdir()
            (tmp_path / name / "run.json").write_text("my diary")
    before = tree(tmp_path)
    write_it(tmp_path / "out")
    after = tree(tmp_path)
    assert {name: after.get(name, "gone") for name in before} == before
    assert {Path(name).parts[0] for name in after} == {"letter", "out", *names}
    assert all((tmp_path / name).is_symlink() == (kind == "link") for name in names)


@WRITERS
@pytest.mark.parametrize(
    "kind", ["link", "dangling", "file", "pipe", "folder", "lock-link", "lock-folder", "lock-text"]
)
def test_hostile_workspaces_are_told_and_left_alone(kind, write_it, tmp_path, tree):
    """Somebody else's file, folder or link has the name of the workspace, or of the lock in it."""
    work, letter, theirs = tmp_path / ".out.latentseq", tmp_path / "letter", tmp_path / "theirs"
    letter.write_text("")  # An empty file looks like a new lock.
    theirs.mkdir()
    if kind == "link":
        work.symlink_to(theirs)
    elif kind == "dangling":
        work.symlink_to(tmp_path / "nowhere")
    elif kind == "file":
        work.write_text("mine")
    elif kind == "pipe":
        os.mkfifo(work)
    else:
        work.mkdir()
        if kind == "folder":
            (work / "old").mkdir()
            (work / "old" / "run.json").write_text("my diary")
        elif kind == "lock-link":
            (work / LOCK).symlink_to(letter)
        elif kind == "lock-folder":
            (work / LOCK).mkdir()
        else:
            (work / LOCK).write_text("my lock")
    before = tree(tmp_path)
    with pytest.raises(UsageError) as caught:
        write_it(tmp_path / "out")
    assert str(caught.value) == in_the_way(work)
    assert tree(tmp_path) == before


def test_hostile_an_empty_lock_beside_other_files_is_no_mark(tmp_path, tree):
    work = tmp_path / ".out.latentseq"
    (work / "old").mkdir(parents=True)
    (work / LOCK).touch()
    before = tree(tmp_path)
    with pytest.raises(UsageError) as caught, exclusive(tmp_path / "out"):
        pytest.fail("It was entered.")
    assert str(caught.value) == in_the_way(work)
    assert tree(tmp_path) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can give a folder away.")
def test_hostile_a_workspace_of_another_user_is_not_used(tmp_path, tree):
    """As in /tmp, where everybody may put one, with links to wherever in it."""
    work = tmp_path / ".out.latentseq"
    work.mkdir()
    (work / LOCK).write_bytes(MARK)
    os.chown(work, 4711, 4711)
    before = tree(tmp_path)
    with pytest.raises(UsageError) as caught:
        write_file(tmp_path / "out")
    assert str(caught.value) == in_the_way(work)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("write_it", "names"),
    [(write_file, ["file"]), *((w, ["file", "new", "gone"]) for w in (write_folder, write_run))],
)
def test_hostile_links_in_a_workspace_are_removed_and_not_followed(write_it, names, tmp_path, tree):
    """Whatever is in a workspace of ours, no file outside of it is written or removed."""
    work, letters = tmp_path / ".out.latentseq", tmp_path / "letters"
    letters.mkdir()
    (letters / "letter").write_text("my letter")
    work.mkdir()
    (work / LOCK).write_bytes(MARK)
    for name in names:
        (work / name).symlink_to(letters / "letter" if name == "file" else letters)
    write_it(tmp_path / "out")
    assert tree(letters) == {"letter": b"my letter"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["letters", "out"]
    assert not (tmp_path / "out").is_symlink()


def test_hostile_an_output_that_is_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "letter").write_text("my letter")
    (tmp_path / "out").symlink_to(tmp_path / "letter")
    write_file(tmp_path / "out")
    assert (tmp_path / "letter").read_text() == "my letter"
    assert not (tmp_path / "out").is_symlink()


def test_hostile_temporary_names_cannot_be_foreseen_or_followed(tmp_path, monkeypatch, tree):
    (tmp_path / "letter").write_text("my letter")
    monkeypatch.setattr("secrets.token_hex", lambda n: "0" * 2 * n)
    (tmp_path / ".0000000000000000.latentseq.tmp").symlink_to(tmp_path / "letter")
    before = tree(tmp_path)
    with pytest.raises(TryAgainError, match="File exists"):
        write_bytes(tmp_path / "out", b"ours")
    assert tree(tmp_path) == before
    monkeypatch.undo()
    seen = set()
    monkeypatch.setattr(
        "os.open", lambda path, *rest, call=os.open: (seen.add(Path(path).name), call(path, *rest))[1]
    )
    for _ in range(2):
        write_bytes(tmp_path / "out", b"ours")
    names = {name for name in seen if re.fullmatch(r"\.[0-9a-f]{16}\.latentseq\.tmp", name)}
    assert len(names) == 2


def test_hostile_only_our_own_abandoned_files_are_swept(tmp_path, tree, monkeypatch):
    """A user's hidden files stay, and so do links, sockets and what a living process is writing."""
    name = ".{:016x}.latentseq.tmp".format
    mine = [".notes.tmp", ".notes.4711.tmp", ".x.latentseq.tmp", ".0123456789ABCDEF.latentseq.tmp", "a.latentseq.tmp"]
    for each in mine:
        (tmp_path / each).write_text("mine")
    (tmp_path / name(1)).symlink_to(tmp_path / mine[0])
    (tmp_path / name(2)).mkdir()
    bound = socket.socket(socket.AF_UNIX)
    monkeypatch.chdir(tmp_path)  # The path of a socket must be short.
    bound.bind(name(3))
    before = tree(tmp_path)
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / name(4)).write_text("half")
    begun, go_on = os.pipe(), os.pipe()

    def write_slowly():
        os.fsync = lambda _: (os.write(begun[1], b"."), os.read(go_on[0], 1))
        write_bytes(tmp_path / "alive", b"alive")

    def sweep_meanwhile():
        os.read(begun[0], 1)
        sweep(tmp_path)
        os.write(go_on[1], b"..")  # Two flushes: of the file, and of its folder.

    with ThreadPoolExecutor(1) as pool:
        sweeping = pool.submit(sweep_meanwhile)
        assert in_a_child(write_slowly) == 0
        sweeping.result()
    bound.close()
    assert tree(tmp_path) == {**before, "below": None, "alive": b"alive"}


# Kills.


@pytest.mark.parametrize(("step", "there"), [("flush", False), ("rename", False), ("rename", True)])
def test_a_killed_process_leaves_no_half_file_and_the_next_one_cleans_up(step, there, tmp_path, tree):
    path = tmp_path / "out.png"
    if there:
        path.write_bytes(b"earlier")

    def work():
        if step == "flush":
            os.fsync = lambda file, flush=os.fsync: die() if os.fstat(file).st_size == len(b"half") else flush(file)
        else:
            Path.replace = die
        write_output(path, b"half")

    assert in_a_child(work) == -signal.SIGKILL
    assert tree(tmp_path).get("out.png") == (b"earlier" if there else None)
    assert (tmp_path / ".out.png.latentseq" / "file").exists()
    write_output(path, b"later")
    assert tree(tmp_path) == {"out.png": b"later"}


@pytest.mark.parametrize("step", ["open", "pwrite", "fsync", "unlink", "rmdir"])
def test_a_process_killed_while_it_makes_or_leaves_its_workspace_is_in_nobodys_way(step, tmp_path, tree):
    path = tmp_path / "out"

    def work():
        setattr(os, step, die)
        with exclusive(path):
            pass

    for write_it in (write_file, write_folder, write_run):
        assert in_a_child(work) == -signal.SIGKILL
        assert (tmp_path / ".out.latentseq").is_dir()
        write_it(path)
        assert {name for name in tree(tmp_path) if name.startswith(".")} == set()
        path.rename(tmp_path / f"done by {write_it.__name__}")


def test_two_processes_do_not_write_one_file(tmp_path):
    path = tmp_path / "out.gif"
    with exclusive(path), pytest.raises(TryAgainError) as caught:
        write_output(path, b"GIF")
    assert str(caught.value) == (
        f"{path} is being written by another process (number {os.getpid()}). Wait until it has ended, or choose "
        "another name."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".npz", ".gif"])
def test_every_format_of_one_file_goes_through_a_workspace(suffix, tmp_path):
    path = tmp_path / f"out{suffix}"
    frames = np.zeros((2, 8, 8, 1), np.float32)
    content = {"border_at": None, "fps": 5, "arrays": {"frames": frames}}
    with exclusive(path), pytest.raises(TryAgainError):
        write(path, [Row("a", frames)], **content)
    write(path, [Row("a", frames)], **content)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_has_the_permissions_that_the_user_asks_for(tmp_path):
    before = os.umask(0o027)
    try:
        write_output(tmp_path / "a", b"")
        write_bytes(tmp_path / "b", b"")
        write_folder(tmp_path / "c")
    finally:
        os.umask(before)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in "abc"] == [0o640, 0o640, 0o750]


# What earlier versions left.


def test_an_unfinished_run_of_an_earlier_version_goes_on(tmp_path, tree):
    """Its earlier result was set aside under a name that may be anybody's: it stays there for its owner to move."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"seed": 0}')
    (tmp_path / "run" / "history.csv").write_text("epoch")
    (tmp_path / ".run.old").mkdir()
    (tmp_path / ".run.old" / LAST).write_text("earlier")
    (tmp_path / ".run.lock").write_text("4711")
    with run_folder(tmp_path / "run", {"seed": 0}, last=LAST, resume=True) as folder:
        assert (folder / "history.csv").read_text() == "epoch"
        (folder / LAST).write_text("later")
    after = tree(tmp_path)
    assert (after["run/artifact.json"], after[".run.old/artifact.json"]) == (b"later", b"earlier")


def test_a_link_to_an_earlier_result_comes_back_after_a_failure(tmp_path):
    write_run(tmp_path / "disk" / "run")
    (tmp_path / "run").symlink_to("disk/run")
    with pytest.raises(ValueError, match="x"), run_folder(tmp_path / "run", {"seed": 1}, last=LAST, overwrite=True):
        raise ValueError("x")
    assert (tmp_path / "run").readlink() == Path("disk/run")
    assert (tmp_path / "run" / LAST).read_text() == "{}"
