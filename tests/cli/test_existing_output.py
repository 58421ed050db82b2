"""What a command would write over, or cannot write to: nothing is lost."""

import pytest

from latentseq.errors import UsageError
from latentseq.storage.atomic import write_json

SQUARES = ["moving-squares", "--data-set", "count=12", "--data-set", "length=12", "--data-set", "size=16"]
QUICK = ["--encoder", "honest-encoder", "--steps", 2]


@pytest.fixture
def commands(runs):
    dynamics = ["--dynamics", "honest-dynamics", "--steps", 2]
    return lambda out: {
        "train-ae": ["train-ae", *SQUARES, out, *QUICK],
        "encode": ["encode", *SQUARES, runs / "ae", out],
        "train-lstm": ["train-lstm", runs / "z", runs / "ae", out, *dynamics],
        "sample": ["sample", runs / "lstm", *SQUARES, f"{out}.gif"],
        "evaluate": ["evaluate", runs / "lstm", "--data", *SQUARES, "--horizon", 2, "--out", out],
        "demo": ["demo", out],
    }


@pytest.mark.parametrize("command", ["train-ae", "encode", "train-lstm", "sample", "evaluate"])
def test_an_existing_result_is_kept_until_it_is_asked_to_be_replaced(command, commands, refused, cli, tmp_path):
    line = commands(tmp_path / "out")[command]
    path = tmp_path / ("out.gif" if command == "sample" else "out")
    assert cli(*line).code == 0
    assert refused(2, *line) == f"{path} exists already. Choose another name, or replace it with --overwrite."
    answer = cli(*line, "--overwrite")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, str(path))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("command", ["train-ae", "encode", "train-lstm", "evaluate", "demo"])
def test_a_folder_of_somebody_else_is_never_replaced(command, commands, refused, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    marker = {"encode": "manifest.json", "evaluate": "metrics.json"}.get(command, "run.json")
    assert refused(2, *commands(tmp_path / "out")[command], "--overwrite") == (
        f"{tmp_path / 'out'} exists and was not written by this command (it holds no {marker}), so it is not "
        "replaced. Choose another name, or remove it yourself."
    )


def test_a_demo_that_was_killed_goes_on_and_one_that_is_finished_does_not(monkeypatch, tmp_path):
    from latentseq.commands import demo as chain

    asked = []
    for name in ("train_ae", "train_lstm"):
        monkeypatch.setattr(chain, name, lambda *_, name=name, **keywords: asked.append((name, keywords["resume"])))

    def stop(*_, **keywords):
        asked.append(("encode", keywords["overwrite"]))
        raise KeyboardInterrupt

    monkeypatch.setattr(chain, "encode", stop)
    out = tmp_path / "out"
    write_json(out / "run.json", {"command": "demo", "seed": 0})  # All that one has that was killed at its start.
    (out / "ae").mkdir()
    with pytest.raises(KeyboardInterrupt):
        chain.demo(out)
    assert asked == [("train_ae", True), ("encode", True)]
    write_json(out / "run.json", {"command": "demo", "seed": 1})
    with pytest.raises(UsageError) as caught:
        chain.demo(out)
    assert str(caught.value) == (
        f"{out} is a run with other options: seed was 1, and is 0 now. Repeat the original command, choose another "
        "folder, or replace the run with --overwrite."
    )
    (out / chain.CONTINUATION).touch()
    with pytest.raises(UsageError) as caught:
        chain.demo(out, seed=1)
    assert str(caught.value) == f"{out} exists already. Choose another name, or replace it with --overwrite."


@pytest.mark.parametrize("command", ["train-ae", "train-lstm"])
def test_a_failure_puts_the_earlier_run_back(command, commands, refused, cli, tmp_path):
    line = commands(tmp_path / "out")[command]
    assert cli(*line).code == 0
    assert refused(2, *line, "--overwrite", "--batch-size", 0) == "batch_size is 0; expected a number above 0."


@pytest.mark.parametrize("command", ["train-ae", "encode", "train-lstm", "sample", "evaluate"])
def test_a_place_below_a_file(command, commands, refused, cli, tmp_path):
    (tmp_path / "notes").write_text("mine")
    line = commands(tmp_path / "notes" / "out")[command]
    assert str(tmp_path / "notes") in refused(cli(*line).code, *line)
    assert cli(*line).code in (2, 75)


def test_an_output_that_holds_its_own_input(runs, refused):
    line = ["train-lstm", runs / "z", runs / "lstm" / "encoder", runs / "lstm", "--overwrite"]
    assert refused(2, *line) == (
        f"{runs / 'lstm' / 'encoder'} lies inside {runs / 'lstm'}, which would be replaced. Choose another output."
    )


def test_the_current_folder(refused, runs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert refused(2, "encode", *SQUARES, runs / "ae", ".") == (
        ". is the current folder, which cannot be replaced. Name a new folder."
    )
