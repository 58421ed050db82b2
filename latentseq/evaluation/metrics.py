"""Metrics of predicted frames, for each window and step."""

import numpy as np

from latentseq.errors import DataError

EXACT = 100.0
"""Largest value in dB; that of a frame that is predicted exactly."""
LOWER_IS_BETTER = ("mse", "mae")
"""Metrics whose lowest value is the best; of all others the highest is."""
AT_ONCE = 1 << 16
"""Number of pixels for one call of SSIM: few enough to stay in the processor's cache."""


def frame_scores(prediction: np.ndarray, truth: np.ndarray) -> dict[str, np.ndarray]:
    """Compute all metrics of predicted frames.

    Args:
        prediction: (b, t, h, w, c) float32 in [0, 1].
        truth: array of the same shape.

    Returns:
        (b, t) float64 each: ``mse`` and ``mae``, summed over pixels and channels; ``psnr`` in dB; ``ssim`` with a
        data range of 1; ``ssim_range_2`` with a data range of 2, which older versions of scikit-image, and so
        OpenSTL, assumed for floats; ``sharp_diff`` in dB.
    """
    return {
        "mse": squared_error(prediction, truth),
        "mae": np.abs(prediction.astype(np.float64) - truth).sum(axis=(2, 3, 4)),
        "psnr": psnr(prediction, truth),
        "ssim": ssim(prediction, truth, 1.0),
        "ssim_range_2": ssim(prediction, truth, 2.0),
        "sharp_diff": sharpness_difference(prediction, truth),
    }


def squared_error(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Squared error, summed over pixels and channels: two arrays (b, t, h, w, c) -> (b, t) float64."""
    return np.square(prediction.astype(np.float64) - truth).sum(axis=(2, 3, 4))


def psnr(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of every frame, at most ``EXACT``: two arrays (b, t, h, w, c) -> (b, t) in dB."""
    from skimage.metrics import peak_signal_noise_ratio

    pairs = zip(_frames(truth), _frames(prediction), strict=True)
    with np.errstate(divide="ignore"):
        ratios = [peak_signal_noise_ratio(x, y, data_range=1.0) for x, y in pairs]
    return np.minimum(EXACT, ratios).reshape(truth.shape[:2])


def ssim(prediction: np.ndarray, truth: np.ndarray, data_range: float) -> np.ndarray:
    """Structural similarity (SSIM) of every frame: two arrays (b, t, h, w, c) -> (b, t) float64.

    Frames are stacked vertically into one tall image for a single call, and windows that cross two frames are left
    out. This gives the same numbers as frame by frame in half the time.

    Args:
        prediction: (b, t, h, w, c) in [0, 1].
        truth: array of the same shape.
        data_range: difference between the largest and the smallest possible value.

    Raises:
        DataError: the frames are smaller than 3 x 3 pixels.

    References:
        Wang et al., Image quality assessment: from error visibility to structural similarity, 2004.
    """
    from skimage.metrics import structural_similarity

    h, w, c = truth.shape[2:]
    window = ssim_window((h, w, c))
    pad, n, means = window // 2, max(1, AT_ONCE // (h * w)), []
    x, y = _frames(truth), _frames(prediction)
    for i in range(0, len(x), n):
        tall = [np.ascontiguousarray(each[i : i + n]).reshape(-1, w, c) for each in (x, y)]
        _, values = structural_similarity(*tall, data_range=data_range, win_size=window, channel_axis=-1, full=True)
        inside = values.reshape(-1, h, w, c)[:, pad : h - pad, pad : w - pad]
        means.append(inside.mean(axis=(1, 2, 3), dtype=np.float64))
    return np.concatenate(means).reshape(truth.shape[:2])


def sharpness_difference(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Sharpness difference of every frame, at most ``EXACT``: it compares the gradients of prediction and truth.

    It is 10 log10(1 / mean |steps of the truth - steps of the prediction|), with a peak value of 1; see ``steps``.
    The mean is not squared, so the same frames in a range of [0, 255] would have 24.07 dB more.

    Args:
        prediction: (b, t, h, w, c) in [0, 1].
        truth: array of the same shape.

    Returns:
        (b, t) in dB; higher is better.

    References:
        Mathieu, Couprie & LeCun, Deep multi-scale video prediction beyond mean square error, arXiv 1511.05440.
    """
    difference = np.abs(steps(truth) - steps(prediction)).mean(axis=(2, 3, 4))
    with np.errstate(divide="ignore"):
        return np.minimum(EXACT, -10 * np.log10(difference))


def steps(frames: np.ndarray) -> np.ndarray:
    """Sum of the absolute differences between each pixel and its upper and left neighbours.

    Args:
        frames: (b, t, h, w, c).

    Returns:
        (b, t, h - 1, w - 1, c) float64, without the first row and column.
    """
    x = frames.astype(np.float64)
    inner = x[:, :, 1:, 1:]
    return np.abs(inner - x[:, :, :-1, 1:]) + np.abs(inner - x[:, :, 1:, :-1])


def ssim_window(frame_shape: tuple[int, ...]) -> int:
    """Side length of SSIM's window in frames (h, w, c): 7, or the largest odd number that fits.

    Raises:
        DataError: the frames are smaller than 3 x 3 pixels.
    """
    side = min(frame_shape[:2])
    if side < 3:
        raise DataError(
            f"The frames are {frame_shape[0]} x {frame_shape[1]} pixels; SSIM needs 3 x 3 or more. Use larger frames."
        )
    return min(7, side - 1 + side % 2)


def _frames(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1, *x.shape[2:])
