"""The losses of the multi-scale GAN, over pictures at several scales: the mean at each scale, and the sum of those.

References:
    Mathieu, Couprie & LeCun, Deep multi-scale video prediction beyond mean square error, arXiv 1511.05440.
"""

from collections.abc import Sequence
from typing import Any

from keras import ops


def lp_loss(made: Sequence[Any], target: Sequence[Any], p: int) -> Any:
    """|made - target| to the power of ``p``.

    Args:
        made: at each scale (b, h, w, c).
        target: the same shapes.
        p: 1 or more.
    """
    return sum(ops.mean(_power(a - b, p)) for a, b in zip(made, target, strict=True))


def gradient_difference_loss(made: Sequence[Any], target: Sequence[Any], alpha: int) -> Any:
    """How far steps from pixel to pixel are from being as high as in the target, to the power of ``alpha``.

    Down and to the right, the mean of each: blurred edges cost as much as edges where there are none.

    Args:
        made: at each scale (b, h, w, c), sides of 2 or more.
        target: the same shapes.
        alpha: 1 or more.
    """
    return sum(
        ops.mean(_power(_height(a, axis) - _height(b, axis), alpha))
        for a, b in zip(made, target, strict=True)
        for axis in (1, 2)
    )


def adversarial_loss(logits: Sequence[Any], real: bool) -> Any:
    """Binary cross-entropy of what discriminators say.

    Args:
        logits: at each scale (b, h, w, 1), of a picture's being real, at each of its places.
        real: what is right to say, or what they are to be led to say.
    """
    return sum(ops.mean(ops.softplus(-each if real else each)) for each in logits)


def _height(x: Any, axis: int) -> Any:
    """Absolute steps between neighbours along an axis."""
    return ops.abs(x[:, 1:] - x[:, :-1] if axis == 1 else x[:, :, 1:] - x[:, :, :-1])


def _power(x: Any, p: int) -> Any:
    """|x| ** p; without a power of 1, whose derivative at 0 backends do not agree about."""
    return ops.abs(x) if p == 1 else ops.square(x) if p == 2 else ops.power(ops.abs(x), p)
