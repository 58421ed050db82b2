"""How the command line tells of trouble that no single command is about."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

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

    monkeypatch.setattr("latentseq.commands.encode.write_latents", interrupt)
    arguments = ["encode", *SQUARES, runs / "ae", tmp_path / "out"]
    assert refused(130, *arguments) == "interrupted."


def test_a_defect_is_told_as_one(cli, runs, tmp_path, monkeypatch, tree):
    def break_down(*_, **__):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("latentseq.commands.encode.write_latents", break_down)
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
        if "/cache" in asked[-1]:
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


def test_debug_shows_where_it_was_and_keeps_the_exit_code(cli):
    line = "error: 'encoder' is not a kind of plugin. Did you mean 'encoders'? "
    answer = cli("plugins", "encoder")
    assert (answer.code, answer.err.startswith(line)) == (2, True)
    debugged = run_apart(["plugins", "encoder", "--debug"])
    assert debugged.returncode == 2
    assert debugged.stderr.startswith("Traceback (most recent call last):")
    assert f"\n{answer.err}" in debugged.stderr


def test_what_stands_behind_two_hyphens_is_no_option(refused, cli):
    assert refused(2, "--", "--debug") == "No such command '--debug'."
    answer = cli("show", "--", "--debug")
    assert answer.code == 65
    assert answer.err.startswith("error: --debug holds neither a trained model")


SCRIPT = Path(sys.executable).parent / "latentseq"


def run_apart(arguments, **keywords) -> subprocess.CompletedProcess:
    """A command in a process of its own, as a shell starts it."""
    keywords = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "check": False} | keywords
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], **keywords)


def test_a_reader_that_has_gone_is_no_trouble():
    read, write = os.pipe()
    os.close(read)
    run = run_apart(["plugins"], stdout=write)
    os.close(write)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "code", "error"),
    [
        ("plugins >&-", 0, ""),
        ("plugins encoder >&-", 2, "error: 'encoder' is not a kind of plugin."),
        ("plugins encoder 2>&-", 2, ""),
        ("plugins encoder <&- >&- 2>&-", 2, ""),
    ],
)
def test_streams_that_are_closed(line, code, error):
    run = subprocess.run(
        ["sh", "-c", f"{sys.executable} {SCRIPT} {line}"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (code, "")
    assert run.stderr.startswith(error)
    assert bool(run.stderr) == bool(error)


def test_a_terminal_that_lacks_characters(runs, tmp_path):
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = run_apart(["show", runs / "z"], env=plain)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "\\u2026" in shown.stdout  # The fingerprint of the encoder is cut short, with "…" at its end.
    refused = run_apart(["show", tmp_path / "größe"], env=plain)
    assert refused.returncode == 65
    assert refused.stderr.startswith(f"error: {tmp_path}/gr\\xf6\\xdfe holds neither a trained model")


def test_a_working_directory_that_is_gone(tmp_path, refused, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert refused(2, "show", "runs") == (
        "The working directory does not exist any more: it was removed while this shell was in it. Change to another "
        "directory with cd, then run the command again."
    )


@pytest.mark.parametrize("code", [0, 1, 3, None])
def test_code_that_ends_the_process_has_not_succeeded(code, refused, runs, tmp_path, monkeypatch):
    def leave(*_, **__):
        raise SystemExit(code)

    monkeypatch.setattr("latentseq.commands.encode.write_latents", leave)
    message = refused(70, "encode", *SQUARES, runs / "ae", tmp_path / "out")
    assert message.startswith(f"{__file__} ended the process in line ")
    assert message.endswith(
        f" by sys.exit({code}), where it should raise an exception. It belongs to a plugin, or to something that a "
        "plugin uses: update or remove that."
    )


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_a_pipe_that_is_not_standard_output(error, cli, runs, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("latentseq.commands.encode.write_latents", fail)
    answer = cli("encode", *SQUARES, runs / "ae", tmp_path / "out")
    assert answer.code == 70


@pytest.mark.parametrize("value", ["[" * 20_000 + "]" * 20_000, '{"a":' * 500 + "1" + "}" * 500])
def test_a_setting_that_is_nested_too_deeply(value, refused, tmp_path):
    assert refused(2, "train-ae", *SQUARES, tmp_path / "out", "--set", f"latent_dim={value}") == (
        "The value of the setting 'latent_dim' has more than 100 lists and objects inside one another; expected "
        "fewer."
    )
