"""Generators and discriminators at four scales, the coarsest first, and the networks that train them.

References:
    Mathieu, Couprie & LeCun, Deep multi-scale video prediction beyond mean square error, arXiv 1511.05440.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Batch
from latentseq.networks.plugin import LossNetwork
from latentseq_plugins.predictors.multiscale_losses import adversarial_loss, gradient_difference_loss, lp_loss
from latentseq_plugins.predictors.stacked import missing

SCALES = 4
MULTIPLE = 2 ** (SCALES - 1)
PAIRS = 4
"""Frames of a window that are predicted, at most: the last one, and others evenly before it."""


def pyramid(x: Any) -> list[Any]:
    """Pictures (b, h, w, c), sides a multiple of ``MULTIPLE``, at every scale, the coarsest first."""
    made = [x]
    for _ in range(SCALES - 1):
        made.insert(0, ops.average_pool(made[0], 2, strides=2))  # Keras 3.15 on JAX needs both.
    return made


def generators(channels: int, context: int, widths: Sequence[int], seed: int) -> keras.Model:
    """The frames before, stacked (b, h, w, context * c) -> the next one at every scale; all in [-1, 1], about.

    What a scale says is the last frame, the change that the scale below says, made larger, and a correction, which is
    nothing to begin with: so no detail of the last frame has to be learned.

    Args:
        channels: c.
        context: frames that are seen.
        widths: channels of the convolutions up to the middle; behind it they come back in reverse. The coarser half
            of the scales does without the last.
        seed: of the initial weights.
    """
    seen = keras.Input((None, None, context * channels), name="seen")
    made: list[Any] = []
    change = None
    for scale, x in enumerate(pyramid(seen)):
        last = x[..., -channels:]
        if change is not None:
            change = layers.UpSampling2D(name=f"up_{scale}")(change)
            x = layers.Concatenate(name=f"given_{scale}")([x, last + change])
        half = list(widths if scale >= SCALES // 2 else widths[:-1] or widths)
        for i, width in enumerate([*half, *half[-2::-1]]):
            x = _conv(width, f"conv_{scale}_{i}", seed + 100 * scale + i, activation="relu")(x)
        correction = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", name=f"change_{scale}")(x)
        change = correction if change is None else change + correction
        made.append(last + change)
    return keras.Model(seen, made, name="generators")


class Discriminators(LossNetwork):
    """One at each scale says, place by place, whether a frame is the one that came after those that were seen."""

    def __init__(self, channels: int, context: int, widths: Sequence[int], seed: int):
        """Build them, the finest with most layers.

        Args:
            channels: c of a frame.
            context: frames that are seen.
            widths: channels of the convolutions; a scale has one more than the one below it, as far as there are.
            seed: of the initial weights.
        """
        super().__init__(name="discriminators")
        self.scales = [
            _discriminator(channels * (context + 1), widths[: scale + 1], scale, seed + 1000 + 100 * scale)
            for scale in range(SCALES)
        ]

    def build(self, *_: Any) -> None:
        """They are built already."""

    def judge(self, seen: Sequence[Any], frames: Sequence[Any]) -> list[Any]:
        """``seen`` (b, h, w, context * c) and ``frames`` (b, h, w, c), at each scale -> logits of their being true.

        Returns:
            (b, h', w', 1) at each scale.
        """
        return [
            judge(ops.concatenate([x, frame], axis=-1))
            for judge, x, frame in zip(self.scales, seen, frames, strict=True)
        ]

    def call(self, batch: dict[str, Sequence[Any]], training: bool = False) -> dict[str, list[Any]]:
        """What ``MultiScaleNetwork`` says -> logits of the true frames, and of those that were made."""
        return {key: self.judge(batch["seen"], batch[key]) for key in ("target", "made")}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Cross-entropy of telling one from the other, summed over the scales."""
        return adversarial_loss(results["target"], real=True) + adversarial_loss(results["made"], real=False)


class MultiScaleNetwork(LossNetwork):
    """Trains generators on the frames after those that they are shown, at every scale."""

    def __init__(
        self,
        made_by: keras.Model,
        discriminators: Discriminators | None,
        *,
        context: int,
        p: int,
        alpha: int,
        weights: tuple[float, float, float],
    ):
        """Take the networks.

        Args:
            made_by: as ``generators`` makes it.
            discriminators: whom it tries to deceive; their weights are not for its own optimiser to change, so
                freeze them (``trainable``) while it takes a step. None where there is nobody.
            context: frames that are seen.
            p: power of the error.
            alpha: power of the gradient difference.
            weights: of the adversarial loss, the error and the gradient difference.
        """
        super().__init__(name="multiscale")
        self.made_by, self.discriminators = made_by, discriminators
        self.context, self.p, self.alpha, self.lambdas = context, p, alpha, weights

    def build(self, *_: Any) -> None:
        """Its networks are built already."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, list[Any]]:
        """Windows ``frames`` (b, t, h, w, c) in [0, 1] -> ``seen``, ``target`` and ``made`` in [-1, 1].

        Each is a list of (n, h', w', …); of every scale; n is b times the frames of a window that are predicted.
        Where sides are no multiple of ``MULTIPLE``, what is mirrored at the far end counts as well.
        """
        frames = 2 * batch["frames"] - 1
        far = [missing(side, MULTIPLE) for side in frames.shape[2:4]]
        if any(map(any, far)):
            frames = ops.pad(frames, [(0, 0), (0, 0), *far, (0, 0)], mode="symmetric")
        t = frames.shape[1]
        targets = np.linspace(t - 1, self.context, min(PAIRS, t - self.context)).round().astype(int).tolist()
        stacks = [ops.concatenate([frames[:, i - k] for i in targets], axis=0) for k in range(self.context, -1, -1)]
        seen = ops.concatenate(stacks[:-1], axis=-1)
        return {"seen": pyramid(seen), "target": pyramid(stacks[-1]), "made": self.made_by(seen, training=training)}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """The weighted sum of the losses; in validation of error and gradient difference at full scale alone.

        What the discriminators let pass says nothing of how good a frame is, as they go on learning.
        """
        adversarial, error, difference = self.lambdas
        made, target = (results[key] if training else results[key][-1:] for key in ("made", "target"))
        loss = error * lp_loss(made, target, self.p)
        loss += difference * gradient_difference_loss(made, target, self.alpha)
        if training and self.discriminators is not None:
            loss += adversarial * adversarial_loss(self.discriminators.judge(results["seen"], made), real=True)
        return loss


def _discriminator(channels: int, widths: Sequence[int], scale: int, seed: int) -> keras.Model:
    pair = x = keras.Input((None, None, channels))
    for i, width in enumerate(widths):
        x = _conv(width, f"conv_{i}", seed + i, strides=1 + (i > 0), activation="leaky_relu")(x)
    return keras.Model(pair, _conv(1, "real", seed + len(widths))(x), name=f"discriminator_{scale}")


def _conv(width: int, name: str, seed: int, strides: int = 1, activation: str | None = None) -> Any:
    start = keras.initializers.HeNormal(seed)
    return layers.Conv2D(width, 3, strides, "same", activation=activation, kernel_initializer=start, name=name)
