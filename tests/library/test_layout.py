"""The axes of an array: recognised from the shape or named by the user, and the pictures that result."""

import h5py
import numpy as np
import pytest

from latentseq.commands.ingest import ingest
from latentseq.errors import DataError, UsageError
from latentseq.media.arrayfile import ArrayFile
from latentseq.media.layout import layout_of, parse_axes, recognise
from latentseq.media.preprocessing import Preprocessing

SIZES = {"T": 5, "N": 6, "H": 16, "W": 20, "C": 3}
OPTION = "in commands other than ingest: --data-set axes="


@pytest.mark.parametrize(
    ("shape", "axes", "description"),
    [
        ((20, 10_000, 64, 64), "TNHW", "T N H W: 10,000 clips of 20 frames of 64 x 64, gray"),  # Moving MNIST
        ((20, 10_000, 64, 64, 1), "TNHWC", "T N H W C: 10,000 clips of 20 frames of 64 x 64, gray"),
        ((20, 10_000, 1, 64, 64), "TNCHW", "T N C H W: 10,000 clips of 20 frames of 64 x 64, gray"),
        ((10_000, 20, 64, 64), "NTHW", "N T H W: 10,000 clips of 20 frames of 64 x 64, gray"),
        ((10_000, 20, 1, 64, 64), "NTCHW", "N T C H W: 10,000 clips of 20 frames of 64 x 64, gray"),
        ((30, 48, 64), "THW", "T H W: 30 frames of 48 x 64, gray"),
        ((30, 48, 64, 3), "THWC", "T H W C: 30 frames of 48 x 64, colour"),
        ((30, 48, 64, 4), "THWC", "T H W C: 30 frames of 48 x 64, colour with alpha"),
        ((30, 3, 48, 64), "TCHW", "T C H W: 30 frames of 48 x 64, colour"),
        ((50, 1, 48, 64), "TCHW", "T C H W: 50 frames of 48 x 64, gray"),
        ((1, 30, 48, 64), "NTHW", "N T H W: 1 clip of 30 frames of 48 x 64, gray"),
        ((2, 30, 48, 64), "NTHW", "N T H W: 2 clips of 30 frames of 48 x 64, gray"),
        ((8, 3, 16, 48, 64), "NCTHW", "N C T H W: 8 clips of 16 frames of 48 x 64, colour"),
        ((8, 16, 3, 48, 64), "NTCHW", None),
        ((8, 16, 48, 64, 3), "NTHWC", "N T H W C: 8 clips of 16 frames of 48 x 64, colour"),
        ((48, 64, 3), "HWC", "H W C: 1 frame of 48 x 64, colour"),
        ((48, 64, 1), "HWC", "H W C: 1 frame of 48 x 64, gray"),
    ],
)
def test_a_recognised_layout_is_described(shape, axes, description):
    if description is None:  # Clips first or time first: the user has to choose.
        assert recognise(shape) == ["NTCHW", "TNCHW"]
        return
    layout = layout_of(shape, None, "a.npy")
    assert (layout.axes, layout.describe()) == (axes, f"{shape} read as {description}")


@pytest.mark.parametrize(
    ("shape", "readings"),
    [
        (
            (3, 16, 48, 64),
            "N T H W (3 clips of 16 frames of 48 x 64, gray) or C T H W (16 frames of 48 x 64, colour)",
        ),
        (
            (20, 500, 64, 64),
            "N T H W (20 clips of 500 frames of 64 x 64, gray) or T N H W (500 clips of 20 frames of 64 x 64, gray)",
        ),
        (
            (30, 4, 84, 84),
            "N T H W (30 clips of 4 frames of 84 x 84, gray) or T C H W (30 frames of 84 x 84, colour with alpha)",
        ),
        ((64, 64, 90), "T H W (64 frames of 64 x 90, gray) or H W T (90 frames of 64 x 64, gray)"),
        ((9, 64, 3), "H W C (1 frame of 9 x 64, colour) or T H W (9 frames of 64 x 3, gray)"),
    ],
)
def test_what_is_ambiguous_is_asked_for(shape, readings):
    with pytest.raises(DataError) as caught:
        layout_of(shape, None, "a.npy")
    first, second = ("".join(reading.split(" (")[0].split()) for reading in readings.split(" or "))
    assert str(caught.value) == (
        f"a.npy has the shape {shape}, which can be read in more than one way: as {readings}. Choose one with --axes "
        f"{first} or --axes {second} ({OPTION}{first})."
    )
    for axes in (first, second):
        assert layout_of(shape, axes, "a.npy").axes == axes


@pytest.mark.parametrize(
    "shape", [(), (5,), (48, 64), (30, 48, 64, 2), (64, 64, 3, 90), (9, 48, 64, 6), (2, 2, 9, 2, 16, 16)]
)
def test_what_is_no_picture_is_not_recognised(shape):
    with pytest.raises(DataError, match="which is not recognised as pictures; expected"):
        layout_of(shape, None, "a.npy")


def test_axes_that_do_not_fit_the_shape():
    with pytest.raises(DataError) as caught:
        layout_of((30, 48, 64), "TNHW", "a.npy")
    assert str(caught.value) == (
        "a.npy has the shape (30, 48, 64), and --axes TNHW names 4 axes; expected 3, one letter for each. Pass "
        "arrays of other shapes in a call of their own."
    )
    with pytest.raises(DataError) as caught:
        layout_of((30, 48, 64, 2), "THWC", "a.npy")
    assert str(caught.value) == (
        "a.npy has the shape (30, 48, 64, 2), and --axes THWC says that it has 2 channels; expected 1, 3 or 4. Save "
        "it again with only the channels of a picture."
    )


@pytest.mark.parametrize("text", ["", "TN", "THH", "TNHX", "THW ,C", "TTHW"])
def test_axes_that_are_none(text):
    with pytest.raises(UsageError) as caught:
        parse_axes(text)
    assert str(caught.value) == (
        f"--axes is {text!r}; expected one letter for each axis of the array: H for height and W for width, and, if "
        "the array has them, T for time, N for clips and C for channels. Write, for example, --axes TNHW."
    )
    assert parse_axes(" tnhw") == "TNHW"


@pytest.mark.parametrize("suffix", ["npy", "npz", "h5"])
@pytest.mark.parametrize(
    "axes", ["TNHW", "TCHW", "CTHW", "NCTHW", "NTCHW", "TNHWC", "NHW", "HWC", "CHW", "HW", "NCHW"]
)
def test_every_order_of_the_axes_gives_the_same_pictures(axes, suffix, tmp_path):
    own = [SIZES[letter] for letter in "NTHWC"]
    film = np.random.default_rng(0).integers(0, 256, own, np.uint8)  # As the pictures come out: n, t, h, w, c.
    film = film[tuple(slice(None) if letter in axes else slice(1) for letter in "NTHWC")]
    values = film.transpose(["NTHWC".index(letter) for letter in axes + "".join(set("NTHWC") - set(axes))])
    values = np.ascontiguousarray(values.reshape([SIZES[letter] for letter in axes]))
    path = tmp_path / f"a.{suffix}"
    if suffix == "npy":
        np.save(path, values)
    elif suffix == "npz":
        np.savez(path, frames=values)
    else:
        with h5py.File(path, "w") as file:
            file["frames"] = values
    footage = ArrayFile(path, "frames", axes)
    n, t = film.shape[:2]
    assert footage.breaks.tolist() == list(range(t, n * t, t))
    same = Preprocessing((16, 20), gray="C" not in axes)
    found = np.stack([picture.frame(same) for picture in footage.walk(np.arange(n * t))])
    np.testing.assert_array_equal(found, film.reshape(n * t, *film.shape[2:]))


def test_time_last_is_read_where_it_can_be(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (16, 20, 5), np.uint8)
    np.save(tmp_path / "a.npy", values)
    found = list(ArrayFile(tmp_path / "a.npy", None, "HWT").walk(np.array([3])))
    np.testing.assert_array_equal(found[0].frame(Preprocessing((16, 20), gray=True))[..., 0], values[..., 3])
    np.savez(tmp_path / "a.npz", frames=values)
    np.savez_compressed(tmp_path / "b.npz", frames=np.zeros((5, 6, 16, 20), np.uint8))
    for path, axes in ((tmp_path / "a.npz", "HWT"), (tmp_path / "b.npz", "TNHW")):
        with pytest.raises(DataError) as caught:
            ArrayFile(path, "frames", axes)
        assert str(caught.value) == (
            f"'frames' in {path} has the axes {' '.join(axes)}, in which the pictures of a clip are scattered over a "
            "file that can only be read from start to end; expected T H W or N T H W, with channels last or before "
            "H. Save the array as .npy, which can be read in any order."
        )


def test_the_file_of_moving_mnist(tmp_path):
    """A sparse file of the real shape, with only a few pictures on the disk."""
    path = tmp_path / "mnist_test_seq.npy"
    values = np.lib.format.open_memmap(path, "w+", np.uint8, (20, 10_000, 64, 64))
    values[3, 7, 9, 11] = 200
    values.flush()
    footage = ArrayFile(path)
    assert (len(footage.breaks), footage.breaks[0], footage.size) == (9_999, 20, (64, 64))
    picture = next(footage.walk(np.array([7 * 20 + 3]))).frame(Preprocessing((64, 64), gray=True))
    assert (picture[9, 11, 0], picture.sum()) == (200, 200)


def test_a_file_read_in_two_ways_is_two(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((8, 9, 16, 16), np.uint8))
    assert ArrayFile(path, None, "NTHW").digest() != ArrayFile(path, None, "TNHW").digest()


def test_a_plan_without_the_new_options_is_the_plan_that_it_was(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((6, 16, 20), np.uint8))
    ingest([tmp_path / "a.npy"], tmp_path / "out", quiet=True)
    text = (tmp_path / "out" / "manifest.json").read_text()
    assert '"axes"' not in text
    assert '"range"' not in text
