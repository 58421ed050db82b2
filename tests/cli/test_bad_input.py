"""What cannot work is told in one sentence with its exit code, and nothing is written or lost."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

SQUARES = ["moving-squares", "--data-set", "count=12", "--data-set", "length=12", "--data-set", "size=16"]
QUICK = ["--encoder", "honest-encoder", "--steps", 2]


@pytest.fixture
def with_data(runs, tmp_path):
    """Every command that takes DATA, given some."""

    def commands(data):
        out = tmp_path / "out"
        return {
            "train-ae": ["train-ae", data, out, *QUICK],
            "encode": ["encode", data, runs / "ae", out],
            "train-lstm": ["train-lstm", data, runs / "ae", out, "--dynamics", "honest-dynamics"],
            "sample": ["sample", runs / "lstm", data, f"{out}.gif"],
            "evaluate": ["evaluate", runs / "lstm", "--data", data, "--out", out],
        }

    return commands


WITH_DATA = pytest.mark.parametrize("command", ["train-ae", "encode", "train-lstm", "sample", "evaluate"])
NOTHING = "There is no footage: expected videos, folders of images, or arrays. "
NO_FILM = (
    "{0} cannot be read as a video: its content is of no known video format, or its end is missing. "
    "Expected a file such as MP4, MKV, WebM or AVI; copy or export it again, or remove it."
)


class TestData:
    @WITH_DATA
    def test_an_unreadable_video(self, command, with_data, refused, tmp_path):
        film = tmp_path / "film.mp4"
        film.write_text("this is no film")
        assert refused(65, *with_data(film)[command]) == (f"{NOTHING}Skipped: film.mp4: {NO_FILM.format('film.mp4')}")

    @pytest.mark.parametrize("share", [0, 0.5, 0.9])
    def test_a_video_that_is_cut_short(self, share, with_data, refused, write_movie, tmp_path):
        film = write_movie("film.mp4")
        film.write_bytes(film.read_bytes()[: int(share * film.stat().st_size)])
        assert refused(65, *with_data(film)["train-ae"]).startswith(f"{NOTHING}Skipped: film.mp4: film.mp4 ")

    @pytest.mark.parametrize("command", ["encode", "train-lstm", "sample"])
    def test_one_unreadable_video_among_others(self, command, with_data, refused, write_movie, tmp_path):
        write_movie("films/a.mp4")
        (tmp_path / "films" / "b.mp4").write_text("no film")
        assert refused(65, *with_data(tmp_path / "films")[command]) == (
            f"films/b.mp4 cannot be used. {NO_FILM.format('films/b.mp4')} `latentseq ingest` skips such files."
        )

    def test_an_encoder_is_trained_without_what_is_unreadable(self, with_data, cli, write_movie, tmp_path):
        write_movie("films/a.mp4")
        (tmp_path / "films" / "b.mp4").write_text("no film")
        answer = cli(*with_data(tmp_path / "films")["train-ae"])
        assert (answer.code, answer.out) == (0, f"{tmp_path / 'out'}\n")
        said = f"skip films/b.mp4: {NO_FILM.format('films/b.mp4')}"
        lines = answer.err.splitlines()
        assert [said, "1 clip, 40 frames of 48 x 96 x 3, from 1 of 2 files"] == lines[:2]
        cache = json.loads((tmp_path / "out" / "cache" / "manifest.json").read_text())
        assert cache["skipped"] == [{"path": "films/b.mp4", "reason": NO_FILM.format("films/b.mp4")}]

    @WITH_DATA
    def test_an_empty_folder(self, command, with_data, refused, tmp_path):
        (tmp_path / "films").mkdir()
        assert refused(65, *with_data(tmp_path / "films")[command]) == f"{NOTHING}The folders are empty."

    @WITH_DATA
    def test_mixed_frame_sizes(self, command, with_data, refused, tmp_path):
        (tmp_path / "shot").mkdir()
        for i, size in enumerate([(12, 16), (12, 16), (16, 12)]):
            Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / "shot" / f"frame{i}.png")
        assert refused(65, *with_data(tmp_path / "shot")[command]) == (
            f"{NOTHING}Skipped: shot: shot/frame0.png is 12 x 16 (h x w) and shot/frame2.png is 16 x 12; expected "
            "one size in a clip. Put images of different sizes into different folders, or resize them."
        )

    @pytest.mark.parametrize("command", ["encode", "train-lstm", "sample"])
    def test_frames_that_the_model_was_not_made_for(self, command, with_data, refused, runs):
        whose = "the model in " + str(runs / "lstm") if command == "sample" else "the encoder in " + str(runs / "ae")
        assert refused(65, *with_data("moving-squares")[command]) == (
            f"The frames of moving-squares are 40 x 40 x 1 (h x w x c); {whose} was trained on 16 x 16 x 1. "
            "Use data of that size."
        )

    @WITH_DATA
    def test_neither_a_path_nor_a_dataset(self, command, with_data, refused):
        message = refused(2, *with_data("moving-square")[command])
        assert message.startswith(
            "There is no file or folder 'moving-square', and no dataset of that name. Did you mean 'moving-squares'? "
            "Expected a video, a folder of movies, frames or clips, or one of "
        )

    def test_a_name_that_no_file_can_have(self, with_data, refused):
        assert "no dataset of that name" in refused(2, *with_data("x" * 300)["train-ae"])

    def test_latents_are_no_frames(self, with_data, refused, runs):
        assert refused(65, *with_data(runs / "z")["train-ae"]) == (
            f"{runs / 'z'} holds latents; expected a video, or a folder of movies, of frames or of clips."
        )

    def test_a_video_too_short_to_validate_on(self, with_data, refused, write_movie, tmp_path):
        film = write_movie("film.mp4", frames=1)
        assert refused(65, *with_data(film)["train-ae"]) == (
            "No data is left for validation: the number of frames is 1. Use a longer clip, or at least three clips."
        )

    def test_windows_longer_than_the_clips(self, refused, runs, tmp_path):
        command = ["train-lstm", runs / "z", runs / "ae", tmp_path / "out", "--dynamics", "honest-dynamics"]
        assert refused(65, *command, "--length", 50) == (
            "The windows have 50 latents, but the longest training clip has 12. "
            "Choose shorter windows with --length, or use longer clips."
        )
        assert refused(2, *command, "--length", 1) == "length is 1; expected windows of 2 items or more."
        assert refused(2, *command, "--stride", 0) == "stride is 0; expected 1 item or more."


class TestModels:
    def test_latents_of_another_encoder(self, refused, runs, tmp_path):
        prints = {name: self.fingerprint(runs / name) for name in ("ae", "other")}
        assert refused(65, "train-lstm", runs / "z", runs / "other", tmp_path / "out") == (
            f"The latents in {runs / 'z'} were made by another encoder (fingerprint {prints['ae']}…) than the one in "
            f"{runs / 'other'} ({prints['other']}…). Give the other encoder, or encode the data again with this one."
        )

    @staticmethod
    def fingerprint(folder):
        from latentseq.storage.artifact import read_artifact

        return read_artifact(folder).fingerprint[:12]

    @pytest.mark.parametrize("command", ["encode", "train-lstm", "sample"])
    def test_no_model(self, command, refused, runs, tmp_path):
        (tmp_path / "empty").mkdir()
        arguments = {
            "encode": [*SQUARES, tmp_path / "empty", tmp_path / "out"],
            "train-lstm": [runs / "z", tmp_path / "empty", tmp_path / "out"],
            "sample": [tmp_path / "empty", *SQUARES, tmp_path / "out.gif"],
        }
        assert refused(65, command, *arguments[command]) == (
            f"{tmp_path / 'empty'} holds no trained model: there is no artifact.json in it. "
            "Expected a folder that a training command finished, such as runs/ae."
        )

    def test_a_model_of_another_kind(self, refused, runs, tmp_path):
        assert refused(65, "encode", *SQUARES, runs / "lstm", tmp_path / "out") == (
            f"{runs / 'lstm'} holds the dynamics 'honest-dynamics'; expected one of the encoders."
        )
        assert refused(65, "sample", runs / "ae", *SQUARES, tmp_path / "out.gif") == (
            f"{runs / 'ae'} holds the encoder 'honest-encoder', which does not predict. "
            "Expected a run folder of train-lstm or train."
        )

    def test_a_model_that_was_damaged(self, refused, runs, tmp_path):
        shutil.copytree(runs / "ae", tmp_path / "ae")
        (tmp_path / "ae" / "mean.npy").write_bytes(b"other")
        assert refused(65, "encode", *SQUARES, tmp_path / "ae", tmp_path / "out") == (
            f"{tmp_path / 'ae' / 'mean.npy'} is missing or is not the file that was saved. "
            "Copy the folder again, or train again."
        )

    def test_a_folder_that_holds_nothing_of_ours(self, refused, tmp_path):
        assert refused(65, "show", tmp_path) == (
            f"{tmp_path} holds neither a trained model (artifact.json) nor clips or latents (manifest.json). "
            "Expected a folder that train-ae, train-lstm or encode wrote."
        )


class TestPriming:
    @pytest.fixture
    def sample(self, refused, runs, tmp_path):
        return lambda *options: refused(2, "sample", runs / "lstm", *SQUARES, tmp_path / "out.gif", *options)

    @pytest.mark.parametrize(
        ("options", "asked"),
        [
            (["--prime", 30], "--start 0 and --prime 30 need frames 0 to 29"),
            (["--start", 5, "--prime", 8], "--start 5 and --prime 8 need frames 5 to 12"),
            (["--start", 12], "--start 12 and --prime 1 need frames 12 to 12"),
            (["--start", "1s", "--prime", 2], "--start 25 and --prime 2 need frames 25 to 26"),
            (["--prime", "1s"], "--start 0 and --prime 25 need frames 0 to 24"),
        ],
    )
    def test_a_range_beyond_the_clip(self, options, asked, sample):
        assert sample(*options) == f"{asked} of clip 0; it has 12 frames, 0 to 11. Use a range inside the clip."

    def test_no_frame_to_start_from(self, sample):
        assert sample("--prime", 0) == "--prime is 0; expected 1 frame or more."

    def test_a_clip_that_does_not_exist(self, sample):
        assert sample("--clip", 12) == "Clip 12 does not exist: moving-squares has clips 0 to 11."
        assert sample("--clip", -1) == "Clip -1 does not exist: moving-squares has clips 0 to 11."

    @pytest.mark.parametrize(
        ("option", "value"), [("start", "-1"), ("start", "soon"), ("prime", "1.5"), ("prime", "")]
    )
    def test_what_is_no_number_of_frames(self, option, value, sample):
        assert sample(f"--{option}", value) == (
            f"{option} is {value!r}; expected a number of frames such as 30, or a time such as 1.5s."
        )

    @pytest.mark.parametrize(
        ("options", "found"),
        [
            (["--steps", 0], "steps is 0; expected 1 or more."),
            (["--samples", 0], "samples is 0; expected 1 or more."),
            (["--temperature", -0.5], "temperature is -0.5; expected a number from 0 to 100."),
            (["--temperature", "nan"], "temperature is nan; expected a number from 0 to 100."),
            (["--temperature", "inf"], "temperature is inf; expected a number from 0 to 100."),
        ],
    )
    def test_numbers_out_of_range(self, options, found, sample):
        message = sample(*options)
        assert message == found

    def test_a_negative_seed(self, sample):
        assert "seed is -1" in sample("--seed", -1)

    @pytest.mark.parametrize(
        ("name", "problem", "hint"),
        [
            ("out.mpg", "ends in '.mpg'", "Did you mean '.mp4'? "),
            ("out.npy", "ends in '.npy'", "Did you mean '.npz'? "),
            ("out.jpg", "ends in '.jpg'", "Did you mean '.png'? "),
            ("out.txt", "ends in '.txt'", ""),
            ("out", "has no suffix", ""),
        ],
    )
    def test_a_suffix_that_is_not_written(self, name, problem, hint, refused, runs, tmp_path):
        assert refused(2, "sample", runs / "lstm", *SQUARES, tmp_path / name) == (
            f"{name} {problem}; expected one of .gif, .mp4, .npz, .png and .webp. {hint}"
            "The suffix decides what is written: a video, a contact sheet (.png) or arrays (.npz)."
        )


class TestPlugins:
    def test_an_unknown_plugin(self, refused, runs, tmp_path):
        encoders = "conv-ae, feature-vae, honest-encoder, numpy-pca, pca, stack and vae"
        tail = "Install a plugin with pip; `latentseq plugins` lists all installed ones."
        assert refused(2, "train-ae", *SQUARES, tmp_path / "out", "--encoder", "vea") == (
            f"No encoder is called 'vea'. Did you mean 'vae'? Installed: {encoders}. {tail}"
        )
        assert refused(2, "train-lstm", runs / "z", runs / "ae", tmp_path / "out", "--dynamics", "lsmt") == (
            "No dynamics is called 'lsmt'. Did you mean 'lstm'? Installed: conv-lstm, honest-dynamics, linear and "
            f"lstm. {tail}"
        )

    def test_an_unknown_option_of_a_plugin(self, refused, runs, tmp_path):
        assert refused(2, "train-ae", *SQUARES, tmp_path / "out", *QUICK, "--set", "latent_dimm=3") == (
            "honest-encoder has no option 'latent_dimm'. Did you mean 'latent_dim'? "
            "Its options: input_shape and latent_dim."
        )
        dynamics = ["--dynamics", "honest-dynamics", "--head", "mse"]
        assert refused(2, "train-lstm", runs / "z", runs / "ae", tmp_path / "out", *dynamics) == (
            "honest-dynamics has no option 'head'. Its options: conditions and latent_shape."
        )

    @WITH_DATA
    def test_an_unknown_option_of_a_dataset(self, command, with_data, refused):
        assert refused(2, *with_data("moving-squares")[command], "--data-set", "cuont=3") == (
            "moving-squares has no option 'cuont'. Did you mean 'count'? Its options: count, length, seed and size."
        )

    def test_an_option_of_a_dataset_where_there_is_none(self, refused, runs, tmp_path):
        command = ["train-lstm", runs / "z", runs / "ae", tmp_path / "out", "--dynamics", "honest-dynamics"]
        assert "latents" in refused(2, *command, "--steps", 1, "--data-set", "count=3")

    @pytest.mark.parametrize(
        "option", [["--size", "32"], ["--skip", "2"], ["--gray"], ["--fit", "pad"], ["--fps", "5"]]
    )
    def test_an_option_for_files_where_there_is_none(self, option, refused, tmp_path):
        """What would be left out of account must not be taken: it would go into the artifact as if it were true."""
        message = refused(2, "train-ae", *SQUARES, tmp_path / "out", *QUICK, *option)
        assert option[0] in message
        assert "moving-squares" in message

    def test_a_value_of_another_type(self, refused, tmp_path):
        train = ["train-ae", "moving-squares", tmp_path / "out", *QUICK]
        assert refused(2, *train, "--set", "latent_dim=big") == (
            "honest-encoder: option latent_dim is 'big'; expected int."
        )
        assert refused(2, *train, "--data-set", "count=0") == (
            "moving-squares: option count is 0; expected 1 or more."
        )

    @pytest.mark.parametrize("pair", ["latent_dim", "=3", " =3", ""])
    @pytest.mark.parametrize("option", ["--set", "--data-set"])
    def test_a_setting_that_is_none(self, option, pair, refused, tmp_path):
        assert refused(2, "train-ae", "moving-squares", tmp_path / "out", *QUICK, option, pair) == (
            f"The setting {pair!r} is not KEY=VALUE. Write it as in --set latent_dim=64."
        )

    def test_an_unknown_kind_of_plugin(self, refused):
        assert refused(2, "plugins", "encoder") == (
            "'encoder' is not a kind of plugin. Did you mean 'encoders'? "
            "The kinds are datasets, decoders, dynamics, encoders and predictors."
        )


class TestBudgetsAndPreparation:
    @pytest.mark.parametrize("option", ["steps", "epochs", "max_minutes", "batch_size", "learning_rate"])
    @pytest.mark.parametrize("value", ["0", "-1"])
    def test_a_budget_that_is_none(self, option, value, refused, tmp_path):
        command = ["train-ae", *SQUARES, tmp_path / "out", "--encoder", "honest-encoder"]
        found = float(value) if option in ("max_minutes", "learning_rate") else int(value)
        assert refused(2, *command, f"--{option.replace('_', '-')}", value) == (
            f"{option} is {found}; expected a number above 0."
        )

    def test_a_negative_seed(self, refused, tmp_path):
        assert "seed is -1" in refused(2, "train-ae", *SQUARES, tmp_path / "out", *QUICK, "--seed", -1)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--size", "big"], "The size is 'big'; expected a number of pixels such as 64, or 48x64 (h x w)."),
            (
                ["--size", "0"],
                "Option size is [0, 0]; expected a side or [height, width] in pixels, each from 1 to 8192, "
                "such as 64 or [64, 96].",
            ),
            (["--fit", "squeeze"], "Option fit is 'squeeze'; expected 'crop', 'pad' or 'stretch'."),
            (["--skip", "0"], "Option skip is 0; expected 1 to keep every frame, 3 to keep every third."),
            (["--fps", "0"], "Option fps is 0.0; expected frames a second, above 0 and at most 1000."),
            (["--data-set", "clip_length=0"], "--clip-length is 0; expected 1 frame or more."),
            (["--data-set", "crop=0"], "Option crop is 0; expected a side of 1 pixel or more."),
            (["--data-set", "audio=3"], "ingest: option audio is 3; expected str."),
        ],
    )
    def test_how_frames_are_prepared(self, options, message, refused, write_movie, tmp_path):
        assert refused(2, "train-ae", write_movie("film.mp4"), tmp_path / "out", *QUICK, *options) == message

    def test_an_option_that_ingest_does_not_take(self, refused, write_movie, tmp_path):
        message = refused(2, "train-ae", write_movie("film.mp4"), tmp_path / "out", *QUICK, "--data-set", "crops=8")
        assert message.startswith("ingest has no option 'crops'. Did you mean 'crop'? Its options: array, ")
