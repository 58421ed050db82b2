"""DATA, as every command takes it: what a path or a name opens, and how sizes and times are said."""

import numpy as np
import pytest
from PIL import Image

from latentseq.data import check_frame_shape, open_data, parse_frames, parse_size
from latentseq.errors import DataError, UsageError
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.frames import write_clips
from latentseq.training.watch import Watcher


@pytest.fixture
def write_images(tmp_path):
    def write(folder, count=3, size=(12, 16)):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(np.full((*size, 3), 10 * i, np.uint8)).save(tmp_path / folder / f"frame{i}.png")
        return tmp_path / folder

    return write


@pytest.fixture
def clips(tmp_path):
    squares = open_data("moving-squares", options={"count": 3, "length": 4, "size": 16})
    write_clips(squares, tmp_path / "clips", Watcher(quiet=True))
    return tmp_path / "clips"


def refused(call, kind):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def test_a_name_is_a_dataset():
    dataset = open_data("moving-squares", options={"count": 3, "seed": 1})
    assert (dataset.name, dataset.lengths.tolist()) == ("moving-squares", [15, 15, 15])
    assert dataset.frame_shape == (40, 40, 1)


def test_a_movie(write_movie, numbers):
    dataset = open_data(write_movie("film.mp4", frames=9))
    assert (dataset.name, dataset.lengths.tolist(), dataset.frame_shape) == ("video", [9], (64, 64, 3))
    prepared = open_data(write_movie("film.mp4", frames=9), preprocessing=Preprocessing((24, 48), "stretch", True, 4))
    assert (prepared.lengths.tolist(), prepared.frame_shape) == ([3], (24, 48, 1))
    assert numbers(prepared.read(0).frames) == [0, 4, 8]


def test_an_option_wins_over_the_preprocessing(write_movie):
    dataset = open_data(write_movie("film.mp4", frames=9), options={"size": 32}, preprocessing=Preprocessing((8, 8)))
    assert dataset.frame_shape == (32, 32, 3)


def test_a_folder_of_movies(write_movie, tmp_path, write_images):
    write_movie("films/b10.mp4", frames=3)
    write_movie("films/deep/b2.mkv", frames=5)
    write_images("films/stills")
    dataset = open_data(tmp_path / "films")
    assert (dataset.name, sorted(dataset.lengths.tolist())) == ("video", [3, 5])


def test_a_folder_of_images(write_images, tmp_path):
    write_images("shots/a", count=3)
    write_images("shots/b", count=5)
    dataset = open_data(str(tmp_path / "shots"), preprocessing=Preprocessing((8, 8)))
    assert (dataset.name, dataset.lengths.tolist(), dataset.frame_shape) == ("frames", [3, 5], (8, 8, 3))


def test_a_folder_of_clips(clips):
    dataset = open_data(clips)
    assert (dataset.name, dataset.lengths.tolist(), dataset.frame_shape) == ("clips", [4, 4, 4], (16, 16, 1))
    assert refused(lambda: open_data(clips, options={"size": 3}), UsageError) == (
        "clips has no option 'size'. Its options: path."
    )


def test_what_exists_wins_over_a_name(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips.rename("moving-squares")
    assert open_data("moving-squares").name == "clips"


def test_neither_a_path_nor_a_name():
    message = refused(lambda: open_data("moving-square"), UsageError)
    assert message.startswith(
        "There is no file or folder 'moving-square', and no dataset of that name. Did you mean 'moving-squares'? "
        "Expected a video, a folder of movies, frames or clips, or one of frames, moving-digits, moving-squares and "
    )
    assert "Did you mean" not in refused(lambda: open_data("films/none.mp4"), UsageError)


def test_a_dataset_that_needs_a_path():
    assert refused(lambda: open_data("video"), UsageError) == "video needs the option path; none was given."


def test_an_unknown_option_of_a_dataset():
    message = refused(lambda: open_data("moving-squares", options={"sise": 3}), UsageError)
    assert message == (
        "moving-squares has no option 'sise'. Did you mean 'size'? Its options: count, length, seed and size."
    )


@pytest.mark.parametrize("files", [[], ["notes.txt", "deep/more.txt", ".hidden.mp4"]])
def test_a_folder_of_neither_movies_nor_images(files, tmp_path):
    folder = tmp_path / "papers"
    for name in ["x", *files]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).touch()
    count = {0: 0, 3: 3}[len(files)]  # Two files and the folder of one; what is hidden is not counted.
    assert refused(lambda: open_data(folder), DataError) == (
        f"The folder {folder} holds no movie and no image (of {count} files and folders in it). "
        "Expected movies such as .mp4, or images such as frame1.png."
    )


def test_a_file_that_is_no_movie(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a movie")
    assert refused(lambda: open_data(path), DataError).startswith(f"{path} cannot be read as a video: ")


def test_frames_of_another_size(clips):
    dataset = open_data(clips)
    check_frame_shape(dataset, (16, 16, 1), "the model")
    check_frame_shape(dataset, [16, 16, 1], "the model")
    assert refused(lambda: check_frame_shape(dataset, (64, 48, 3), "the model in runs/ae"), DataError) == (
        "The frames of clips are 16 x 16 x 1 (h x w x c); the model in runs/ae was trained on 64 x 48 x 3. "
        "Give data of that size."
    )


@pytest.mark.parametrize(
    ("text", "size"), [("64", (64, 64)), (64, (64, 64)), ("48x64", (48, 64)), (" 48X64 ", (48, 64)), ("8", (8, 8))]
)
def test_a_size(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "big", "48x", "x64", "48x64x3", "-8", "4.5", "48,64"])
def test_what_is_no_size(text):
    assert refused(lambda: parse_size(text), UsageError) == (
        f"The size is {text!r}; expected a number of pixels such as 64, or 48x64 (h x w)."
    )


@pytest.mark.parametrize(
    ("value", "frames"),
    [(0, 0), ("0", 0), ("30", 30), (30, 30), ("1.5s", 38), ("1s", 25), ("0.04s", 1), (" 2s ", 50), ("0s", 0)],
)
def test_a_number_of_frames_or_a_time(value, frames):
    assert parse_frames(value, 25.0, "start") == frames


@pytest.mark.parametrize("value", ["", "-1", "1.5", "s", "1.5 m", "1,5s", "soon", "1e3"])
def test_what_is_neither(value):
    assert refused(lambda: parse_frames(value, 25.0, "prime"), UsageError) == (
        f"prime is {value!r}; expected a number of frames such as 30, or a time such as 1.5s."
    )
