"""A generative adversarial network (GAN) at several scales."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import keras

from latentseq.arrays import Batch, Source
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.optimizer import GuardedAdam
from latentseq.protocols import History, Trainer
from latentseq.training.trainer import schedule
from latentseq_plugins.predictors.context import check_length
from latentseq_plugins.predictors.multiscale import MULTIPLE, Discriminators, MultiScaleNetwork, generators
from latentseq_plugins.predictors.stacked import StackedPredictor

BATCH = 8
"""Default batch size."""
LEARNING_RATE = 1e-3
"""Default learning rate."""


class MultiScaleGAN(StackedPredictor):
    """Predicts the next frame from coarse to fine, trained against discriminators at four scales.

    It consists of convolutions only, so it can be trained on small crops with motion and predict whole frames. The
    published model differs: its widths are 128, 256 and 512, the last layers of its discriminators are dense, and a
    scale corrects the frame of the scale below instead of the change since the last frame.

    References:
        Mathieu, Couprie & LeCun, Deep multi-scale video prediction beyond mean square error, arXiv 1511.05440.
    """

    name = "multiscale-gan"
    description = "Next frame from coarse to fine, with adversarial and gradient difference losses; any size."
    presets: ClassVar[Presets] = {"tiny": {"widths": [4, 8]}, "cpu": {}, "gpu": {"widths": [64, 128, 256]}}
    multiple = MULTIPLE

    def __init__(
        self,
        input_shape: list[int],
        context: int = 4,
        widths: list[int] = (16, 32, 64),  # type: ignore[assignment]
        discriminator_widths: list[int] = (16, 32, 64),  # type: ignore[assignment]
        p: int = 1,
        alpha: int = 1,
        adversarial: bool = True,
        lambda_adv: float = 0.05,
        lambda_lp: float = 1.0,
        lambda_gdl: float = 1.0,
        seed: int = 0,
    ):
        """Build the networks.

        Args:
            input_shape: (h, w, c) of the training frames; the trained model accepts any height and width.
            context: number of frames that it predicts from.
            widths: channels of the generators' convolutions up to the middle one; see ``generators``.
            discriminator_widths: channels of the discriminators' convolutions.
            p: power of the error of a pixel, 1 or more.
            alpha: power of the gradient difference, 1 or more.
            adversarial: train with discriminators.
            lambda_adv: weight of the adversarial loss; with 0 there are no discriminators.
            lambda_lp: weight of the error.
            lambda_gdl: weight of the gradient difference.
            seed: random seed of the initial weights.

        Raises:
            UsageError: an option is out of range, or the frames are too small.
        """
        _check(context, widths, discriminator_widths, p, alpha, (lambda_adv, lambda_lp, lambda_gdl))
        self.input_shape = tuple(input_shape)
        self.context = context
        self.widths = tuple(widths)
        self.seed = seed
        self.discriminator_widths = tuple(discriminator_widths)
        self.adversarial = adversarial
        self.p = p
        self.alpha = alpha
        self.lambda_adv = lambda_adv
        self.lambda_lp = lambda_lp
        self.lambda_gdl = lambda_gdl
        h, w, c = self.input_shape
        if min(h, w) < 2 * MULTIPLE:
            raise UsageError(
                f"multiscale-gan is trained on frames of {2 * MULTIPLE} x {2 * MULTIPLE} (h x w) or more, whose "
                f"coarsest scale has 2 x 2 pixels; they are {h} x {w}. Use larger frames, such as with --size."
            )
        network = generators(c, context, self.widths, seed)
        frames = keras.Input((None, None, context * c), name="seen")
        self._following = keras.Model(frames, (network(2 * frames - 1)[-1] + 1) / 2, name="following")
        self.discriminators = (
            Discriminators(c, context, self.discriminator_widths, seed) if adversarial and lambda_adv else None
        )
        self.network = MultiScaleNetwork(
            network,
            self.discriminators,
            context=context,
            p=p,
            alpha=alpha,
            weights=(lambda_adv, lambda_lp, lambda_gdl),
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
        if self.discriminators is None:
            return trainer.fit(self.network, source, batch_size=BATCH, learning_rate=LEARNING_RATE)
        return self._contest(self.discriminators, source, trainer)

    def _contest(self, discriminators: Discriminators, source: Source, trainer: Trainer) -> History:
        """Train discriminators and generators in turn, one step each."""
        rate, network = trainer.learning_rate or LEARNING_RATE, self.network
        _compile(discriminators, rate)
        with _frozen(discriminators):
            _compile(network, rate)

        def train(batch: Batch, share: float) -> Mapping[str, Any]:
            for model in (discriminators, network):
                model.optimizer.learning_rate = rate * schedule(share)
            logs = discriminators.train_on_batch(network.predict_on_batch(batch), return_dict=True)
            with _frozen(discriminators):
                return {**network.train_on_batch(batch, return_dict=True), "discriminators": logs["loss"]}

        def validate(batch: Batch) -> Mapping[str, Any]:
            return network.test_on_batch(batch, return_dict=True)

        models = {"network": network, "discriminators": discriminators}
        return trainer.loop(models, train, source, validate=validate, batch_size=BATCH)


def _compile(model: keras.Model, rate: float) -> None:
    """Compile a model with an optimiser for its trainable weights."""
    optimizer = GuardedAdam(rate, beta_1=0.5)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")


@contextmanager
def _frozen(model: keras.Model) -> Iterator[None]:
    """Make the weights of a model untrainable within the block; they remain variables on every backend."""
    model.trainable = False
    try:
        yield
    finally:
        model.trainable = True


def _check(
    context: int,
    widths: list[int],
    discriminator_widths: list[int],
    p: int,
    alpha: int,
    weights: tuple[float, float, float],
) -> None:
    """Check the options.

    Raises:
        UsageError: an option is out of range.
    """
    if context < 1 or p < 1 or alpha < 1:
        raise UsageError(
            f"multiscale-gan: context is {context}, p {p} and alpha {alpha}; expected 1 or more of each."
        )
    for key, channels in (("widths", widths), ("discriminator_widths", discriminator_widths)):
        if not channels or min(channels) < 1:
            raise UsageError(
                f"multiscale-gan: {key} is {list(channels)}; expected one or more numbers of channels, each 1 or "
                "more."
            )
    if min(weights) < 0 or not any(weights[1:]):
        values = ", ".join(
            f"{k} {v:g}" for k, v in zip(("lambda_adv", "lambda_lp", "lambda_gdl"), weights, strict=True)
        )
        raise UsageError(
            f"multiscale-gan: the weights are {values}; expected none below 0, and one of the last two above 0."
        )
