"""The contact sheet of a dataset."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from square_film import Film

from latentseq.commands import preview as previewing
from latentseq.commands.preview import preview
from latentseq.drawing.picture import sheet
from latentseq.errors import UsageError


@pytest.fixture
def opened(monkeypatch):
    """A function that lets DATA name a dataset in memory."""

    def use(dataset):
        monkeypatch.setattr(previewing, "open_data", lambda data, *, options: dataset)
        return dataset

    return use


def test_frames_from_the_first_to_the_last_of_clips_from_the_first_to_the_last(opened, tmp_path):
    film = opened(Film([25, 3] * 20, (64, 96, 3)))
    assert preview("film", tmp_path / "a.png") == tmp_path / "a.png"
    assert sorted({i for i, _, _ in film.asked}) == [0, 4, 7, 11, 14, 18, 21, 25, 28, 32, 35, 39]
    assert [start for i, start, _ in film.asked if i == 0] == [0, 3, 5, 8, 11, 13, 16, 19, 21, 24]
    assert [start for i, start, _ in film.asked if i == 39] == [0, 1, 2]
    assert {stop - start for _, start, stop in film.asked} == {1}
    with Image.open(tmp_path / "a.png") as image:
        picture = np.asarray(image.convert("RGB"))
    for i, t in ((0, 0), (0, 24), (39, 2), (32, 11)):
        assert holds(picture, film.read(i, t, t + 1).frames[0]), (i, t)
    assert not holds(picture, film.read(0, 1, 2).frames[0])


def holds(picture, frame):
    h, w = frame.shape[:2]
    windows = np.argwhere((picture == frame[0, 0]).all(-1))
    return any((picture[y : y + h, x : x + w] == frame).all() for y, x in windows if picture[y:, x:].size)


@pytest.mark.parametrize(
    ("film", "labels", "title"),
    [
        (
            {"lengths": (25, 4)},
            ["clip 0 · 25 frames, one in 2.7", "clip 1 · 4 frames"],
            "2 of 2 clips, each from its first frame to its last",
        ),
        (
            {"lengths": (1500, 1), "split": ["train", "validation"]},
            ["train 0 · 1500 frames, one in 167", "validation 1 · 1 frame"],
            "2 of 2 clips, each from its first frame to its last",
        ),
        ({"lengths": (3,)}, ["clip 0 · 3 frames"], "1 of 1 clip, each from its first frame to its last"),
    ],
)
def test_what_is_said(opened, tmp_path, monkeypatch, film, labels, title):
    said = {}

    def drawn(rows, *, every, title):
        said.update(labels=[row.label for row in rows], title=title, every=every)
        return np.zeros((20, 20, 3), np.uint8)

    opened(Film(shape=(8, 8, 1), **film))
    monkeypatch.setattr(previewing, "sheet", drawn)
    preview("film", tmp_path / "a.png")
    assert said == {"labels": labels, "title": title, "every": 1}


def test_a_title_stands_in_place_of_the_frame_numbers():
    rows = [previewing.Row("a", np.full((3, 64, 64, 3), 200, np.uint8))]
    numbered, titled, empty = sheet(rows), sheet(rows, title="title"), sheet(rows, title="")
    assert (numbered[44:] == titled[44:]).all()
    assert (empty[:44] == empty[0, 0]).all()
    assert not (numbered[:44] == titled[:44]).all()
    assert not (titled[:44] == empty[:44]).all()


def test_the_name_that_it_has(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"count": 2, "size": 16}
    assert preview("moving-squares", data_options=options) == Path("moving-squares-preview.png")
    assert (tmp_path / "moving-squares-preview.png").is_file()
    with pytest.raises(UsageError) as caught:
        preview("moving-squares", data_options=options)
    assert str(caught.value) == (
        "moving-squares-preview.png exists already. Choose another name, or replace it with --overwrite."
    )
    preview("moving-squares", data_options=options, overwrite=True)


def test_a_folder_and_a_file_give_their_name(opened, tmp_path, monkeypatch):
    opened(Film((2,)))
    (tmp_path / "clips.v2").mkdir()
    (tmp_path / "film.mp4").write_text("")
    monkeypatch.chdir(tmp_path)
    assert preview(tmp_path / "clips.v2") == Path("clips.v2-preview.png")
    assert preview("film.mp4") == Path("film-preview.png")
    monkeypatch.chdir(tmp_path / "clips.v2")
    assert preview(".") == Path("clips.v2-preview.png")


def test_another_suffix(tmp_path):
    with pytest.raises(UsageError) as caught:
        preview("moving-squares", tmp_path / "a.gif")
    assert str(caught.value) == (
        f"{tmp_path / 'a.gif'} is not a name for a contact sheet; expected one that ends in .png, such as a.png."
    )
