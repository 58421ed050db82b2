"""What differs from the data of a model's training is said: frame rate, colour, the shape of the pictures."""

import numpy as np
import pytest

from latentseq.data.mismatch import differences, readings, traits_of
from latentseq.protocols import Dataset

WHOSE = "the model in runs/lstm"


class Fixed(Dataset):
    """A dataset that says where it is from."""

    name = "fixed"

    def __init__(self, *sources, fps=25.0, channels=3):
        self.sources, self.fps, self.channels = sources, fps, channels

    @property
    def lengths(self):
        return np.array([10])

    @property
    def frame_shape(self):
        return (16, 16, self.channels)

    def read(self, i, start=0, stop=None):
        raise NotImplementedError


def _film(path="film.mp4", fps=25.0, size=(720, 1280), gray=False, **others):
    return {"path": path, "kind": "video", "fps": fps, "size": list(size), "gray": gray, **others}


def _said(dataset, traits, *, decoded=True, fit="crop", skip=1):
    return list(differences(WHOSE, traits, dataset, decoded=decoded, fit=fit, skip=skip))


def test_what_is_kept_with_a_model():
    two = Fixed(_film(), _film(size=(480, 640)), fps=12.5)
    assert traits_of(two) == {"fps": 12.5, "aspect": [1.3333, 1.7778], "colour": True}
    assert traits_of(Fixed()) == {"fps": 25.0, "aspect": [1.0, 1.0], "colour": True}
    cut_out = Fixed({"path": "a.mp4", "fps": 25.0})
    assert traits_of(cut_out) == {"fps": 25.0, "colour": True}


def test_the_same_data_and_nearly_the_same_rate_are_not_spoken_of():
    for film in (_film(), _film(fps=25.3), _film(fps=60.0, timed=False), _film(fps=60.0, kind="images")):
        assert not _said(Fixed(film), traits_of(Fixed(_film())))
    assert not _said(Fixed(_film(fps=60.0, size=(640, 640))), {})  # A run from before, which knows nothing.


def test_another_frame_rate():
    traits = traits_of(Fixed(_film()))
    said = (
        "film.mp4 has 60 frames a second, and the model in runs/lstm was trained on 25: motion has "
        "another speed. Read the file at that rate with "
    )
    fast = Fixed(_film(fps=60.0))
    assert _said(fast, traits) == [f"{said}--data-set fps=25."]
    assert _said(fast, traits, skip=3) == [f"{said}--data-set fps=75."]
    assert _said(fast, traits, decoded=False) == [f"{said}ingest --fps 25."]
    assert _said(Fixed(fps=60.0), {"fps": 25.0}) == [said.replace("film.mp4", "fixed").split(" Read")[0]]


def test_how_many_files_differ():
    films = [_film(f"{i}.mp4", fps=60.0 if i < 2 else 25.0) for i in range(5)]
    assert _said(Fixed(*films), {"fps": 25.0})[0].startswith("2 of 5 files, such as 0.mp4, have 60 frames a second, ")
    assert _said(Fixed(*films[1:]), {"fps": 25.0})[0].startswith("1.mp4, one of 4 files, has 60 frames a second, ")


def test_colour_for_a_gray_model():
    gray = traits_of(Fixed(_film(gray=True), channels=1))
    assert gray["colour"] is False
    said = ["film.mp4 has colour, and the model in runs/lstm was trained on gray pictures: the colour is ignored."]
    assert _said(Fixed(_film(), channels=1), gray) == said
    assert not _said(Fixed(_film(gray=True), channels=1), gray)
    # Trained with --gray on films of colour, it left their colour out then as well.
    assert not _said(Fixed(_film(), channels=1), traits_of(Fixed(_film(), channels=1)))


@pytest.mark.parametrize(
    ("fit", "effect"),
    [
        ("crop", "Other parts of each picture are cut off to fit."),
        ("pad", "Its frames have other black borders."),
        ("stretch", "Its pictures are squeezed in another way to fit."),
    ],
)
def test_another_shape(fit, effect):
    said = (
        "film.mp4 has pictures of 720 x 1280 (h x w), 1.78 times as wide as high, and the model in runs/lstm was "
        "trained on 1.33."
    )
    traits = traits_of(Fixed(_film(size=(480, 640))))
    assert _said(Fixed(_film()), traits, fit=fit) == [f"{said} {effect}"]
    assert _said(Fixed(_film()), traits, fit=fit, decoded=False) == [said]
    wide = traits_of(Fixed(_film(size=(100, 100)), _film(size=(100, 150))))
    assert "was trained on 1.00 to 1.50." in _said(Fixed(_film()), wide)[0]
    assert not _said(Fixed(_film(size=(576, 720))), wide)


def test_how_arrays_were_read():
    arrays = [_film(f"{i}.npy", reading="(5, 16, 16) read as T H W") for i in range(3)]
    assert list(readings(Fixed(*arrays, _film()))) == ["0.npy and 2 more: (5, 16, 16) read as T H W"]
