"""Folders of images as a dataset: one clip a folder, numbers in natural order."""

import numpy as np
import pytest
from PIL import Image

from latentseq.errors import DataError, UsageError
from latentseq_plugins.datasets.frames import Frames


@pytest.fixture
def write(tmp_path):
    def one(name, value, size=(12, 16)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
        return path

    return one


def _values(clip):
    return clip.frames[:, 0, 0, 0].tolist()


def test_a_folder_of_images_is_a_clip(write, tmp_path):
    for i in (10, 2, 1, 0, 11):
        write(f"frame{i}.png", 10 * i)
    write(".hidden.png", 99)
    (tmp_path / "notes.txt").write_text("not an image")
    dataset = Frames(str(tmp_path), size=8)
    assert dataset.lengths.tolist() == [5]
    assert dataset.frame_shape == (8, 8, 3)
    assert dataset.fps == 25
    assert dataset.split is None
    clip = dataset.read(0)
    assert clip.frames.shape == (5, 8, 8, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.streams == {}
    assert _values(clip) == [0, 10, 20, 100, 110]
    assert _values(dataset.read(0, 2, 4)) == [20, 100]


def test_every_folder_that_holds_images_is_a_clip(write, tmp_path):
    for name, value in {"b10/1.png": 1, "b2/1.png": 2, "b2/2.bmp": 3, "a/deep/er/1.png": 4, "b2/x/1.png": 5}.items():
        write(name, value)
    write("a/larger/1.png", 6, size=(30, 30))
    dataset = Frames(str(tmp_path), size=[6, 8], gray=True)
    assert [_values(dataset.read(i)) for i in range(len(dataset.lengths))] == [[4], [6], [2, 3], [5], [1]]
    assert dataset.frame_shape == (6, 8, 1)


def test_skip(write, tmp_path):
    for i in range(8):
        write(f"{i}.png", i)
    dataset = Frames(str(tmp_path), size=4, skip=3, fps=30)
    assert _values(dataset.read(0)) == [0, 3, 6]
    assert dataset.fps == 10


def test_the_config_builds_the_same_again(write, tmp_path):
    write("1.png", 1)
    config = {"path": str(tmp_path), "size": [4, 6], "fit": "pad", "gray": True, "skip": 2, "fps": 30.0}
    dataset = Frames.from_config(config)
    assert dataset.get_config() == config
    assert Frames.from_config(dataset.get_config()).fps == dataset.fps == 15


def test_the_fingerprint_is_of_the_content(write, tmp_path):
    write("a/1.png", 1)
    write("b/1.png", 1)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    assert Frames(a).fingerprint() == Frames(b).fingerprint()
    assert Frames(a).fingerprint() != Frames(b, size=32).fingerprint()
    write("b/1.png", 2)
    assert Frames(a).fingerprint() != Frames(b).fingerprint()


def test_mixed_sizes(write, tmp_path):
    first, other = write("1.png", 0), write("2.png", 0, size=(16, 12))
    with pytest.raises(DataError) as caught:
        Frames(str(tmp_path))
    assert str(caught.value) == (
        f"{first} is 12 x 16 (h x w) and {other} is 16 x 12; expected one size in a clip. "
        "Put them into folders of their own, or make them equal."
    )


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError) as caught:
        Frames(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} holds no images; expected files that end in .bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif, .tiff "
        "and .webp, in it or in folders below it. Choose another folder; one of movies is read by the dataset video."
    )


def test_a_file_is_no_folder(write):
    path = write("1.png", 0)
    with pytest.raises(DataError) as caught:
        Frames(str(path))
    assert str(caught.value) == (
        f"{path} is not a folder; expected one of numbered images, or of such folders. Check the path; "
        "a movie is read by the dataset video."
    )


def test_an_image_that_cannot_be_read(write, tmp_path):
    write("1.png", 0)
    (tmp_path / "2.png").write_text("hello")
    with pytest.raises(DataError, match=r"2\.png cannot be read as an image"):
        Frames(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "Option fps is 0; expected a number of images a second, such as 25."),
        ({"skip": 0}, "Option skip is 0; expected 1 to keep every frame, 3 to keep every third."),
    ],
)
def test_bad_options(options, message, tmp_path):
    with pytest.raises(UsageError) as caught:
        Frames(str(tmp_path), **options)
    assert str(caught.value) == message
