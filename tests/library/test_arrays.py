"""What crosses the seam: frames between storage and [0, 1], and batches of the shape that a model wants."""

import numpy as np
import pytest

from latentseq.arrays import Latents, as_items, check_rolling, to_float, to_uint8
from latentseq.errors import DataError, UsageError


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
    assert str(caught.value) == "The model predicts frames with values that are not finite. Train it again."


@pytest.mark.parametrize(("shape", "axes"), [((5, 4, 6, 1), 1), ((2, 3, 4, 6, 1), 2)])
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


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0, 255, "from 0 to 255; expected 0 to 1. Divide frames of 0..255 by 255, or give them as uint8."),
        (0, 1.5, "from 0 to 1.5; expected 0 to 1. Divide frames of 0..255 by 255, or give them as uint8."),
        (-1, 1, "from -1 to 1; expected 0 to 1. Convert frames of -1..1 to 0..1 with (frames + 1) / 2."),
        (-2.5, 2, "from -2.5 to 2; expected 0 to 1. Scale the frames to that range before the call."),
        (0, 65535, "from 0 to 65535; expected 0 to 1. Scale the frames to that range before the call."),
    ],
)
def test_frames_of_another_range_are_refused(low, high, said):
    x = np.linspace(low, high, 5 * 24).reshape(5, 4, 6, 1)
    with pytest.raises(DataError) as caught:
        as_items(x, (4, 6, 1), "frames", frames=True)
    assert str(caught.value) == f"frames has values {said}"
    assert as_items(x, (4, 6, 1), "features").max() == np.float32(high), "Features may have any range."


def test_frames_may_leave_their_range_by_rounding():
    x = np.float32([-1e-6, 0.5, 1 + 1e-6]).reshape(3, 1)
    np.testing.assert_array_equal(as_items(x, (1,), "frames", frames=True), x)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value):
    x = np.full((2, 3), 0.5)
    x[1, 2] = value
    with pytest.raises(DataError) as caught:
        as_items(x, (3,), "latents")
    assert str(caught.value) == (
        "latents has values that are not finite (NaN or infinity); expected finite numbers. Replace them, or remove "
        "those items."
    )


@pytest.mark.parametrize(("shape", "axes"), [((0, 3), 1), ((2, 0, 3), 2), ((0, 4, 3), 2)])
def test_no_items_are_refused(shape, axes):
    with pytest.raises(DataError) as caught:
        as_items(np.zeros(shape), (3,), "frames", axes=axes)
    assert str(caught.value) == f"frames has shape {shape}, which holds no items; expected 1 or more."


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("steps", 0, "1 or more"),
        ("samples", -1, "1 or more"),
        ("seed", -1, "a whole number of 0 or more"),
        ("temperature", float("nan"), "a number from 0 to 100"),
        ("temperature", float("inf"), "a number from 0 to 100"),
        ("temperature", 1e30, "a number from 0 to 100"),
        ("temperature", -0.1, "a number from 0 to 100"),
    ],
)
def test_options_of_a_rollout_out_of_their_range_are_refused(option, value, expected):
    with pytest.raises(UsageError) as caught:
        check_rolling(**{option: value})
    assert str(caught.value) == f"{option} is {value}; expected {expected}."


@pytest.mark.parametrize(("option", "last"), [("steps", 1), ("samples", 1), ("seed", 0), ("temperature", 0)])
def test_the_ends_of_a_range_belong_to_it(option, last):
    check_rolling(**{option: last})
    with pytest.raises(UsageError):
        check_rolling(**{option: last - 1})


def test_large_options_of_a_rollout_are_taken():
    check_rolling(steps=5000, samples=100, seed=2**31 - 1, temperature=100)
    with pytest.raises(UsageError):
        check_rolling(temperature=100.1)
