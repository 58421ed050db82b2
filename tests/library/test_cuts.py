"""Scene cuts: they are found at the right pictures, and in stretches as in the whole film; the extra is required."""

import subprocess
import sys

import av
import numpy as np
import pytest

from latentseq.errors import UsageError
from latentseq.media.cuts import AFTER, BEFORE, check_installed, find_cuts, looked_at

SIZE = (36, 64)


def scene(seed, frames, *, gray=False, step=1):
    """A patterned picture that slides sideways, with a little noise: (frames, 36, 64, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 40, 1 if gray else 3))
    wide = np.repeat(np.repeat(coarse, 6, 0), 8, 1)
    slid = np.stack([np.roll(wide, -step * i, 1)[:, :64] for i in range(frames)])
    noise = rng.integers(-6, 7, slid.shape)
    return np.broadcast_to(np.clip(slid + noise, 0, 255), (frames, *SIZE, 3)).astype(np.uint8)


def film(seed, lengths, **how):
    return np.concatenate([scene([seed, i], n, **how) for i, n in enumerate(lengths)])


def whole(pictures):
    return find_cuts(pictures, 0, 0, len(pictures))


def in_stretches(pictures, ends):
    """The cuts of each stretch by itself, with the pictures that are needed around it."""
    found = []
    for first, last in zip([0, *ends], [*ends, len(pictures)], strict=True):
        start = max(0, first - BEFORE)
        found += find_cuts(iter(pictures[start : last + AFTER]), start, first, last)
    return found


@pytest.mark.parametrize("gray", [False, True], ids=["colour", "gray"])
@pytest.mark.parametrize("seed", range(6))
def test_cuts_are_where_scenes_begin(seed, gray):
    lengths = np.random.default_rng(seed).integers(5, 30, 6)
    assert whole(film(seed, lengths, gray=gray)) == np.cumsum(lengths)[:-1].tolist()


@pytest.mark.parametrize("seed", range(40))
def test_stretches_are_judged_as_the_whole_film(seed):
    rng = np.random.default_rng(seed)
    # The stretches must give the cuts of the whole film, also for short scenes and for movement of all speeds.
    pictures = film(seed, rng.integers(1, 12, 12), step=int(rng.integers(0, 9)))
    ends = sorted(rng.choice(np.arange(1, len(pictures)), int(rng.integers(1, 12)), replace=False).tolist())
    assert in_stretches(pictures, ends) == whole(pictures)


@pytest.mark.parametrize("end", range(1, 40))
def test_a_stretch_may_end_anywhere_around_a_cut(end):
    pictures = film(1, (2, 18, 1, 17, 2))
    expected = whole(pictures)
    assert 2 in expected
    assert in_stretches(pictures, [end]) == expected


def test_a_stretch_of_one_picture_each():
    pictures = film(2, (8, 8, 8))
    assert in_stretches(pictures, list(range(1, 24))) == [8, 16]


@pytest.mark.parametrize(("at", "found"), [(1, []), (2, [2]), (3, [3]), (17, [17]), (18, []), (19, [])])
def test_cuts_at_the_very_start_and_end_are_not_found(at, found):
    assert whole(film(3, (at, 20 - at))) == found


@pytest.mark.parametrize("frames", range(5))
def test_a_film_of_few_pictures_has_no_cut(frames):
    assert whole(np.zeros((frames, *SIZE, 3), np.uint8)) == []
    assert whole(film(4, (1, 1, 1, 1))[:frames]) == []


def test_numbers_are_those_of_the_film():
    pictures = film(5, (10, 10, 10))
    assert find_cuts(pictures, 1000, 1000, 1030) == [1010, 1020]
    assert find_cuts(pictures, 1000, 1010, 1020) == [1010]
    assert find_cuts(pictures, 1000, 1011, 1020) == []


def test_a_cross_fade_is_no_cut():
    one, other = scene(6, 30).astype(float), scene(7, 30).astype(float)
    share = np.clip((np.arange(30) - 9) / 12, 0, 1)[:, None, None, None]
    assert whole(((1 - share) * one + share * other).astype(np.uint8)) == []


def test_a_fade_from_black_is_no_cut():
    share = np.clip(np.arange(30) / 25, 0, 1)[:, None, None, None]
    assert whole((share * scene(8, 30)).astype(np.uint8)) == []


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_on_a_quiet_picture_is_a_scene_of_its_own(length):
    pictures = scene(9, 30, step=0)
    pictures[15 : 15 + length] = 255
    assert whole(pictures) == [15, 15 + length]


def test_scenes_of_the_same_brightness_are_one():
    red, blue = np.zeros((2, 10, *SIZE, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    assert whole(np.concatenate([red, blue])) == []


@pytest.mark.parametrize("gray", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["colour", "gray"])
@pytest.mark.parametrize(
    ("name", "cuts"),
    [
        ("bikes.mp4", [30, 76, 137, 187, 242]),
        ("bunny30.webm", [283, 376, 551]),
        ("fire.mp4", []),
        ("bigbuckbunny.mp4", []),
    ],
)
def test_the_cuts_of_real_films(name, cuts, gray, shared):
    with av.open(str(shared / "data" / name)) as file:
        stream = file.streams.video[0]
        h, w = looked_at((stream.height, stream.width)).size
        # PyAV's own filter and PySceneDetect; only the size and the function itself come from latentseq.
        frames = [f.reformat(w, h, "gray" if gray else "rgb24").to_ndarray() for f in file.decode(stream)]
    pictures = np.stack(frames)
    if gray:
        pictures = np.repeat(pictures[..., None], 3, -1)
    assert whole(pictures) == cuts
    assert in_stretches(pictures, list(range(10, len(pictures), 31))) == cuts


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((720, 1280), (144, 256)), ((1920, 1080), (455, 256)), ((48, 64), (48, 64)), ((2, 4000), (1, 256))],
)
def test_pictures_are_looked_at_small_and_in_their_own_shape(size, wanted):
    small = looked_at(size)
    assert (small.size, small.fit, small.gray) == (wanted, "stretch", False)


def test_a_very_high_picture_still_has_a_size():
    assert looked_at((40000, 3)).size == (8192, 3)


@pytest.mark.parametrize("call", [check_installed, lambda: find_cuts([], 0, 0, 0)], ids=["check", "find"])
def test_without_the_extra_it_says_what_to_install(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "scenedetect", None)
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value) == (
        "Finding scene cuts needs PySceneDetect, which cannot be imported: import of scenedetect halted; "
        'None in sys.modules. Install it with: pip install "latentseq[scenes]"'
    )


def test_with_the_extra_nothing_is_said(capfd):
    check_installed()
    whole(film(10, (8, 8)))
    assert capfd.readouterr() == ("", "")


def test_the_extra_is_imported_only_when_it_is_used():
    code = "import sys, latentseq.media.cuts\nsys.exit('scenedetect' in sys.modules or 'cv2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
