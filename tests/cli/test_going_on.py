"""Runs that go on, on the command line."""

import json

import pytest
from conftest import QUICK, SQUARES

from latentseq.data.open import open_data
from latentseq.storage.frames import write_clips
from latentseq.training.watch import Watcher


@pytest.fixture
def stopped(honest, cli, tmp_path, monkeypatch):
    """A run that was interrupted while it learnt; the line of its command."""
    from latentseq.training.trainer import RunTrainer

    line = ["train-ae", *SQUARES, tmp_path / "ae", *QUICK]
    with monkeypatch.context() as patch:

        def interrupted(self, *_, **__):
            (self.folder / "checkpoints").mkdir()
            raise KeyboardInterrupt

        patch.setattr(RunTrainer, "batches", interrupted)
        answer = cli(*line)
        assert (answer.code, answer.err) == (130, "error: interrupted.\n")
    return line


def test_a_run_goes_on_by_the_same_command(stopped, cli, tmp_path, tree):
    assert cli(*stopped).err == (
        f"error: {tmp_path / 'ae'} holds an unfinished run. Continue it with the same command and --resume, choose "
        "another name, or replace it with --overwrite.\n"
    )
    assert cli(*stopped, "--resume").out == f"{tmp_path / 'ae'}\n"
    left = tree(tmp_path)
    assert not [name for name in left if name.startswith(".") or "checkpoints" in name]
    # Once more, and there is nothing left to do.
    assert cli(*stopped, "--resume").out == f"{tmp_path / 'ae'}\n"
    assert tree(tmp_path) == left
    fresh = ["train-ae", *SQUARES, tmp_path / "fresh", *QUICK]
    assert cli(*fresh, "--resume").code == 0, "With nothing to go on with it starts afresh."
    same = ("artifact.json", "weights.safetensors", "run.json")
    assert all(left.get(f"ae/{name}") == tree(tmp_path).get(f"fresh/{name}") for name in same)


def test_a_run_of_other_options_is_not_gone_on_with(stopped, cli, tmp_path):
    answer = cli(*stopped, "--seed", 4, "--resume")
    assert (answer.code, answer.err) == (
        2,
        f"error: {tmp_path / 'ae'} is a run with other options: seed was 0, and is 4 now. Repeat the original "
        "command, choose another folder, or replace the run with --overwrite.\n",
    )
    answer = cli(*stopped, "--set", "latent_dim=3", "--resume")
    assert "other options: options.latent_dim was 4, and is 3 now. " in answer.err
    assert cli(*stopped, "--steps", 3, "--resume").code == 0, "The budget may be another."
    assert json.loads((tmp_path / "ae" / "run.json").read_text())["steps"] == 3


def test_one_of_two(stopped, cli):
    answer = cli(*stopped, "--resume", "--overwrite")
    assert (answer.code, answer.err) == (
        2,
        "error: --resume continues a run, and --overwrite replaces it. Give only one of the two.\n",
    )


def test_data_that_was_moved_is_the_same_data(honest, cli, tmp_path):
    clips, moved = tmp_path / "clips", tmp_path / "elsewhere" / "clips"
    for seed, folder in ((0, clips), (1, tmp_path / "others")):
        dataset = open_data("moving-squares", options={"count": 12, "length": 12, "size": 16, "seed": seed})
        folder.mkdir()
        write_clips(dataset, folder, Watcher(quiet=True))
    assert cli("train-ae", clips, tmp_path / "run", *QUICK).code == 0
    moved.parent.mkdir()
    clips.rename(moved)
    answer = cli("train-ae", moved, tmp_path / "run", *QUICK, "--resume")
    assert (answer.code, answer.out) == (0, f"{tmp_path / 'run'}\n")
    answer = cli("train-ae", tmp_path / "others", tmp_path / "run", *QUICK, "--resume")
    assert answer.code == 2
    assert f"other options: data was '{clips}', and is '{tmp_path / 'others'}' now. " in answer.err


def test_other_weights_cannot_be_kept_by_a_run_that_goes_on(stopped, cli, tmp_path):
    answer = cli(*stopped, "--keep", "last", "--resume")
    assert (answer.code, answer.err) == (
        2,
        f"error: {tmp_path / 'ae'} is a run with other options: keep was 'best', and is 'last' now. Repeat the "
        "original command, choose another folder, or replace the run with --overwrite.\n",
    )
    answer = cli(*stopped, "--keep", "first", "--overwrite")
    assert (answer.code, answer.err) == (2, "error: keep is 'first'; expected 'best' or 'last'.\n")
    assert cli(*stopped, "--keep", "last", "--overwrite").code == 0
    assert json.loads((tmp_path / "ae" / "run.json").read_text())["keep"] == "last"


def test_a_run_from_before_there_was_a_choice_of_weights_goes_on(stopped, cli, tmp_path):
    path = tmp_path / "ae" / "run.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "keep"}
    path.write_text(json.dumps(old))
    assert "keep was None, and is 'last' now" in cli(*stopped, "--keep", "last", "--resume").err
    assert cli(*stopped, "--resume").code == 0
    path.write_text(json.dumps(old))
    assert cli(*stopped, "--resume").code == 0, "It is finished, and the same run."
