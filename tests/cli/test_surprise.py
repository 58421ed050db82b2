"""``latentseq surprise`` and ``latentseq interpolate``, as they are typed: what is written, and what is refused."""

import csv
import io
import json
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from latentseq import load_predictor, open_data
from latentseq.commands.interpolate import place
from latentseq.commands.surprise import surprisal

DATA = {"count": 12, "length": 12, "size": 16}
SQUARES = ["moving-squares", *(word for key, value in DATA.items() for word in ("--data-set", f"{key}={value}"))]


@pytest.fixture(scope="module")
def found(runs, cli, tmp_path_factory):
    """What was answered, and the folder."""
    out = tmp_path_factory.mktemp("found") / "out"
    return cli("surprise", runs / "lstm", *SQUARES, out, "--clip", 3, "--top", 2), out


@pytest.fixture(scope="module")
def values(runs):
    predictor = load_predictor(runs / "lstm", allow_plugins=["honest-encoder", "honest-dynamics"])
    return surprisal(predictor, open_data("moving-squares", options=DATA), 3)


def test_the_moments_are_listed_by_time_and_then_the_path(found, values):
    answer, out = found
    highest = int(np.nanargmax(values))
    # Half a second is 12 frames at 25 a second: all of this clip is one moment.
    assert answer.out.splitlines() == [
        f"  00:00.{round(highest / 2.5)}  frame {highest:<7} {values[highest]:10.1f} nats",
        str(out),
    ]
    assert (answer.code, answer.err) == (0, "")


def test_a_row_for_every_frame(found, values):
    rows = list(csv.DictReader(io.StringIO((found[1] / "surprise.csv").read_text())))
    assert [int(row["frame"]) for row in rows] == list(range(12))
    assert [float(row["seconds"]) for row in rows] == pytest.approx(np.arange(12) / 25)
    assert rows[0]["nats"] == ""
    np.testing.assert_allclose([float(row["nats"]) for row in rows[1:]], values[1:], rtol=1e-6)


def test_what_is_in_the_folder(found, values):
    names = ["surprise.csv", "surprise.json", "surprise.mp4", "surprise.png"]
    assert sorted(p.name for p in found[1].iterdir()) == names
    record = json.loads((found[1] / "surprise.json").read_text())
    highest = int(np.nanargmax(values))
    moment = {"frame": highest, "seconds": highest / 25, "nats": pytest.approx(values[highest])}
    assert (record["clip"], record["frames"], record["fps"], record["moments"]) == (3, 12, 25, [moment])
    with Image.open(found[1] / "surprise.png") as picture:
        assert picture.size[0] > 2 * picture.size[1] > 600


def test_the_video_shows_every_frame_over_the_curve(found):
    with av.open(str(found[1] / "surprise.mp4")) as file:
        assert file.streams.video[0].average_rate == 25
        pictures = np.stack([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])
    truth = open_data("moving-squares", options=DATA).read(3).frames
    assert len(pictures) == 12
    h, w = pictures.shape[1:3]
    middles = 20 + 32 * np.arange(16) + 16  # Enlarged 32 times, inside a margin.
    assert h > w > middles[-1]
    shown = pictures[:, middles[:, None], middles, 0]
    assert abs(shown.astype(int) - truth[..., 0]).max() < 16
    assert all((pictures[t, 540:] != pictures[t + 1, 540:]).any() for t in range(11))


def test_the_test_clip_comes_first_and_the_folder_has_a_name(runs, cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli("surprise", runs / "lstm", *SQUARES)
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "surprise")
    assert json.loads((tmp_path / "surprise" / "surprise.json").read_text())["clip"] == 0
    assert cli("surprise", runs / "lstm", *SQUARES, "--overwrite", "--quiet").code == 0
    answer = cli("surprise", runs / "lstm", *SQUARES)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: surprise exists already. Choose another name, or replace it with --overwrite.\n"


VARIABLE = [*range(0, 2000, 40), *range(2000, 6000, 200)]
"""Milliseconds: 25 frames a second for 2 s, then 5 a second. Frame 63 is shown at 4.6 s, the last one at 5.8 s."""


@pytest.fixture(scope="module")
def films(cli, tmp_path_factory):
    """A film of variable rate in which frame 63 is white, and a folder of clips of it."""
    folder = tmp_path_factory.mktemp("films")
    with av.open(str(folder / "film.mkv"), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "8"})
        stream.height, stream.width, stream.pix_fmt = 16, 16, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for i, tick in enumerate(VARIABLE):
            picture = np.full((16, 16, 3), 255 if i == 63 else 2 * i, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert cli("ingest", folder / "film.mkv", folder / "clips", "--gray", "--quiet").code == 0
    return folder


@pytest.mark.parametrize("name", ["film.mkv", "clips"])
def test_seconds_are_those_at_which_frames_are_shown(runs, cli, films, name, tmp_path):
    answer = cli("surprise", runs / "lstm", films / name, tmp_path / "out", "--top", 3)
    assert answer.code == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "surprise.csv").read_text())))
    assert [round(1000 * float(row["seconds"])) for row in rows] == VARIABLE
    values = np.array([float(row["nats"] or "nan") for row in rows])
    record = json.loads((tmp_path / "out" / "surprise.json").read_text())
    moments = record["moments"]
    assert [round(1000 * each["seconds"]) for each in moments] == [VARIABLE[each["frame"]] for each in moments]
    gaps = np.diff(sorted(each["seconds"] for each in moments))
    assert (gaps > 0.5).all()
    highest = int(np.nanargmax(values))
    assert highest in (63, 64) and moments[0]["frame"] == highest  # The flash comes, and goes.
    assert answer.out.startswith(f"  00:04.{6 if highest == 63 else 8}  frame {highest} ")
    with av.open(str(tmp_path / "out" / "surprise.mp4")) as file:
        assert [round(1000 * frame.time) for frame in file.decode(video=0)] == VARIABLE


@pytest.mark.parametrize("name", ["film.mkv", "clips"])
def test_a_time_is_taken_to_the_frame_that_is_shown_then(runs, cli, films, name, tmp_path):
    model, data, out = runs / "lstm", films / name, tmp_path / "out.npz"
    assert cli("sample", model, data, out, "--start", "4.6s", "--prime", "1s", "--steps", 2).code == 0
    with np.load(out) as found:
        assert found["truth"][0].min() > 0.9  # Frame 63 is the only white one.
        assert len(found["one_step"]) == 5 - 1  # 4.6 to 5.4 s.
    out = tmp_path / "primed.npz"
    assert cli("sample", model, data, out, "--start", "1.5s", "--prime", "1.5s", "--steps", 2).code == 0
    with np.load(out) as found:
        # The frame at 1.5 s would be 37.5: 38, at 1.52 s. Up to 3.02 s: 12 at 25 a second, and 2.0 to 2.8 s.
        assert abs(255 * found["truth"][0].mean() - 2 * 38) < 4
        assert len(found["one_step"]) == 17 - 1
    assert place("0:4.6s", open_data(data)) == (0, 63)


class TestRefused:
    def test_an_encoder_alone(self, runs, refused, tmp_path):
        assert refused(65, "surprise", runs / "ae", *SQUARES, tmp_path / "out") == (
            f"{runs / 'ae'} holds the encoder 'honest-encoder', which does not predict. "
            "Expected a run folder of train-lstm or train."
        )

    def test_frames_of_another_size(self, runs, refused, tmp_path):
        assert refused(65, "surprise", runs / "lstm", "moving-squares", tmp_path / "out") == (
            "The frames of moving-squares are 40 x 40 x 1 (h x w x c); the model in "
            f"{runs / 'lstm'} was trained on 16 x 16 x 1. Use data of that size."
        )

    def test_data_without_the_streams(self, runs, cli, tmp_path):
        ae, lstm = tmp_path / "ae", tmp_path / "lstm"
        assert cli("train-ae", "honest-dataset", ae, "--encoder", "honest-encoder", "--steps", 2).code == 0
        line = [
            "train-lstm",
            "honest-dataset",
            ae,
            lstm,
            "--dynamics",
            "honest-dynamics",
            "--steps",
            2,
            "--length",
            5,
        ]
        assert cli(*line, "--conditions", "phase").code == 0
        assert cli("surprise", lstm, "honest-dataset", tmp_path / "found").code == 0
        for command, out, model in (("surprise", "out", "The model"), ("sample", "out.gif", f"The model in {lstm}")):
            answer = cli(command, lstm, "moving-squares", tmp_path / out, "--data-set", "size=8")
            assert (answer.code, answer.err.splitlines()[-1]) == (
                65,
                f"error: {model} is driven by the stream phase (width 1); moving-squares has no streams. "
                "Use data with those streams.",
            )
            assert not (tmp_path / out).exists()

    def test_a_clip_that_does_not_exist_and_no_moment(self, runs, refused, tmp_path):
        line = ["surprise", runs / "lstm", *SQUARES, tmp_path / "out"]
        assert refused(2, *line, "--clip", 12) == "Clip 12 does not exist: moving-squares has clips 0 to 11."
        assert refused(2, *line, "--top", 0) == "top is 0; expected 1 moment or more."

    def test_a_clip_of_one_frame_leaves_nothing(self, runs, refused, tmp_path):
        line = ["surprise", runs / "lstm", "moving-squares", tmp_path / "out", "--data-set", "size=16"]
        assert refused(65, *line, "--data-set", "length=1") == (
            "Clip 0 of moving-squares has 1 frame; expected 2 or more, since the first is not predicted."
        )

    def test_somebody_elses_folder(self, runs, refused, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "surprise.txt").write_text("a party")
        assert "was not written by this command (it holds no surprise.json)" in refused(
            2, "surprise", runs / "lstm", *SQUARES, tmp_path / "out", "--overwrite"
        )


class TestInterpolate:
    @pytest.mark.parametrize(
        ("name", "count"), [("out.gif", 7), ("out.webp", 7), ("out.mp4", 7), ("out.png", 1), ("out.npz", 7)]
    )
    def test_every_suffix(self, name, count, runs, cli, tmp_path):
        out = tmp_path / name
        line = ["interpolate", runs / "ae", *SQUARES, out, "--start", "0:2", "--end", "5:0.4s", "--steps", 6]
        assert cli(*line) == (0, f"{out}\n", "")
        if name == "out.npz":
            with np.load(out) as file:
                assert len(file["frames"]) == count
        elif name == "out.mp4":
            with av.open(str(out)) as file:
                assert len(list(file.decode(video=0))) == count
        else:
            with Image.open(out) as file:
                assert file.n_frames == count

    def test_options_reach_it(self, runs, cli, tmp_path):
        for name, options, count in (
            ("a", ["--walk", 4, "--steps", 3, "--loop", "--seed", 1], 12),
            ("b", ["--clips", "--steps", 5, "--end", "4:0", "--loop"], 10),
        ):
            out = tmp_path / f"{name}.npz"
            assert cli("interpolate", runs / "lstm", *SQUARES, out, *options) == (0, f"{out}\n", "")
            with np.load(out) as file:
                assert len(file["latents"]) == count

    def test_what_is_refused(self, runs, refused, tmp_path):
        line = ["interpolate", runs / "ae", *SQUARES, tmp_path / "out.gif"]
        assert (
            refused(2, *line, "--steps", 1)
            == "steps is 1; expected 2 or more, so that there is a frame between the ends."
        )
        assert refused(2, *line, "--end", "12:0") == "Clip 12 does not exist: moving-squares has clips 0 to 11."
        assert refused(2, *line, "--seed", -1).startswith("seed is -1; ")
        assert refused(2, *line[:-1], tmp_path / "out.avi").startswith("out.avi ends in '.avi'; expected one of ")
