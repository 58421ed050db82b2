"""Predictors of frames as they are typed: train, resume, sample, evaluate."""

import json

import numpy as np
import pytest
from conftest import SQUARES

from latentseq.storage.artifact import read_artifact

UNET = ["--predictor", "unet", "--preset", "tiny"]
BUDGET = ["--steps", 3, "--batch-size", 4]


@pytest.fixture(scope="module")
def trained(cli, tmp_path_factory):
    runs = tmp_path_factory.mktemp("predictors")
    assert cli("train", *SQUARES, runs / "unet", *UNET, *BUDGET).code == 0
    assert cli("train", *SQUARES, runs / "copy", "--predictor", "copy-last").code == 0
    return runs


def test_a_run_is_all_that_is_needed(cli, trained, tmp_path):
    artifact = read_artifact(trained / "unet", "predictors")
    assert (artifact.plugin, artifact.config["widths"], artifact.config["context"]) == ("unet", [8, 8], 3)
    asked = json.loads((trained / "unet" / "run.json").read_text())
    assert (asked["predictor"], asked["preset"], asked["options"]["free_steps"]) == ("unet", "tiny", 4)
    assert list((trained / "unet" / "previews").glob("main-*.png"))
    again = ["train", *SQUARES, tmp_path / "again", "--config", trained / "unet" / "run.json"]
    assert cli(*again).code == 0
    for name in ("weights.safetensors", "artifact.json"):
        assert (tmp_path / "again" / name).read_bytes() == (trained / "unet" / name).read_bytes()


@pytest.mark.slow
def test_it_goes_on_to_the_same_bytes(cli, trained, tmp_path, monkeypatch):
    from latentseq.training.halt import Halt

    with monkeypatch.context() as patch:
        seen = []

        def check(self):
            seen.append(1)
            if len(seen) == 2:
                raise KeyboardInterrupt

        patch.setattr(Halt, "check", check)
        assert cli("train", *SQUARES, tmp_path / "run", *UNET, *BUDGET).code == 130
    assert cli("train", *SQUARES, tmp_path / "run", *UNET, *BUDGET, "--resume").code == 0
    for name in ("weights.safetensors", "artifact.json"):
        assert (tmp_path / "run" / name).read_bytes() == (trained / "unet" / name).read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            [],
            "No predictor was chosen. Choose one of audio-visual, black, conv-lstm, copy-last, mean, multiscale-gan "
            "and unet with --predictor.",
        ),
        (
            ["--predictor", "latent"],
            "The predictor latent consists of an encoder and dynamics. Train them with train-ae and train-lstm, and "
            "tune them together on frames with tune.",
        ),
        (
            [*UNET, "--size", 32, "--gray"],
            "--gray and --size apply to decoded files, and moving-squares is not decoded. Leave them out; options of "
            "a dataset are set with --data-set.",
        ),
        (
            ["--predictor", "conv-lstm", "--conditions", "audio"],
            "moving-squares has no stream audio, which --conditions names; it has no streams. Name streams that are "
            "there, or leave --conditions out.",
        ),
        (
            ["--predictor", "copy-last", "--conditions", ""],
            "copy-last takes no conditions, and --conditions is ''. Leave it out.",
        ),
    ],
)
def test_it_is_refused(options, message, cli, tmp_path):
    answer = cli("train", *SQUARES, tmp_path / "out", *options, *BUDGET)
    assert (answer.code, answer.err) == (2, f"error: {message}\n")
    assert not (tmp_path / "out").exists()


def test_sample_at_the_size_that_is_asked_for(cli, trained, write_movie, tmp_path):
    film = write_movie("film.mp4")
    assert cli("train", film, tmp_path / "run", *UNET, *BUDGET, "--size", 16, "--gray").code == 0
    for size, wanted in ((None, (16, 16)), ("33x27", (33, 27))):
        out = tmp_path / f"{size}.npz"
        options = ["--size", size] if size else []
        answer = cli("sample", tmp_path / "run", film, out, "--prime", 3, "--steps", 2, *options)
        assert answer.code == 0, answer.err
        assert np.load(out)["futures"].shape == (1, 2, *wanted, 1)
    answer = cli("evaluate", tmp_path / "run", "--data", film, "--size", 20, "--split", "train", "--context", 3,
                 "--horizon", 2, "--out", tmp_path / "found")  # fmt: skip
    assert answer.code == 0, answer.err
    assert json.loads((tmp_path / "found" / "metrics.json").read_text())["protocol"]["frame_shape"] == [20, 20, 1]


def test_predictors_and_a_floor_in_one_table(cli, trained, tmp_path):
    out = tmp_path / "found"
    answer = cli("evaluate", trained / "unet", trained / "copy", "--data", *SQUARES, "--context", 4, "--horizon", 3,
                 "--out", out)  # fmt: skip
    assert answer.code == 0, answer.err
    found = json.loads((out / "metrics.json").read_text())
    copy, floor = found["models"]["copy"]["prediction"], found["floors"]["copy_last"]
    assert copy["mse"]["mean"] == pytest.approx(floor["mse"]["mean"], rel=1e-5)
    assert found["models"]["copy"]["parameters"] is None and found["models"]["unet"]["parameters"] > 1000
    costs = json.loads((out / "costs.json").read_text())
    assert costs["unet"]["training_seconds"] > 0 == costs["copy"]["training_seconds"]


def test_fewer_frames_than_the_context(cli, trained, tmp_path):
    answer = cli("sample", trained / "unet", *SQUARES, tmp_path / "out.npz", "--prime", 2, "--steps", 2)
    told = "error: unet predicts from 3 frames, but was shown 2. Show it 3 or more.\n"
    assert (answer.code, answer.err) == (2, told)
    assert not (tmp_path / "out.npz").exists()


@pytest.mark.slow
def test_a_size_for_a_model_of_one_size(cli, tmp_path):
    line = ["train", *SQUARES, tmp_path / "run", "--predictor", "conv-lstm", "--preset", "tiny", *BUDGET]
    assert cli(*line).code == 0
    answer = cli("sample", tmp_path / "run", *SQUARES, tmp_path / "out.npz", "--size", 32)
    assert answer.err == (
        f"error: The model in {tmp_path / 'run'} accepts only frames of the size in its training, but "
        "--size is 32. Leave out --size.\n"
    )


@pytest.mark.slow
def test_what_a_stream_contributes_stands_in_the_table(cli, tmp_path):
    data = ["sounding-shapes", "--data-set", "count=40", "--data-set", "size=16"]
    line = ["train", *data, tmp_path / "av", "--predictor", "audio-visual", "--preset", "tiny", *BUDGET]
    assert cli(*line).code == 0
    answer = cli("evaluate", tmp_path / "av", "--data", *data, "--horizon", 3, "--out", tmp_path / "found")
    assert answer.code == 0, answer.err
    found = json.loads((tmp_path / "found" / "metrics.json").read_text())["models"]["av"]
    for way in ("muted", "shuffled"):
        mse = found["streams"]["audio"][way]["mse"]["mean"]
        row = next(line.split() for line in answer.out.splitlines() if line.startswith(f"  audio {way}"))
        assert row[2] == f"{mse:.1f}"
    assert cli("sample", tmp_path / "av", *data, tmp_path / "out.npz", "--prime", 5, "--steps", 15).code == 0
    answer = cli("sample", tmp_path / "av", *data, tmp_path / "long.npz", "--prime", 5, "--steps", 16)
    assert (answer.code, answer.err) == (
        2,
        f"error: The model in {tmp_path / 'av'} needs audio for every step. After the first 5 frames, clip 0 has 15 "
        "more frames, but steps is 16. Use fewer steps, or a smaller --prime.\n",
    )
    answer = cli("train", *SQUARES, tmp_path / "deaf", "--predictor", "audio-visual", *BUDGET)
    assert (answer.code, answer.err.split(".")[0]) == (
        2,
        "error: audio-visual needs the stream audio, but the data has no streams",
    )


@pytest.mark.slow
def test_a_film_is_heard_by_a_model_that_was_trained_on_its_sound(cli, shared, tmp_path):
    film, few = shared / "data" / "bigbuckbunny.mp4", ["--predictor", "audio-visual", "--preset", "tiny", *BUDGET]
    assert cli("train", film, tmp_path / "av", *few, "--size", 16).code == 0
    assert cli("sample", tmp_path / "av", film, tmp_path / "out.npz", "--prime", 5, "--steps", 4).code == 0
    line = ["evaluate", tmp_path / "av", "--data", film, "--split", "train", "--context", 4, "--horizon", 3]
    assert cli(*line, "--out", tmp_path / "found").code == 0
    found = json.loads((tmp_path / "found" / "metrics.json").read_text())["models"]["av"]
    assert list(found["streams"]) == ["audio"]  # And not audio_mask, which goes with it.


@pytest.mark.slow
def test_films_are_decoded_as_all_models_want_them(cli, write_movie, tmp_path):
    film = write_movie("film.mp4")
    for name, size in (("a", 16), ("b", 24)):
        assert cli("train", film, tmp_path / name, *UNET, *BUDGET, "--size", size, "--gray").code == 0
    line = ["evaluate", tmp_path / "a", tmp_path / "b", "--data", film, "--split", "train", "--context", 3]
    answer = cli(*line, "--horizon", 2, "--out", tmp_path / "found")
    assert answer.code == 2 and "need different preprocessing of files" in answer.err
    assert cli(*line, "--horizon", 2, "--out", tmp_path / "found", "--size", 20).code == 0
    crops = ["--data-set", "crop=16", "--data-set", "clip_length=6"]
    assert cli("ingest", film, tmp_path / "clips", "--size", 32, "--quiet").code == 0
    assert cli("train", tmp_path / "clips", *crops, tmp_path / "c", *UNET, *BUDGET).code == 0
    assert read_artifact(tmp_path / "c", "predictors").preprocessing["size"] == [32, 32]  # Of whole frames.
