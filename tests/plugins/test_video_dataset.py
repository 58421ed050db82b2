"""Movies as a dataset: one clip each, in natural order."""

import numpy as np
import pytest

from latentseq.errors import DataError, UsageError
from latentseq_plugins.datasets import video as module
from latentseq_plugins.datasets.video import Video


def test_one_file(write_movie, numbers):
    dataset = Video(str(write_movie("a.mp4", 30)), size=[24, 48], gray=True, skip=2)
    assert dataset.lengths.tolist() == [15]
    assert dataset.frame_shape == (24, 48, 1)
    assert dataset.fps == 12.5
    assert dataset.split is None
    clip = dataset.read(0, 3, 6)
    assert clip.streams == {}
    assert clip.frames.shape == (3, 24, 48, 1)
    assert clip.frames.dtype == np.uint8
    assert numbers(clip.frames) == [6, 8, 10]
    assert numbers(dataset.read_windows(np.array([0, 0]), np.array([9, 1]), 2).frames[0]) == [18, 20]


def test_a_folder_is_searched_in_natural_order(write_movie, tmp_path):
    for name, frames in {
        "b/clip10.mp4": 7,
        "b/clip2.mkv": 6,
        "a.webm": 5,
        "b/c/d.mp4": 4,
        "b/._clip2.mp4": 3,
    }.items():
        write_movie(
            name, frames, codec="libvpx" if name.endswith("webm") else "libx264", fps=10 if frames == 5 else 25
        )
    (tmp_path / "notes.txt").write_text("not a movie")
    dataset = Video(str(tmp_path), size=24)
    assert dataset.lengths.tolist() == [5, 4, 6, 7]
    assert dataset.frame_shape == (24, 24, 3)
    assert dataset.fps == 10  # Of the first.


def test_few_decoders_are_open_at_a_time(write_movie, tmp_path, numbers):
    for i in range(module.OPEN_FILES + 3):
        write_movie(f"{i}.mp4", 4 + i)
    dataset = Video(str(tmp_path), size=[24, 48], fit="stretch")
    for _ in range(2):
        for i in range(module.OPEN_FILES + 3):
            assert numbers(dataset.read(i).frames) == list(range(4 + i))
            assert sum(video._container is not None for video in dataset._videos) <= module.OPEN_FILES


def test_the_config_builds_the_same_again(write_movie):
    config = {"path": str(write_movie("a.mp4")), "size": [24, 48], "fit": "pad", "gray": True, "skip": 3}
    dataset = Video.from_config(config)
    assert dataset.get_config() == config
    assert Video.from_config({"path": config["path"]}).get_config()["size"] == 64


def test_a_copy_has_the_same_fingerprint_and_another_size_has_not(write_movie, tmp_path):
    path = write_movie("a.mp4")
    copy = tmp_path / "elsewhere.mp4"
    copy.write_bytes(path.read_bytes())
    assert Video(str(path)).fingerprint() == Video(str(copy)).fingerprint()
    assert Video(str(path)).fingerprint() != Video(str(copy), size=32).fingerprint()
    assert Video(str(path)).fingerprint() != Video(str(write_movie("b.mp4", 41))).fingerprint()


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError) as caught:
        Video(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path} holds no movies; expected at least one file that ends in .avi, .flv, .gif, .m4v, .mkv, .mov, "
        ".mp4, .mpeg, .mpg, .mts, .ogv, .ts, .webm and .wmv. Choose another folder; one of images is read by the "
        "dataset frames."
    )


def test_one_bad_movie_among_good_ones_is_named(write_movie, tmp_path):
    write_movie("a.mp4")
    (tmp_path / "b.mp4").write_text("hello")
    with pytest.raises(DataError, match=r"b\.mp4 cannot be read as a video"):
        Video(str(tmp_path))


def test_nothing_there(tmp_path):
    with pytest.raises(DataError) as caught:
        Video(str(tmp_path / "none.mp4"))
    assert str(caught.value) == (
        f"{tmp_path / 'none.mp4'} cannot be read as a video: expected a regular file. Check the path."
    )


def test_ranges_and_options(write_movie):
    path = str(write_movie("a.mp4", 10))
    with pytest.raises(UsageError, match="Frames 5 to 10 were asked of clip 0, which has 10 frames, 0 to 9"):
        Video(path).read(0, 5, 11)
    with pytest.raises(UsageError) as caught:
        Video(path, fit="zoom")
    assert str(caught.value) == "Option fit is 'zoom'; expected 'crop', 'pad' or 'stretch'."
    with pytest.raises(UsageError, match="video: option size is '64'; expected "):
        Video.from_config({"path": path, "size": "64"})
