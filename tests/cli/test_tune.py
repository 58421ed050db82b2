"""Tuning as it is typed: what is written, that it goes on, and what is refused."""

import json

import pytest
from conftest import SQUARES

from latentseq.storage.artifact import read_artifact

SMALL = ["--set", "widths=[4, 8]", "--set", "latent=map", "--set", "latent_dim=2"]
BUDGET = ["--steps", 3, "--batch-size", 4]


@pytest.fixture(scope="module")
def trained(cli, tmp_path_factory):
    """An encoder with maps, and a conv-lstm on them."""
    runs = tmp_path_factory.mktemp("trained")
    assert cli("train-ae", *SQUARES, runs / "ae", "--encoder", "conv-ae", *SMALL, *BUDGET).code == 0
    dynamics = ["--dynamics", "conv-lstm", "--head", "mse", "--set", "units=4", "--set", "free_steps=4"]
    assert cli("train-lstm", *SQUARES, runs / "ae", runs / "lstm", *dynamics, *BUDGET).code == 0
    return runs


def test_a_tuned_model_is_a_run_like_that_of_train_lstm(cli, trained, tmp_path):
    line = ["tune", trained / "lstm", *SQUARES, tmp_path / "tuned", "--parts", "dynamics,decoder", *BUDGET]
    answer = cli(*line)
    assert (answer.code, answer.out) == (0, f"{tmp_path / 'tuned'}\n"), answer
    before, after = (read_artifact(folder) for folder in (trained / "lstm", tmp_path / "tuned"))
    assert before.config == after.config
    assert before.fingerprint != after.fingerprint
    assert after.about["training"]["from"] == before.fingerprint
    assert after.about["training"]["tuned"] == ["dynamics", "decoder"]
    encoder = read_artifact(tmp_path / "tuned" / "encoder", "encoders")
    assert encoder.fingerprint != read_artifact(trained / "ae").fingerprint
    assert encoder.preprocessing == read_artifact(trained / "ae").preprocessing
    assert list((tmp_path / "tuned" / "previews").glob("tune-*.png"))
    out = tmp_path / "out.npz"
    assert cli("sample", tmp_path / "tuned", *SQUARES, out, "--prime", 5, "--steps", 3).code == 0


@pytest.mark.slow
def test_the_same_again_gives_the_same_bytes_from_its_options_as_from_its_file(cli, trained, tmp_path):
    line = ["tune", trained / "lstm", *SQUARES, tmp_path / "tuned", "--parts", "dynamics,decoder", *BUDGET]
    assert cli(*line).code == 0
    again = ["tune", trained / "lstm", *SQUARES, tmp_path / "again", "--config", tmp_path / "tuned" / "run.json"]
    assert cli(*again).code == 0
    found, wanted = (json.loads((tmp_path / name / "artifact.json").read_text()) for name in ("again", "tuned"))
    assert found == wanted


@pytest.fixture
def stopped(cli, trained, tmp_path, monkeypatch):
    """The options of a run that was interrupted at its second step."""
    from latentseq.training.halt import Halt

    options = [*BUDGET]
    with monkeypatch.context() as patch:
        seen = []

        def check(self):
            seen.append(1)
            if len(seen) == 2:
                raise KeyboardInterrupt

        patch.setattr(Halt, "check", check)
        assert cli("tune", trained / "lstm", *SQUARES, tmp_path / "tuned", *options).code == 130
    return options


@pytest.mark.slow
def test_it_goes_on_to_the_same_bytes(cli, stopped, trained, tmp_path):
    assert cli("tune", trained / "lstm", *SQUARES, tmp_path / "tuned", *stopped, "--resume").code == 0
    assert cli("tune", trained / "lstm", *SQUARES, tmp_path / "whole", *stopped).code == 0
    found, wanted = ((tmp_path / name) for name in ("tuned", "whole"))
    for name in ("weights.safetensors", "encoder/weights.safetensors", "artifact.json"):
        assert (found / name).read_bytes() == (wanted / name).read_bytes(), name


PARTS = "expected some of decoder, dynamics and encoder."


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--parts", "decode"], f"The parts to tune are decode; {PARTS}"),
        (["--parts", ""], f"The parts to tune are none; {PARTS}"),
        (
            ["--length", 13],
            "The windows have 13 frames, but the longest training clip has 12. Choose shorter windows with "
            "--length, or use longer clips.",
        ),
    ],
)
def test_it_is_refused(options, found, cli, trained, tmp_path, tree):
    answer = cli("tune", trained / "lstm", *SQUARES, tmp_path / "tuned", *options, *BUDGET)
    assert answer.err == f"error: {found}\n"
    assert answer.code == (65 if "--length" in options else 2)
    assert not (tmp_path / "tuned").exists()


def test_what_has_no_parts_is_refused(cli, tmp_path):
    assert cli("train", *SQUARES, tmp_path / "copy", "--predictor", "copy-last").code == 0
    answer = cli("tune", tmp_path / "copy", *SQUARES, tmp_path / "tuned", *BUDGET)
    assert (answer.code, answer.err) == (
        2,
        f"error: {tmp_path / 'copy'} holds the predictor 'copy-last'; expected an encoder and dynamics. Give the run "
        "folder of train-lstm.\n",
    )


def test_a_run_of_an_earlier_version_is_tuned_by_another_command(cli, tmp_path):
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"command": "train", "predictor": "latent", "from_": "runs/lstm", "tune": "decoder"}))
    for command in (["train", *SQUARES], ["tune", "runs/lstm", *SQUARES]):
        answer = cli(*command, tmp_path / "tuned", "--config", file)
        assert (answer.code, answer.err) == (
            2,
            f"error: {file} is the configuration of a run of an earlier version, in which train tuned the parts of a "
            "latent predictor. Use the command tune: latentseq tune runs/lstm DATA OUT --parts decoder.\n",
        )


def test_parts_without_networks_are_refused(cli, runs, tmp_path):
    answer = cli("tune", runs / "lstm", *SQUARES, tmp_path / "tuned", "--allow-plugin", "honest-encoder",
                 "--allow-plugin", "honest-dynamics", *BUDGET)  # fmt: skip
    assert (answer.code, answer.err) == (
        2,
        "error: 'honest-encoder' has no networks, and every part is tuned on frames that go through all of them. "
        "Choose an encoder with networks, such as conv-ae, vae or stack.\n",
    )
