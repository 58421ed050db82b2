"""Commands that use a model say where the data differs from what it was trained on."""

import json

import numpy as np
import pytest

QUICK = ["--steps", 2, "--quiet"]
SAID = [
    "fast.mp4 has 60 frames a second, and the {} in {} was trained on 25: motion has another speed. Read "
    "the file at that rate with --data-set fps=25.",
    "fast.mp4 has colour, and the {} in {} was trained on gray pictures: the colour is ignored.",
    "fast.mp4 has pictures of 48 x 48 (h x w), 1.00 times as wide as high, and the {} in {} was trained on 2.00. "
    "Other parts of each picture are cut off to fit.",
]


@pytest.fixture
def films(honest, cli, write_movie, tmp_path):
    """A model of gray pictures of 48 x 96, 25 a second, and a film that is otherwise."""
    film, ae = tmp_path / "film.npy", tmp_path / "ae"
    np.save(film, np.random.default_rng(0).integers(0, 256, (40, 48, 96), np.uint8))
    assert cli("train-ae", film, ae, "--encoder", "honest-encoder", "--size", 16, *QUICK).code == 0
    dynamics = ["--dynamics", "honest-dynamics", *QUICK]
    assert cli("train-lstm", film, ae, tmp_path / "lstm", *dynamics).code == 0
    return film, write_movie("fast.mp4", 60, fps=60, size=(48, 48)), ae, tmp_path / "lstm"


def test_every_command_says_it_and_says_nothing_of_the_same_data(films, cli, tmp_path):
    same, fast, ae, lstm = films
    commands = {
        "encode": lambda film, out: ("encode", film, ae, out),
        "interpolate": lambda film, out: ("interpolate", ae, film, f"{out}.png"),
        "train-lstm": lambda film, out: (
            *("train-lstm", film, ae, out, "--dynamics", "honest-dynamics", "--steps", 1),
        ),
        "sample": lambda film, out: ("sample", lstm, film, f"{out}.png", "--prime", 4, "--steps", 2),
        "surprise": lambda film, out: ("surprise", lstm, film, out),
        "evaluate": lambda film, out: (
            "evaluate",
            lstm,
            "--data",
            film,
            "--context",
            2,
            "--horizon",
            2,
            "--out",
            out,
        ),
    }
    for name, command in commands.items():
        whose = ("model", lstm) if name in ("sample", "surprise", "evaluate") else ("encoder", ae)
        answer = cli(*command(fast, tmp_path / f"{name}-fast"))
        assert answer.code == 0, answer.err
        assert answer.err.splitlines()[:3] == [line.format(*whose) for line in SAID]
        answer = cli(*command(same, tmp_path / f"{name}-same"))
        assert (answer.code, "was trained on" in answer.err) == (0, False)
    at_rate = cli("encode", fast, ae, tmp_path / "rate", "--data-set", "fps=25").err
    assert "frames a second, and" not in at_rate
    assert "was trained on" not in cli("encode", fast, ae, tmp_path / "quiet", "--quiet").err


def test_a_run_from_before_says_what_it_knows(films, cli, tmp_path):
    _, fast, ae, _ = films
    about = json.loads((ae / "artifact.json").read_text())
    assert about["training"].pop("footage") == {"fps": 25.0, "aspect": [2.0, 2.0], "colour": False}
    about.pop("seal", None)
    (ae / "artifact.json").write_text(json.dumps(about))
    answer = cli("encode", fast, ae, tmp_path / "z")
    assert answer.code == 0, answer.err
    assert "was trained on" not in answer.err
