"""``latentseq evaluate``: what it writes and prints, the same bytes again, and what it refuses."""

import json

import numpy as np
import pytest
from conftest import QUICK, SQUARES
from PIL import Image


@pytest.fixture
def command(runs):
    return ["evaluate", runs / "lstm", "--data", *SQUARES, "--context", 4, "--horizon", 3, "--quiet"]


@pytest.fixture(scope="module")
def other(runs, cli):
    """A model for frames of another size."""
    small = [*SQUARES, "--data-set", "size=8"]
    assert cli("train-ae", *small, runs / "small-ae", *QUICK).code == 0
    line = ["train-lstm", *small, runs / "small-ae", runs / "small", "--dynamics", "honest-dynamics", "--steps", 2]
    assert cli(*line).code == 0
    return runs / "small"


def test_a_folder_of_numbers_and_pictures_the_same_for_the_same_command(command, runs, cli, tree, tmp_path):
    line = [*command, "--samples", 3, "--out"]
    first, second = (cli(*line, tmp_path / name) for name in ("a", "b"))
    assert (first.code, first.err) == (0, "")
    assert first.out.splitlines()[-1] == str(tmp_path / "a")
    told, again = (answer.out.split("\n\n") for answer in (first, second))
    costs = next(i for i, part in enumerate(told) if part.startswith("what it costs"))
    assert told[:costs] == again[:costs]  # Speed differs from run to run.
    assert told[costs + 1 : -1] == again[costs + 1 : -1]
    files, others = tree(tmp_path / "a"), tree(tmp_path / "b")
    assert sorted(files) == ["costs.json", "horizon.png", "metrics.json", "strips-lstm.png"]
    assert {k: v for k, v in files.items() if k != "costs.json"} == {
        k: v for k, v in others.items() if k != "costs.json"
    }
    cost = json.loads((tmp_path / "a" / "costs.json").read_text())["lstm"]
    assert cost["frames_per_second"] > 0 and cost["peak_memory_bytes"] > 1e7 and cost["training_seconds"] >= 0

    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    protocol = metrics["protocol"]
    assert {key: protocol[key] for key in ("context", "horizon", "split", "windows", "clips", "samples", "seed")} == {
        "context": 4,
        "horizon": 3,
        "split": "test",
        "windows": 1,
        "clips": 1,
        "samples": 3,
        "seed": 0,
    }
    assert protocol["data"]["name"] == "moving-squares"
    assert protocol["data"]["options"] == {"count": 12, "length": 12, "size": 16, "seed": 0}
    assert set(metrics["floors"]) == {"black", "copy_last", "linear", "mean_of_inputs", "train_mean"}
    model = metrics["models"]["lstm"]
    assert model["path"] == str(runs / "lstm")
    assert model["fingerprint"] == json.loads((runs / "lstm" / "artifact.json").read_text())["fingerprint"]
    parts = [np.array(part["by_horizon"]) for part in model["attribution"].values()]
    np.testing.assert_allclose(sum(parts), model["prediction"]["mse"]["by_horizon"], rtol=1e-4)

    # The numbers of the tables are those of the file.
    rows = [[word for word in line.split("  ") if word] for line in first.out.splitlines()]
    cells = {row[0].strip(): [word.strip() for word in row[1:]] for row in reversed(rows) if row}
    assert cells["black"][0] == f"{metrics['floors']['black']['mse']['mean']:.1f}"
    assert cells["linear in Z"][2] == f"{model['linear_in_z']['psnr']['mean']:.2f}"
    assert cells["lstm"][4] == f"{model['prediction']['ssim_range_2']['mean']:.3f}"
    assert cells["lstm"][5:7] == [f"{model['prediction'][key]['mean']:.2f}" for key in ("sharp_diff", "sharpness")]
    assert cells["persistence"][0] == f"{model['bits_per_dimension']['persistence']['mean']:.3f}"


def test_the_strips_show_truth_prediction_and_error(command, cli, tmp_path):
    """Three windows, of three rows each; seven frames."""
    line = [*command, "--split", "train", "--out", tmp_path / "out"]
    assert cli(*line).code == 0
    with Image.open(tmp_path / "out" / "strips-lstm.png") as picture:
        width, height = picture.size
    assert 7 * 64 < width < 7 * 140 + 300
    assert 9 * 64 < height < 9 * 150 + 100
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert (metrics["protocol"]["windows"], metrics["protocol"]["clips"]) == (10, 10)


def test_two_models_side_by_side(command, runs, cli, tmp_path):
    line = [*command[:2], runs / "lstm", *command[2:], "--out", tmp_path / "out"]
    answer = cli(*line)
    assert answer.code == 0, answer.err
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())["models"]
    assert list(found) == ["1-lstm", "2-lstm"] and found["1-lstm"] == found["2-lstm"]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "costs.json",
        "horizon.png",
        "metrics.json",
        "strips-1-lstm.png",
        "strips-2-lstm.png",
    }


def test_models_of_different_sizes(command, runs, other, refused, tmp_path):
    assert refused(2, *command[:2], other, *command[2:], "--out", tmp_path / "out") == (
        "The models need frames of different sizes (h x w x c): lstm 16 x 16 x 1, small 8 x 8 x 1. Expected one "
        "size. Evaluate the models separately."
    )


def test_data_of_another_size(command, other, refused, tmp_path):
    assert refused(65, command[0], other, *command[2:], "--out", tmp_path / "out") == (
        f"The frames of moving-squares are 16 x 16 x 1 (h x w x c); the model in {other} was trained on 8 x 8 x 1. "
        "Use data of that size."
    )


def test_what_does_not_fit_is_told_and_nothing_written(command, runs, refused, tmp_path):
    out = ["--out", tmp_path / "out"]
    assert refused(2, *command, *out, "--horizon", 9) == (
        "A context of 4 and a horizon of 9 need clips of 13 frames; the longest clip of the test split has 12. Use a "
        "horizon of at most 8 with a context of 4."
    )
    assert refused(2, *command, *out, "--split", "tset").startswith("split is 'tset'; expected one of")
    assert refused(2, *command, *out, "--seed", -1).startswith("seed is -1;")
    assert "which does not predict" in refused(65, command[0], runs / "ae", *command[2:], *out)
    assert refused(2, *command, "--out", runs, "--overwrite") == (
        f"{runs} exists and was not written by this command (it holds no metrics.json), so it is not replaced. "
        "Choose another name, or remove it yourself."
    )


def test_an_evaluation_that_holds_a_model(command, runs, refused):
    (runs / "metrics.json").write_text("{}")
    try:
        assert refused(2, *command, "--out", runs, "--overwrite") == (
            f"{runs / 'lstm'} lies inside {runs}, which would be replaced. Choose another output."
        )
    finally:
        (runs / "metrics.json").unlink()


def test_no_model_and_no_data(refused, runs):
    assert "MODEL" in refused(2, "evaluate", "--data", "moving-squares")
    assert "--data" in refused(2, "evaluate", runs / "lstm")


def test_footage_that_models_want_prepared_in_different_ways(runs, refused, tmp_path):
    """They take frames of one size, but not the same frames of a film."""
    other = tmp_path / "other"
    other.mkdir()
    (tmp_path / "film").mkdir()
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "film" / "0.png")
    for path in (runs / "lstm").rglob("*"):
        if path.is_file():
            target = other / path.relative_to(runs / "lstm")
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())
    from latentseq.storage.atomic import read_json, write_sealed

    about = read_json(other / "artifact.json", "an artifact")
    write_sealed(other / "artifact.json", {**about, "preprocessing": {**about["preprocessing"], "skip": 2}})
    said = refused(2, "evaluate", runs / "lstm", other, "--data", tmp_path / "film", "--out", tmp_path / "out")
    assert said.startswith(f"{runs / 'lstm'} and {other} need different preprocessing of files: ")
    assert said.endswith("Evaluate the models separately, or on a folder of clips.")
