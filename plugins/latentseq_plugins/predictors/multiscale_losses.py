"""The losses of the multi-scale GAN: each is averaged over a scale and summed over the scales.

References:
    Mathieu, Couprie & LeCun, Deep multi-scale video prediction beyond mean square error, arXiv 1511.05440.
"""

from collections.abc import Sequence
from typing import Any

from keras import ops


def lp_loss(prediction: Sequence[Any], target: Sequence[Any], p: int) -> Any:
    """Mean of |prediction - target| to the power of ``p``.

    Args:
        prediction: frames (b, h, w, c) at each scale.
        target: frames of the same shapes.
        p: power, 1 or more.
    """
    return sum(ops.mean(_power(a - b, p)) for a, b in zip(prediction, target, strict=True))


def gradient_difference_loss(prediction: Sequence[Any], target: Sequence[Any], alpha: int) -> Any:
    """Mean difference between the image gradients of prediction and target, to the power of ``alpha``.

    The gradients are absolute differences between neighbours, vertically and horizontally. A missing edge costs as
    much as a false one.

    Args:
        prediction: frames (b, h, w, c) at each scale, with sides of 2 or more.
        target: frames of the same shapes.
        alpha: power, 1 or more.
    """
    return sum(
        ops.mean(_power(_differences(a, axis) - _differences(b, axis), alpha))
        for a, b in zip(prediction, target, strict=True)
        for axis in (1, 2)
    )


def adversarial_loss(logits: Sequence[Any], real: bool) -> Any:
    """Binary cross-entropy of the outputs of discriminators.

    Args:
        logits: logits (b, h, w, 1) at each scale of a frame being real, at each of its positions.
        real: label of the frames, or the label that a generator wants the discriminators to output.
    """
    return sum(ops.mean(ops.softplus(-each if real else each)) for each in logits)


def _differences(x: Any, axis: int) -> Any:
    """Absolute differences between neighbours along an axis."""
    return ops.abs(x[:, 1:] - x[:, :-1] if axis == 1 else x[:, :, 1:] - x[:, :, :-1])


def _power(x: Any, p: int) -> Any:
    """|x| ** p; the case p = 1 is separate, since backends differ in the derivative of a power at 0."""
    return ops.abs(x) if p == 1 else ops.square(x) if p == 2 else ops.power(ops.abs(x), p)
