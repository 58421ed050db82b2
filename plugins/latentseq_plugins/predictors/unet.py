"""A U-Net from the last frames to the next one."""

from typing import Any, ClassVar

import keras
from keras import layers

from latentseq.arrays import Source
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.plugin import swish
from latentseq.protocols import History, Trainer
from latentseq_plugins.predictors.context import check_length
from latentseq_plugins.predictors.stacked import RecursiveNetwork, StackedPredictor


class UNet(StackedPredictor):
    """Predicts the change since the last frame with a U-Net, which has a skip connection at every resolution.

    References:
        Ronneberger et al., U-Net, arXiv 1505.04597.
    """

    name = "unet"
    description = "U-shaped convolutional network from the last frames to the next; takes frames of any size."
    presets: ClassVar[Presets] = {
        "tiny": {"context": 3, "widths": [8, 8]},
        "cpu": {},
        "gpu": {"widths": [32, 64, 128, 256]},
    }

    def __init__(
        self,
        input_shape: list[int],
        context: int = 5,
        widths: list[int] = (16, 32, 64),  # type: ignore[assignment]
        free_steps: int = 4,
        seed: int = 0,
    ):
        """Build the network.

        Args:
            input_shape: (h, w, c) of the training frames; the trained model accepts any height and width.
            context: number of frames that it predicts from.
            widths: channels at each resolution, from the highest to the lowest; each one is half of the one before.
            free_steps: number of steps that it predicts from its own predictions in training (closed loop).
            seed: random seed of the initial weights.

        Raises:
            UsageError: an option is out of range.
            DataError: the frames are too small.
        """
        if context < 1 or free_steps < 1 or not widths or min(widths) < 1:
            raise UsageError(
                f"unet: context is {context}, free_steps {free_steps}, widths {list(widths)}; expected 1 or more of "
                "each, and at least one width."
            )
        self.input_shape = tuple(input_shape)
        self.context = context
        self.widths = tuple(widths)
        self.free_steps = free_steps
        self.seed = seed
        self.multiple = 2 ** (len(widths) - 1)
        self.check_size(self.input_shape[:2])
        self._following = _network(self.input_shape[-1], context, self.widths, seed)
        self.network = RecursiveNetwork(
            self.following, context=context, free_steps=free_steps, multiple=self.multiple
        )

    @property
    def following(self) -> keras.Model:
        """See ``StackedPredictor.following``."""
        return self._following

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Predictor.fit``.

        Raises:
            UsageError: the windows are no longer than the context.
        """
        check_length(self.name, self.context, source, "frames")
        return trainer.fit(self.network, source, batch_size=8, learning_rate=2e-3, clip_norm=1.0)


def _network(channels: int, context: int, widths: tuple[int, ...], seed: int) -> keras.Model:
    frames = x = keras.Input((None, None, context * channels), name="seen")
    skips = []
    for i, width in enumerate(widths):
        if i:
            skips.append(x)
            x = _conv(width, f"down_{i}", seed + 10 * i + 1, strides=2)(x)
        x = _conv(width, f"enter_{i}", seed + 10 * i + 2)(x)
    for i, width in reversed(list(enumerate(widths[:-1]))):
        x = layers.UpSampling2D(name=f"up_{i}")(x)
        x = layers.Concatenate(name=f"skip_{i}")([x, skips[i]])
        x = _conv(width, f"leave_{i}", seed + 10 * i + 3)(x)
    # The change starts at zero, so an untrained network predicts the last frame.
    change = layers.Conv2D(channels, 3, padding="same", kernel_initializer="zeros", name="change")(x)
    return keras.Model(frames, layers.Add(name="frame")([frames[..., -channels:], change]), name="unet")


def _conv(width: int, name: str, seed: int, strides: int = 1) -> Any:
    start = keras.initializers.HeNormal(seed)
    return layers.Conv2D(width, 3, strides, "same", activation=swish, kernel_initializer=start, name=name)
