"""Presets, what a run writes down of itself, and a run that is repeated from that."""

import json

import pytest
from conftest import QUICK, SQUARES

import latentseq
from latentseq.commands.runs import read_config
from latentseq.errors import DataError, UsageError

PCA = ["--encoder", "pca", "--steps", 2]
KERAS = ["--preset", "tiny", "--steps", 3, "--batch-size", 8]


def told(run):
    return json.loads((run / "run.json").read_text())


def config_of(run):
    return json.loads((run / "artifact.json").read_text())["config"]


@pytest.fixture(scope="module")
def made(cli, tmp_path_factory):
    """An encoder and dynamics, tiny, by Keras."""
    folder = tmp_path_factory.mktemp("made")
    assert cli("train-ae", *SQUARES, folder / "ae", "--encoder", "conv-ae", *KERAS, "--seed", 3).code == 0
    answer = cli("train-lstm", *SQUARES, folder / "ae", folder / "lstm", "--head", "mse", *KERAS, "--length", 6)
    assert answer.code == 0, answer
    return folder


def test_a_preset_sets_options_and_set_wins(cli, tmp_path):
    assert cli("train-ae", *SQUARES, tmp_path / "a", *PCA, "--preset", "tiny").code == 0
    assert cli("train-ae", *SQUARES, tmp_path / "b", *PCA, "--preset", "tiny", "--set", "latent_dim=3").code == 0
    assert [config_of(tmp_path / name)["latent_dim"] for name in "ab"] == [4, 3]
    assert [told(tmp_path / name)["options"] for name in "ab"] == [{"latent_dim": 4}, {"latent_dim": 3}]


def test_a_preset_that_there_is_not(refused, tmp_path):
    line = ["train-ae", *SQUARES, tmp_path / "out", "--preset", "tini"]
    assert refused(2, *line, *PCA) == (
        "pca has no preset 'tini'. Did you mean 'tiny'? Its presets: cpu, gpu and tiny."
    )
    assert refused(2, *line, "--encoder", "numpy-pca") == "numpy-pca has no preset 'tini'. Its presets: none."


def test_what_a_run_was_asked_for_is_written_down_whole(made):
    assert told(made / "ae") == {
        "command": "train-ae",
        "data": "moving-squares",
        "data_options": {"count": 12, "length": 12, "size": 16, "seed": 0},
        "encoder": "conv-ae",
        "preset": "tiny",
        "options": {"latent": "vector", "latent_dim": 4, "widths": [4, 8, 8], "augment": True, "linear_start": True},
        **{"size": None, "fit": "crop", "gray": False, "fps": None, "skip": 1},
        **{"epochs": None, "steps": 3, "max_minutes": None},
        **{"batch_size": 8, "learning_rate": None, "keep": "best", "seed": 3},
    }
    found = told(made / "lstm")
    assert (found["head"], found["length"], found["stride"]) == ("mse", 6, 1)
    assert "head" not in found["options"]
    assert found["options"]["units"] == config_of(made / "lstm")["units"] == 16


@pytest.mark.parametrize("name", ["ae", pytest.param("lstm", marks=pytest.mark.slow)])
def test_a_run_is_repeated_to_the_same_bytes(name, made, cli, tmp_path):
    inputs = [made / "ae"] if name == "lstm" else []
    line = [f"train-{name}", "moving-squares", *inputs, tmp_path / "again", "--config", made / name / "run.json"]
    answer = cli(*line)
    assert answer.code == 0, answer
    for file in ("weights.safetensors", "artifact.json", "run.json"):
        assert (tmp_path / "again" / file).read_bytes() == (made / name / file).read_bytes(), file


def test_what_is_typed_wins(honest, cli, tmp_path):
    first = ["train-ae", *SQUARES, tmp_path / "a", *QUICK, "--seed", 3, "--set", "latent_dim=5", "--batch-size", 4]
    assert cli(*first).code == 0
    line = ["train-ae", "moving-squares", tmp_path / "b", "--config", tmp_path / "a" / "run.json"]
    line += ["--allow-plugin", "honest-encoder"]
    typed = ["--seed", 0, "--epochs", 1, "--set", "latent_dim=2", "--data-set", "length=9"]
    assert cli(*line, *typed).code == 0
    before, after = told(tmp_path / "a"), told(tmp_path / "b")
    assert (after["seed"], after["options"], after["data_options"]["length"]) == (0, {"latent_dim": 2}, 9)
    assert (after["epochs"], after["steps"]) == (1, None), "A budget on the command line is the whole budget."
    same = before.keys() - {"seed", "options", "data_options", "epochs", "steps"}
    assert {k: before[k] for k in same} == {k: after[k] for k in same}


@pytest.mark.parametrize(
    ("about", "code", "message"),
    [
        (
            {"command": "train-lstm"},
            2,
            "{file} is the configuration of 'train-lstm'; expected one of 'train-ae'. Give the run.json of a folder "
            "that train-ae wrote.",
        ),
        ({}, 2, "{file} is the configuration of None; expected one of 'train-ae'. "),
        (
            {"command": "train-ae", "epoch": 3},
            2,
            "{file} has no option 'epoch'. Did you mean 'epochs'? Its options: ",
        ),
        ({"command": "train-ae", "epochs": "3"}, 2, "{file}: option epochs is '3'; expected int | None."),
        ({"command": "train-ae", "options": [1]}, 2, "{file}: option options is [1]; expected "),
        (None, 65, "{file} cannot be read as the configuration of a run: No such file"),
    ],
)
def test_a_file_that_is_none_of_this_command(about, code, message, refused, tmp_path):
    file = tmp_path / "file.json"
    if about is not None:
        file.write_text(json.dumps(about))
    found = refused(code, "train-ae", *SQUARES, tmp_path / "out", "--config", file)
    assert found.startswith(message.format(file=file)), found


def test_a_preset_and_a_file(refused, tmp_path):
    (tmp_path / "file.json").write_text('{"command": "train-ae"}')
    line = ["train-ae", *SQUARES, tmp_path / "out", "--config", tmp_path / "file.json", "--preset", "tiny"]
    assert refused(2, *line) == (
        "--preset chooses options of the plugin, and the file of --config holds all of them. Give one of the two; "
        "--set changes a single option."
    )


def test_a_file_in_python(honest, tmp_path):
    options = {"count": 12, "length": 12, "size": 16}
    common = {"encoder": "honest-encoder", "budget": latentseq.Budget(steps=2), "quiet": True}
    latentseq.train_ae("moving-squares", tmp_path / "a", data_options=options, options={"latent_dim": 3}, **common)
    with pytest.raises(UsageError, match="add --allow-plugin honest-encoder "):
        read_config(tmp_path / "a" / "run.json", latentseq.train_ae)
    config = read_config(tmp_path / "a" / "run.json", latentseq.train_ae, allow_plugins=["honest-encoder"])
    assert "data" not in config
    latentseq.train_ae("moving-squares", tmp_path / "b", **config, quiet=True)
    files = [(tmp_path / name / "artifact.json").read_bytes() for name in "ab"]
    assert files[0] == files[1]
    with pytest.raises(UsageError):
        read_config(tmp_path / "a" / "run.json", latentseq.train_lstm)
    with pytest.raises(DataError):
        read_config(tmp_path / "none.json", latentseq.train_ae)
