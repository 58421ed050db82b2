"""The losses of the multi-scale GAN: by hand, and against NumPy."""

import numpy as np
import pytest

from latentseq_plugins.predictors.multiscale_losses import adversarial_loss, gradient_difference_loss, lp_loss

TARGET = np.float32([[1, 2, 4], [3, 3, 3], [0, 5, 1]]).reshape(1, 3, 3, 1)
MADE = np.float32([[0, 0, 0], [1, 1, 1], [1, 2, 2]]).reshape(1, 3, 3, 1)


def pictures(seed):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(3, side, side + 1, 2)).astype(np.float32) for side in (2, 4, 8)]


def gradient_difference(made, target, alpha):
    """Pixel by pixel, as it is published."""
    total = 0.0
    for a, b in zip(made, target, strict=True):
        n, h, w, c = a.shape
        down = [abs(abs(a[k, i, j, m] - a[k, i - 1, j, m]) - abs(b[k, i, j, m] - b[k, i - 1, j, m])) ** alpha
                for k in range(n) for i in range(1, h) for j in range(w) for m in range(c)]  # fmt: skip
        right = [abs(abs(a[k, i, j - 1, m] - a[k, i, j, m]) - abs(b[k, i, j - 1, m] - b[k, i, j, m])) ** alpha
                 for k in range(n) for i in range(h) for j in range(1, w) for m in range(c)]  # fmt: skip
        total += np.mean(down) + np.mean(right)
    return total


@pytest.mark.parametrize(("alpha", "wanted"), [(1, 6 / 6 + 11 / 6), (2, 12 / 6 + 37 / 6)])
def test_gradient_difference_by_hand(alpha, wanted):
    """Steps down differ by 1 0 0, 3 1 1, those to the right by 1 2, 0 0, 4 4."""
    assert float(gradient_difference_loss([MADE], [TARGET], alpha)) == pytest.approx(wanted)
    # The other way round a step is as high, and another brightness makes none.
    assert float(gradient_difference_loss([5 - MADE], [MADE], alpha)) == 0


@pytest.mark.parametrize("alpha", [1, 2, 3])
def test_gradient_difference_pixel_by_pixel(alpha):
    found = float(gradient_difference_loss(pictures(0), pictures(1), alpha))
    assert found == pytest.approx(gradient_difference(pictures(0), pictures(1), alpha), rel=1e-5)


def test_error_by_hand():
    """A scale counts as much as any other, however few its pixels are."""
    made, target = [np.full((2, n, n, 1), 0.5, np.float32) for n in (1, 4)], [np.zeros((2, n, n, 1)) for n in (1, 4)]
    made[0][1] = -1.5
    assert float(lp_loss(made, target, 1)) == pytest.approx(1.0 + 0.5)
    assert float(lp_loss(made, target, 2)) == pytest.approx(1.25 + 0.25)
    assert float(lp_loss(made, target, 3)) == pytest.approx((0.125 + 3.375) / 2 + 0.125)


@pytest.mark.parametrize("p", [1, 2, 3])
def test_error_by_numpy(p):
    wanted = sum((np.abs(a - b) ** p).mean() for a, b in zip(pictures(0), pictures(1), strict=True))
    assert float(lp_loss(pictures(0), pictures(1), p)) == pytest.approx(wanted, rel=1e-5)


def test_cross_entropy_by_hand():
    """Logits of 0 are a half; one of log 3 is three quarters."""
    logits = [np.zeros((2, 1, 1, 1), np.float32), np.full((2, 2, 2, 1), np.log(3), np.float32)]
    assert float(adversarial_loss(logits, real=True)) == pytest.approx(-np.log(0.5) - np.log(0.75))
    assert float(adversarial_loss(logits, real=False)) == pytest.approx(-np.log(0.5) - np.log(0.25))


@pytest.mark.parametrize("real", [True, False])
def test_cross_entropy_by_numpy(real):
    share = [1 / (1 + np.exp(-x.astype(np.float64))) for x in pictures(0)]
    wanted = sum(-np.log(s if real else 1 - s).mean() for s in share)
    assert float(adversarial_loss(pictures(0), real)) == pytest.approx(wanted, rel=1e-5)


def test_a_sure_discriminator_has_a_loss_that_is_finite():
    assert float(adversarial_loss([np.full((1, 1, 1, 1), 300, np.float32)], real=False)) == pytest.approx(300)
