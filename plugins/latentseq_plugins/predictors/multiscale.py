"""Generators and discriminators at four scales, the lowest resolution first, and their training.

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
"""Number of scales."""
MULTIPLE = 2 ** (SCALES - 1)
"""Sides of frames have to be multiples of this number."""
PAIRS = 4
"""Maximum number of predicted frames in a window: the last frame, and frames evenly spread before it."""


def pyramid(x: Any) -> list[Any]:
    """Scale frames (b, h, w, c), with sides that are multiples of ``MULTIPLE``, to every scale."""
    scales = [x]
    for _ in range(SCALES - 1):
        scales.insert(0, ops.average_pool(scales[0], 2, strides=2))  # Keras 3.15 on JAX needs both.
    return scales


def generators(channels: int, context: int, widths: Sequence[int], seed: int) -> keras.Model:
    """Build the network from stacked frames (b, h, w, context * c) to the next frame at every scale.

    All values are in about [-1, 1]. The output of a scale is the last frame, plus the enlarged change of the scale
    below, plus a correction. The correction starts at zero, so the network does not have to learn the details of the
    last frame.

    Args:
        channels: number of channels, c.
        context: number of frames in the input.
        widths: channels of the convolutions up to the middle one; the others have the reverse order. The lower two
            scales leave out the last width.
        seed: random seed of the initial weights.
    """
    frames = keras.Input((None, None, context * channels), name="seen")
    outputs: list[Any] = []
    change = None
    for scale, x in enumerate(pyramid(frames)):
        last = x[..., -channels:]
        if change is not None:
            change = layers.UpSampling2D(name=f"up_{scale}")(change)
            x = layers.Concatenate(name=f"given_{scale}")([x, last + change])
        half = list(widths if scale >= SCALES // 2 else widths[:-1] or widths)
        for i, width in enumerate([*half, *half[-2::-1]]):
            x = _conv(width, f"conv_{scale}_{i}", seed + 100 * scale + i, activation="relu")(x)
        correction = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", name=f"change_{scale}")(x)
        change = correction if change is None else change + correction
        outputs.append(last + change)
    return keras.Model(frames, outputs, name="generators")


class Discriminators(LossNetwork):
    """One discriminator at each scale: it decides for each position whether a frame is the true next frame."""

    def __init__(self, channels: int, context: int, widths: Sequence[int], seed: int):
        """Build the discriminators; the one of the highest resolution has the most layers.

        Args:
            channels: number of channels of a frame, c.
            context: number of frames before.
            widths: channels of the convolutions; every scale has one more convolution than the scale below, up to the
                number of widths.
            seed: random seed of the initial weights.
        """
        super().__init__(name="discriminators")
        self.scales = [
            _discriminator(channels * (context + 1), widths[: scale + 1], scale, seed + 1000 + 100 * scale)
            for scale in range(SCALES)
        ]

    def build(self, *_: Any) -> None:
        """Do nothing: the networks are already built."""

    def judge(self, context: Sequence[Any], frames: Sequence[Any]) -> list[Any]:
        """Compute the logits of frames being the true next frames.

        Args:
            context: stacked frames before (b, h, w, context * c) at each scale.
            frames: next frames (b, h, w, c) at each scale.

        Returns:
            Logits (b, h', w', 1) at each scale.
        """
        return [
            network(ops.concatenate([x, frame], axis=-1))
            for network, x, frame in zip(self.scales, context, frames, strict=True)
        ]

    def call(self, batch: dict[str, Sequence[Any]], training: bool = False) -> dict[str, list[Any]]:
        """Logits of the true and of the predicted frames in an output of ``MultiScaleNetwork``."""
        return {key: self.judge(batch["context"], batch[key]) for key in ("target", "prediction")}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Cross-entropy of the classification into true and predicted frames, summed over the scales."""
        return adversarial_loss(results["target"], real=True) + adversarial_loss(results["prediction"], real=False)


class MultiScaleNetwork(LossNetwork):
    """Trains generators to predict the next frame at every scale."""

    def __init__(
        self,
        generators: keras.Model,
        discriminators: Discriminators | None,
        *,
        context: int,
        p: int,
        alpha: int,
        weights: tuple[float, float, float],
    ):
        """Set the networks and the weights of the losses.

        Args:
            generators: network as built by the function ``generators``.
            discriminators: discriminators for the adversarial loss; None for no adversarial loss. The optimiser of
                this network must not change their weights, so set ``trainable`` to False during a step.
            context: number of frames before the predicted one.
            p: power of the error.
            alpha: power of the gradient difference.
            weights: weights of the adversarial loss, the error and the gradient difference.
        """
        super().__init__(name="multiscale")
        self.generators = generators
        self.discriminators = discriminators
        self.context = context
        self.p = p
        self.alpha = alpha
        self.lambdas = weights

    def build(self, *_: Any) -> None:
        """Do nothing: the networks are already built."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, list[Any]]:
        """Predict frames in windows ``frames`` (b, t, h, w, c) in [0, 1].

        Returns:
            ``context``, ``target`` and ``prediction`` in [-1, 1]. Each is a list of (n, h', w', …) for every scale,
            where n is b times the number of predicted frames in a window. If sides are not multiples of ``MULTIPLE``,
            frames are padded by mirroring, and the padding is part of the loss.
        """
        frames = 2 * batch["frames"] - 1
        padding = [missing(side, MULTIPLE) for side in frames.shape[2:4]]
        if any(map(any, padding)):
            frames = ops.pad(frames, [(0, 0), (0, 0), *padding, (0, 0)], mode="symmetric")
        t = frames.shape[1]
        targets = np.linspace(t - 1, self.context, min(PAIRS, t - self.context)).round().astype(int).tolist()
        stacks = [ops.concatenate([frames[:, i - k] for i in targets], axis=0) for k in range(self.context, -1, -1)]
        context = ops.concatenate(stacks[:-1], axis=-1)
        prediction = self.generators(context, training=training)
        return {"context": pyramid(context), "target": pyramid(stacks[-1]), "prediction": prediction}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """The weighted sum of the losses; in validation only error and gradient difference, at full resolution.

        The adversarial loss does not measure the quality of frames, since the discriminators keep changing.
        """
        adversarial, error, difference = self.lambdas
        prediction, target = (results[key] if training else results[key][-1:] for key in ("prediction", "target"))
        loss = error * lp_loss(prediction, target, self.p)
        loss += difference * gradient_difference_loss(prediction, target, self.alpha)
        if training and self.discriminators is not None:
            logits = self.discriminators.judge(results["context"], prediction)
            loss += adversarial * adversarial_loss(logits, real=True)
        return loss


def _discriminator(channels: int, widths: Sequence[int], scale: int, seed: int) -> keras.Model:
    pair = x = keras.Input((None, None, channels))
    for i, width in enumerate(widths):
        x = _conv(width, f"conv_{i}", seed + i, strides=1 + (i > 0), activation="leaky_relu")(x)
    return keras.Model(pair, _conv(1, "real", seed + len(widths))(x), name=f"discriminator_{scale}")


def _conv(width: int, name: str, seed: int, strides: int = 1, activation: str | None = None) -> Any:
    start = keras.initializers.HeNormal(seed)
    return layers.Conv2D(width, 3, strides, "same", activation=activation, kernel_initializer=start, name=name)
