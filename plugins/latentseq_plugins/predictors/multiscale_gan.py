"""A generative adversarial network at several scales."""

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
LEARNING_RATE = 1e-3


class MultiScaleGAN(StackedPredictor):
    """The next frame from coarse to fine, which discriminators at four scales cannot tell from the true one.

    Trained on small crops where something moves, it predicts whole frames, as it is made of convolutions alone. The
    published widths are 128, 256 and 512, the discriminators' last layers are dense, and a scale corrects the picture
    of the scale below rather than its change since the last frame.

    References:
        Mathieu, Couprie & LeCun, Deep multi-scale video prediction beyond mean square error, arXiv 1511.05440.
    """

    name = "multiscale-gan"
    description = "The next frame from coarse to fine, sharp: adversarial and gradient difference losses; any size."
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
            input_shape: (h, w, c) of the frames that it is trained on; afterwards it takes any height and width.
            context: frames that it predicts from.
            widths: channels of the generators' convolutions up to the middle one; see ``generators``.
            discriminator_widths: channels of the discriminators' convolutions.
            p: power of the error of a pixel: 1 or 2, or more.
            alpha: power of the gradient difference.
            adversarial: whether there are discriminators at all.
            lambda_adv: weight of the adversarial loss; 0 is the same as no discriminators.
            lambda_lp: weight of the error.
            lambda_gdl: weight of the gradient difference.
            seed: of the initial weights.

        Raises:
            UsageError: an option out of its range, or frames that are too small.
        """
        _check(context, widths, discriminator_widths, p, alpha, (lambda_adv, lambda_lp, lambda_gdl))
        self.input_shape, self.context, self.widths, self.seed = tuple(input_shape), context, tuple(widths), seed
        self.discriminator_widths, self.adversarial = tuple(discriminator_widths), adversarial
        self.p, self.alpha = p, alpha
        self.lambda_adv, self.lambda_lp, self.lambda_gdl = lambda_adv, lambda_lp, lambda_gdl
        h, w, c = self.input_shape
        if min(h, w) < 2 * MULTIPLE:
            raise UsageError(
                f"multiscale-gan is trained on frames of {2 * MULTIPLE} x {2 * MULTIPLE} (h x w) or more, whose "
                f"coarsest scale has 2 x 2 pixels; they are {h} x {w}. Give larger ones, such as with --size."
            )
        made_by = generators(c, context, self.widths, seed)
        seen = keras.Input((None, None, context * c), name="seen")
        self._following = keras.Model(seen, (made_by(2 * seen - 1)[-1] + 1) / 2, name="following")
        self.discriminators = (
            Discriminators(c, context, self.discriminator_widths, seed) if adversarial and lambda_adv else None
        )
        self.network = MultiScaleNetwork(
            made_by,
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
        """Generators and discriminators in turn, a step each."""
        rate, network = trainer.learning_rate or LEARNING_RATE, self.network
        _compile(discriminators, rate)
        with _frozen(discriminators):
            _compile(network, rate)

        def train(batch: Batch, share: float) -> Mapping[str, Any]:
            for model in (discriminators, network):
                model.optimizer.learning_rate = rate * schedule(share)
            judged = discriminators.train_on_batch(network.predict_on_batch(batch), return_dict=True)
            with _frozen(discriminators):
                return {**network.train_on_batch(batch, return_dict=True), "discriminators": judged["loss"]}

        def validate(batch: Batch) -> Mapping[str, Any]:
            return network.test_on_batch(batch, return_dict=True)

        models = {"network": network, "discriminators": discriminators}
        return trainer.loop(models, train, source, validate=validate, batch_size=BATCH)


def _compile(model: keras.Model, rate: float) -> None:
    """Give a model an optimiser of what is trainable now."""
    optimizer = GuardedAdam(rate, beta_1=0.5)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")


@contextmanager
def _frozen(model: keras.Model) -> Iterator[None]:
    """Within it the weights are not for training, but variables still: no backend takes them for constants."""
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
    """Refuse options out of their range.

    Raises:
        UsageError: naming it.
    """
    if context < 1 or p < 1 or alpha < 1:
        raise UsageError(
            f"multiscale-gan: context is {context}, p {p} and alpha {alpha}; expected 1 or more of each."
        )
    for key, given in (("widths", widths), ("discriminator_widths", discriminator_widths)):
        if not given or min(given) < 1:
            raise UsageError(
                f"multiscale-gan: {key} is {list(given)}; expected at least one number of channels, each 1 or more."
            )
    if min(weights) < 0 or not any(weights[1:]):
        named = ", ".join(
            f"{k} {v:g}" for k, v in zip(("lambda_adv", "lambda_lp", "lambda_gdl"), weights, strict=True)
        )
        raise UsageError(
            f"multiscale-gan: the weights are {named}; expected none below 0, and one of the last two above it."
        )
