"""DATA, as every command takes it: what a path or a name opens, and how sizes and times are said."""

import numpy as np
import pytest
from PIL import Image

from latentseq.data.open import check_frame_shape, is_footage, open_data, parse_frames
from latentseq.errors import DataError, UsageError
from latentseq.media.preprocessing import Preprocessing, parse_size
from latentseq.protocols import Dataset
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
    assert (dataset.name, dataset.lengths.tolist(), dataset.frame_shape) == ("files", [9], (64, 64, 3))
    prepared = open_data(
        write_movie("film.mp4", frames=9), preprocessing=Preprocessing((24, 48), "stretch", True, skip=4)
    )
    assert (prepared.lengths.tolist(), prepared.frame_shape) == ([3], (24, 48, 1))
    assert numbers(prepared.read(0).frames) == [0, 4, 8]


def test_a_movie_at_another_rate(write_movie, numbers):
    prepared = Preprocessing((24, 48), "stretch", skip=2, fps=12.5)
    dataset = open_data(write_movie("film.mp4", frames=9), preprocessing=prepared)
    assert (dataset.fps, numbers(dataset.read(0).frames)) == (6.25, [0, 4, 8])


def test_an_option_wins_over_the_preprocessing(write_movie):
    dataset = open_data(write_movie("film.mp4", frames=9), options={"size": 32}, preprocessing=Preprocessing((8, 8)))
    assert dataset.frame_shape == (32, 32, 3)


def test_a_folder_of_movies_and_images(write_movie, tmp_path, write_images):
    write_movie("films/b10.mp4", frames=3)
    write_movie("films/deep/b2.mkv", frames=5)
    write_images("films/stills", count=4)
    dataset = open_data(tmp_path / "films")
    assert (dataset.name, dataset.lengths.tolist()) == ("files", [3, 5, 4])


def test_a_folder_of_images(write_images, tmp_path):
    write_images("shots/a", count=3)
    write_images("shots/b", count=5)
    dataset = open_data(str(tmp_path / "shots"), preprocessing=Preprocessing((8, 8)))
    assert (dataset.name, dataset.lengths.tolist(), dataset.frame_shape) == ("files", [3, 5], (8, 8, 3))


def test_a_folder_of_clips(clips):
    dataset = open_data(clips)
    assert (dataset.name, dataset.lengths.tolist(), dataset.frame_shape) == ("clips", [4, 4, 4], (16, 16, 1))
    assert refused(lambda: open_data(clips, options={"size": 3}), UsageError) == (
        "clips has no option 'size'. Its options: path."
    )


def test_windows_of_whatever_it_is(clips, write_movie):
    options = {"crop": 8, "clip_length": 3, "count": 20}
    squares = open_data("moving-squares", options={"size": 16, "length": 6, **options})
    assert (squares.frame_shape, squares.lengths.tolist()) == ((8, 8, 1), [3] * 20)
    assert len(squares.dataset.lengths) == 1200  # What both take is for the windows.
    assert open_data(clips, options=options).frame_shape == (8, 8, 1)
    film = open_data(write_movie("film.mp4", frames=40), options={"size": [24, 48], **options})
    assert (film.frame_shape, film.dataset.frame_shape) == ((8, 8, 3), (24, 48, 3))


def test_what_is_footage(clips, write_movie, write_images, tmp_path):
    for path in (write_movie("film.mp4"), write_images("shot"), tmp_path):
        assert is_footage(path) is True
        assert is_footage(str(path)) is True
    for data in (clips, "moving-squares", "films/none.mp4", "x" * 300):
        assert is_footage(data) is False


def test_what_exists_wins_over_a_name(clips, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    clips.rename("moving-squares")
    assert open_data("moving-squares").name == "clips"


def test_neither_a_path_nor_a_name():
    message = refused(lambda: open_data("moving-square"), UsageError)
    assert message.startswith(
        "There is no file or folder 'moving-square', and no dataset of that name. Did you mean 'moving-squares'? "
        "Expected a video, a folder of movies, frames or clips, or one of files, "
        "moving-digits, moving-squares and sounding-shapes."
    )
    assert "Did you mean" not in refused(lambda: open_data("films/none.mp4"), UsageError)


def test_a_dataset_that_needs_a_path():
    assert refused(lambda: open_data("files"), UsageError) == "files needs the option path, which is missing."


def test_an_unknown_option_of_a_dataset():
    message = refused(lambda: open_data("moving-squares", options={"sise": 3}), UsageError)
    assert message == (
        "moving-squares has no option 'sise'. Did you mean 'size'? Its options: count, length, seed and size."
    )


NOTHING = "There is no footage: expected videos, folders of images, or arrays. "
NO_KIND = "is not a known type of video, image or array file."


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "The folders are empty."),
        (
            ["notes.txt", "deep/more.txt", ".hidden.mp4"],
            f"Skipped: papers/deep/more.txt: .txt {NO_KIND} papers/notes.txt: .txt {NO_KIND}",
        ),
    ],
)
def test_a_folder_of_neither_movies_nor_images(files, message, tmp_path):
    folder = tmp_path / "papers"
    for name in ["x", *files]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).touch()
    assert refused(lambda: open_data(folder), DataError) == NOTHING + message


def test_a_file_that_is_no_movie(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a movie")
    assert refused(lambda: open_data(path), DataError) == f"{NOTHING}Skipped: notes.txt: .txt {NO_KIND}"


def test_frames_of_another_size(clips):
    dataset = open_data(clips)
    check_frame_shape(dataset, (16, 16, 1), "the model")
    check_frame_shape(dataset, [16, 16, 1], "the model")
    assert refused(lambda: check_frame_shape(dataset, (64, 48, 3), "the model in runs/ae"), DataError) == (
        "The frames of clips are 16 x 16 x 1 (h x w x c); the model in runs/ae was trained on 64 x 48 x 3. "
        "Use data of that size."
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


class Timed(Dataset):
    """A clip whose frames are shown at given times, 25 a second on average."""

    name = "timed"
    frame_shape = (1, 1, 1)

    def __init__(self, times):
        self._times = np.array(times, np.float64)

    lengths = property(lambda self: np.array([len(self._times)]))

    def read(self, i, start=0, stop=None):
        raise NotImplementedError

    def times(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        return self._times[start:stop]


@pytest.mark.parametrize(
    ("value", "frames"),
    [(0, 0), ("0", 0), ("30", 30), (30, 30), ("1.5s", 38), ("1s", 25), ("0.04s", 1), (" 2s ", 50), ("0s", 0)],
)
def test_a_number_of_frames_or_a_time(value, frames):
    assert parse_frames(value, Timed(np.arange(100) / 25), 0, "start") == frames


RECORDING = [0, 0.1, 0.2, 10, 45, 80]


@pytest.mark.parametrize(
    ("value", "first", "frames"),
    [
        ("10s", 0, 3),
        ("44s", 0, 4),
        ("9.9s", 1, 2),  # From 0.1 s on.
        ("35s", 3, 1),
        ("20s", 3, 1),  # 30 s is nearer to 45 s than to 10 s.
        ("70s", 3, 2),
        ("80s", 0, 5),
        ("80.04s", 0, 6),  # Where a frame after the last one would be: the whole clip.
        ("35.04s", 4, 2),
        ("82s", 0, 55),
        ("2s", 9, 50),  # Neither is there, which whoever reads them says.
        (7, 4, 7),
    ],
)
def test_a_time_is_that_of_the_frames_however_they_are_spaced(value, first, frames):
    assert parse_frames(value, Timed(RECORDING), 0, "prime", first=first) == frames


def test_a_time_in_a_clip_that_is_not_there():
    assert refused(lambda: parse_frames("1s", Timed([0.0]), 3, "start"), UsageError) == (
        "Clip 3 does not exist: timed has clips 0 to 0."
    )


@pytest.mark.parametrize("value", ["", "-1", "1.5", "s", "1.5 m", "1,5s", "soon", "1e3"])
def test_what_is_neither(value):
    assert refused(lambda: parse_frames(value, Timed([0.0]), 0, "prime"), UsageError) == (
        f"prime is {value!r}; expected a number of frames such as 30, or a time such as 1.5s."
    )
