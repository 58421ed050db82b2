"""What crosses the seam: frames between storage and [0, 1], and batches of the shape that a model wants."""

import numpy as np
import pytest

from latentseq.arrays import Latents, as_items, to_float, to_uint8
from latentseq.errors import DataError


def test_bytes_become_shares_of_one():
    frames = to_float(np.array([0, 51, 255], np.uint8))
    assert frames.dtype == np.float32
    np.testing.assert_array_equal(frames, np.float32([0, 0.2, 1]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_stay_what_they_are(dtype):
    frames = np.array([0, 0.25, 1], dtype)
    assert to_float(frames).dtype == np.float32
    np.testing.assert_array_equal(to_float(frames), frames)


@pytest.mark.parametrize("dtype", ["int64", "uint16", "bool"])
def test_other_numbers_are_refused(dtype):
    with pytest.raises(DataError) as caught:
        to_float(np.zeros(3, dtype))
    assert str(caught.value) == (
        f"Frames have dtype {dtype}; expected uint8 in 0..255 or floating point in [0, 1]. "
        "Convert them with astype before the call."
    )


def test_every_byte_comes_back():
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_uint8(to_float(every)), every)
    assert to_uint8(every) is every


def test_what_is_out_of_range_is_clipped_and_the_rest_rounded():
    assert to_uint8(np.array([-1, 0.3 / 255, 0.7 / 255, 2])).tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_no_picture(value):
    frames = np.zeros((2, 4, 4, 1), np.float32)
    frames[1, 2, 3] = value
    with pytest.raises(DataError) as caught:
        to_uint8(frames)
    assert str(caught.value) == "The model made frames with values that are not finite. Train it again."


@pytest.mark.parametrize(("shape", "axes"), [((5, 4, 6, 1), 1), ((2, 3, 4, 6, 1), 2), ((0, 4, 6, 1), 1)])
def test_a_batch_of_the_right_shape_is_taken(shape, axes):
    x = as_items(np.full(shape, 255, np.uint8), (4, 6, 1), "x", axes=axes)
    assert (x.shape, x.dtype) == (shape, np.float32)
    assert (x == 1).all()


@pytest.mark.parametrize(
    ("shape", "axes", "wanted"),
    [
        ((5, 6, 4, 1), 1, "(n, 4, 6, 1)"),
        ((4, 6, 1), 1, "(n, 4, 6, 1)"),
        ((5, 4, 6, 1), 2, "(b, t, 4, 6, 1)"),
        ((1, 2, 4, 6, 1), 1, "(n, 4, 6, 1)"),
    ],
)
def test_another_shape_is_refused(shape, axes, wanted):
    with pytest.raises(DataError) as caught:
        as_items(np.zeros(shape), (4, 6, 1), "frames", axes=axes)
    assert str(caught.value) == f"frames has shape {shape}; expected {wanted}."


def test_latents_need_no_posterior():
    assert Latents(np.zeros((1, 2))).log_var is None
