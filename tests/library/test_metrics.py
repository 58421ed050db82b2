"""Metrics of frames: by hand, and against scikit-image frame by frame."""

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from latentseq.errors import DataError
from latentseq.evaluation.metrics import (
    frame_scores,
    psnr,
    sharpness_difference,
    squared_error,
    ssim,
    ssim_window,
    steps,
)


def pairs(*shape):
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=shape).astype(np.float32)
    return (truth + rng.normal(0, 0.1, shape)).astype(np.float32), truth


def test_errors_are_summed_over_pixels_and_channels_of_each_frame():
    truth = np.zeros((2, 3, 4, 5, 3), np.float32)
    prediction = truth.copy()
    prediction[1, 2, 0, 0] = [0.5, -0.25, 0.0]
    prediction[0, 1] = 1.0
    scores = frame_scores(prediction, truth)
    np.testing.assert_allclose(scores["mse"], [[0, 60, 0], [0, 0, 0.25 + 0.0625]])
    np.testing.assert_allclose(scores["mae"], [[0, 60, 0], [0, 0, 0.75]])
    assert list(scores) == ["mse", "mae", "psnr", "ssim", "ssim_range_2", "sharp_diff"]
    assert all(values.shape == (2, 3) and values.dtype == np.float64 for values in scores.values())


def test_psnr_is_scikit_images_frame_by_frame_and_100_where_nothing_is_wrong():
    prediction, truth = pairs(3, 4, 8, 9, 1)
    prediction[1, 2] = truth[1, 2]
    found = psnr(prediction, truth)
    assert found[1, 2] == 100
    found[1, 2] = 0
    wanted = [
        [
            0 if (i, j) == (1, 2) else peak_signal_noise_ratio(truth[i, j], prediction[i, j], data_range=1)
            for j in range(4)
        ]
        for i in range(3)
    ]
    np.testing.assert_allclose(found, wanted)
    # A hundredth of the squared range is 20 dB.
    assert psnr(np.full((1, 1, 4, 4, 1), 0.6, np.float32), np.full((1, 1, 4, 4, 1), 0.5, np.float32)) == (
        pytest.approx(20.0, abs=1e-5)
    )


@pytest.mark.parametrize("shape", [(5, 7, 16, 12, 1), (2, 3, 9, 30, 3), (1, 2, 7, 7, 1), (2, 2, 300, 260, 1)])
@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_is_scikit_images_frame_by_frame(shape, data_range):
    prediction, truth = pairs(*shape)
    wanted = [
        [structural_similarity(x, y, data_range=data_range, channel_axis=-1) for x, y in zip(xs, ys, strict=True)]
        for xs, ys in zip(truth, prediction, strict=True)
    ]
    np.testing.assert_allclose(ssim(prediction, truth, data_range), wanted, atol=1e-5)


@pytest.mark.parametrize("data_range", [1.0, 2.0])
def test_ssim_of_plain_frames_by_hand(data_range):
    """Without structure only the means count: (2ab + C) / (a^2 + b^2 + C), C = (0.01 range)^2."""
    black, gray = (np.full((1, 1, 8, 8, 1), value, np.float32) for value in (0.0, 0.1))
    c = (0.01 * data_range) ** 2
    assert ssim(gray, black, data_range)[0, 0] == pytest.approx(c / (0.01 + c), rel=1e-3)
    assert ssim(gray, gray, data_range)[0, 0] == pytest.approx(1.0)


def test_steps_and_sharpness_difference_by_hand():
    truth = np.float32([[0, 0.5, 0], [0, 1, 0.25], [0, 1, 1]]).reshape(1, 1, 3, 3, 1)
    np.testing.assert_allclose(steps(truth)[0, 0, :, :, 0], [[1.5, 1.0], [1.0, 0.75]])
    blurred = np.full_like(truth, 0.5)
    mean = (1.5 + 1.0 + 1.0 + 0.75) / 4
    assert sharpness_difference(blurred, truth)[0, 0] == pytest.approx(-10 * np.log10(mean))
    # Where edges are, not which way they go; and exact frames have 100 dB.
    assert sharpness_difference(1 - truth, truth)[0, 0] == 100


def test_sharpness_difference_pixel_by_pixel():
    prediction, truth = pairs(2, 3, 6, 5, 3)
    found = sharpness_difference(prediction, truth)
    for i, j in np.ndindex(2, 3):
        x, y = (frames[i, j].astype(np.float64) for frames in (truth, prediction))
        total = 0.0
        for row, column, channel in np.ndindex(5, 4, 3):
            here, up, left = (row + 1, column + 1, channel), (row, column + 1, channel), (row + 1, column, channel)
            of_truth, of_made = (abs(p[here] - p[up]) + abs(p[here] - p[left]) for p in (x, y))
            total += abs(of_truth - of_made)
        assert found[i, j] == pytest.approx(10 * np.log10(1 / (total / 60)))


@pytest.mark.parametrize(("shape", "side"), [((64, 64, 1), 7), ((7, 90, 3), 7), ((6, 64, 1), 5), ((64, 3, 1), 3)])
def test_the_window_of_ssim_fits_the_frame(shape, side):
    assert ssim_window(shape) == side
    prediction, truth = pairs(1, 2, *shape)
    wanted = [
        structural_similarity(x, y, data_range=1, channel_axis=-1, win_size=side)
        for x, y in zip(truth[0], prediction[0], strict=True)
    ]
    np.testing.assert_allclose(ssim(prediction, truth, 1.0)[0], wanted, atol=1e-5)


def test_frames_too_small_for_ssim():
    with pytest.raises(DataError) as caught:
        frame_scores(*pairs(1, 1, 2, 64, 1))
    assert str(caught.value) == ("The frames are 2 x 64 pixels; SSIM needs 3 x 3 or more. Use larger frames.")


def test_what_is_unlikely_to_be_float32_is_not_lost():
    truth = np.zeros((1, 1, 100, 100, 1), np.float32)
    assert squared_error(truth + np.float32(1e-4), truth)[0, 0] == pytest.approx(1e-4, rel=1e-6)
