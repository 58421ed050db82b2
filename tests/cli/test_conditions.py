"""Which side streams drive a model: those that are named, or those that it cannot do without."""

import json

import pytest
from conftest import QUICK, SQUARES

from latentseq.commands.runs import conditions_of
from latentseq.errors import UsageError
from latentseq.storage.artifact import read_artifact

STREAMS = {"audio": 64, "audio_mask": 1, "actions": 3}


@pytest.mark.parametrize(
    ("group", "plugin", "conditions", "widths"),
    [
        ("dynamics", "lstm", None, {}),
        ("dynamics", "lstm", "actions", {"actions": 3}),
        ("dynamics", "lstm", " actions, audio ,", {"actions": 3, "audio": 64}),
        ("predictors", "conv-lstm", "audio", {"audio": 64}),
        ("predictors", "audio-visual", None, STREAMS),
        ("predictors", "audio-visual", "audio", {"audio": 64}),
        ("predictors", "unet", None, {}),
    ],
)
def test_streams_by_name(group, plugin, conditions, widths):
    assert conditions_of(group, plugin, conditions, STREAMS, "clips") == widths


@pytest.mark.parametrize(
    ("plugin", "conditions", "message"),
    [
        (
            "conv-lstm",
            "audio,sound",
            "clips has no stream sound, which --conditions names; its streams are actions, audio and audio_mask. "
            "Name streams that are there, or leave --conditions out.",
        ),
        ("unet", "audio", "unet takes no conditions, and --conditions is 'audio'. Leave it out."),
    ],
)
def test_streams_that_there_are_not(plugin, conditions, message):
    with pytest.raises(UsageError) as caught:
        conditions_of("predictors", plugin, conditions, STREAMS, "clips")
    assert str(caught.value) == message


def test_a_run_is_driven_by_what_is_named_and_writes_it_down(honest, cli, refused, runs, tmp_path):
    ae, lstm = tmp_path / "ae", tmp_path / "lstm"
    assert cli("train-ae", "honest-dataset", ae, *QUICK).code == 0
    line = ["train-lstm", "honest-dataset", ae, lstm, "--dynamics", "honest-dynamics", "--steps", 2, "--length", 5]
    assert cli(*line, "--conditions", "phase").code == 0
    assert json.loads((lstm / "run.json").read_text())["conditions"] == "phase"
    assert read_artifact(lstm).config["conditions"] == {"phase": 1}
    again = ["train-lstm", "honest-dataset", ae, tmp_path / "again", "--config", lstm / "run.json"]
    assert cli(*again).code == 0
    assert (tmp_path / "again" / "artifact.json").read_bytes() == (lstm / "artifact.json").read_bytes()
    line = ["train-lstm", *SQUARES, runs / "ae", tmp_path / "out", "--dynamics", "honest-dynamics", "--steps", 2]
    assert refused(2, *line, "--conditions", "phase") == (
        "moving-squares has no stream phase, which --conditions names; it has no streams. Name streams that are "
        "there, or leave --conditions out."
    )
