"""How the command line tells of trouble that no single command is about."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from latentseq.errors import UsageError
from latentseq_cli.main import run

SQUARES = ["moving-squares", "--data-set", "count=12", "--data-set", "length=12", "--data-set", "size=16"]


def test_an_unknown_command(refused):
    assert refused(2, "train-ea").startswith("No such command 'train-ea'. Did you mean 'train-ae'")


def test_an_unknown_option(refused):
    message = refused(2, "sample", "a", "b", "c.gif", "--step", 3)
    assert message.startswith("No such option: --step")
    assert "--steps" in message


def test_an_argument_too_few_or_too_many(refused):
    assert refused(2, "sample", "a") == "Missing argument 'PRIME'."
    assert "(b c)" in refused(2, "show", "a", "b", "c")


def test_a_number_that_is_none(refused):
    assert refused(2, "train-ae", "a", "b", "--steps", "many").startswith("Invalid value for '--steps': ")


def test_an_interruption_is_told_and_leaves_nothing(refused, runs, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("latentseq.workflow.write_latents", interrupt)
    arguments = ["encode", *SQUARES, runs / "ae", tmp_path / "out"]
    assert refused(130, *arguments) == "interrupted."


def test_a_defect_is_told_as_one(cli, runs, tmp_path, monkeypatch, tree):
    def break_down(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("latentseq.workflow.write_latents", break_down)
    answer = cli("encode", *SQUARES, runs / "ae", tmp_path / "out")
    assert answer.code == 70
    assert answer.err == (
        "error: ZeroDivisionError: division by zero. This is a defect; --debug shows where. Please report it.\n"
    )
    assert tree(tmp_path) == {}


def test_a_full_disk_is_something_to_try_again(refused, runs, tmp_path, monkeypatch):
    def fill_up(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fill_up)
    message = refused(75, "encode", *SQUARES, runs / "ae", tmp_path / "out")
    assert "could not be written: No space left on device" in message


def test_a_disk_that_is_full_once_a_film_is_decoded(cli, runs, write_movie, tmp_path, monkeypatch):
    film, asked = write_movie("film.mp4"), []
    line = ["train-ae", film, tmp_path / "out", "--encoder", "honest-encoder", "--steps", 2]

    def fill_up(number):
        asked.append(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115
        if ".h5." in asked[-1]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill_up)
        answer = cli(*line)
    assert answer.code == 75
    assert "could not be written: No space left on device" in answer.err
    assert len(asked) > 1
    assert cli(*line, "--resume").code == 0


def test_an_interruption_while_a_film_is_decoded(cli, runs, write_movie, tmp_path, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    line = ["train-ae", write_movie("film.mp4"), tmp_path / "out", "--encoder", "honest-encoder", "--steps", 2]
    with monkeypatch.context() as patch:
        patch.setattr("latentseq.media.video.VideoFile.scale", interrupt)
        answer = cli(*line)
    assert (answer.code, answer.err) == (130, "error: interrupted.\n")
    assert cli(*line, "--resume").code == 0


def test_debug_lets_errors_through():
    with pytest.raises(UsageError):
        run(["--debug", "plugins", "encoder"], debug=True)


def test_a_reader_that_has_gone_is_no_trouble():
    read, write = os.pipe()
    os.close(read)
    script = Path(sys.executable).parent / "latentseq"
    run = subprocess.run([sys.executable, script, "plugins"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (run.returncode, run.stderr) == (0, b"")
