"""The network of recurrent dynamics: one network for training, observing and rolling forward."""

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Batch
from latentseq.networks.heads.head import Head
from latentseq.networks.plugin import LossNetwork
from latentseq.networks.statistics import Range, confine

FAR = 5.0
"""Default bounds of imagined items, in standard deviations. They hold before training, and for artifacts that were
written before the range of the training latents was kept."""


class Core(Protocol):
    """The recurrent layers, as the author of a dynamics plugin writes them (``KerasDynamics``)."""

    def start(self, b: int) -> list[Any]:
        """The first states of b rows."""

    def advance(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """Inputs (b, t, ..., c) to features (b, t, ..., c'), and the states after the last item."""

    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """``advance`` by one item: (b, ..., c) to (b, ..., c')."""


class DynamicsNetwork(LossNetwork):
    """Standardised latents and conditions in, the outputs of a head out.

    The state of the network before the next item is a list: the outputs that forecast the next item, the base that
    its location is added to, the last item, and the states of the recurrent layers.

    In a rollout, items that the network imagines stay where the training latents are (``confine``). The features of
    recurrent layers are bounded themselves, so a rollout cannot diverge.
    """

    def __init__(
        self,
        core: Core,
        head: Head,
        *,
        latent_shape: tuple[int, ...],
        residual: bool,
        latent_noise: float,
        scheduled_sampling: float,
        free_steps: int,
        linear: bool,
        conditions: int,
        seed: int,
    ):
        """Make the weights that every dynamics network has; ``attach`` adds the layers.

        Args:
            core: the recurrent layers.
            head: what the outputs mean.
            latent_shape: shape of one item.
            residual: predict the difference to the last item.
            latent_noise: standard deviation of the noise that is added to true items in training.
            scheduled_sampling: share of the true items that are replaced by the network's own forecasts in training.
            free_steps: items at the end of a training window that are reached in a closed loop; at most half of it.
            linear: whether the base is a linear forecast, ``LinearStep``.
            conditions: number of values of all conditions together.
            seed: random seed of noise and sampling in training.

        References:
            Bengio et al., Scheduled Sampling for Sequence Prediction, arXiv 1506.03099.
        """
        super().__init__(name="recurrent")
        self.core = core
        self.head = head
        self.residual = residual
        self.free_steps = free_steps
        self.latent_noise = latent_noise
        self.scheduled_sampling = scheduled_sampling
        self.random = keras.random.SeedGenerator(seed + 50)
        self.offset = self._statistic("offset", latent_shape, 0.0)
        self.scale = self._statistic("scale", latent_shape, 1.0)
        self.spread = self._statistic("spread", latent_shape, 1.0)
        self.low = self._statistic("low", latent_shape, -FAR)
        self.high = self._statistic("high", latent_shape, FAR)
        self.radius = self._statistic("radius", (), latent_shape[-1] ** 0.5 + FAR)
        self.input_unit = self._statistic("input_unit", (2 * latent_shape[-1] + conditions,), 1.0)
        self.latent_shape = latent_shape
        self.seed = seed
        self.linear = LinearStep(latent_shape, conditions) if linear else None

    def attach(self, recurrent: list[Any], readout: list[Any]) -> None:
        """Add the layers.

        Args:
            recurrent: the layers that the core calls; they are kept so that their weights are found.
            readout: hidden layers of the ``Readout`` behind them.
        """
        self.recurrent = recurrent
        self.head_layers = list(self.head.layers)
        self.output_layer = Readout(readout, self.head, len(self.latent_shape), self.seed + 100)
        states = [tuple(state.shape[1:]) for state in self.core.start(1)]
        shapes = [(*self.latent_shape[:-1], self.head.width), self.latent_shape, self.latent_shape, *states]
        self.rollout = layers.RNN(
            Feedback(self.feed, shapes), return_sequences=True, return_state=True, name="rollout"
        )

    @property
    def range_weights(self) -> list[Any]:
        """The weights that hold the range of the training latents."""
        return [self.low, self.high, self.radius]

    @property
    def start_weights(self) -> list[Any]:
        """The weights that are fitted before training begins: the linear part, and units of inputs and outputs."""
        linear = [self.linear.kernel, self.linear.bias] if self.linear else []
        return [self.input_unit, self.output_layer.unit, *linear]

    def build(self, *_: Any) -> None:
        """Do nothing, since the layers are built in the first call."""

    def standardise(self, z: Any) -> Any:
        """Convert latents from the encoder's units to standardised units."""
        return (z - self.offset) / self.scale

    def base(self, x: Any) -> Any:
        """What locations are added to, for forecasts of the items after inputs ``x`` (..., *latent_shape[:-1], c)."""
        z = x[..., : self.head.d]
        base = z if self.residual else ops.zeros_like(z)
        return base + self.linear(x) if self.linear else base

    def burn_in(self, length: int) -> int:
        """Number of true items at the start of a window: all but ``free_steps``, and at least half of them."""
        return length - min(self.free_steps, length // 2)

    def inputs(self, z: Any, before: Any, conditions: Any) -> Any:
        """The inputs of the recurrent layers: items, their differences, and conditions, as channels.

        Args:
            z: items (b, t, *latent_shape), standardised.
            before: (b, *latent_shape), the item before the first one.
            conditions: (b, t, ..., f).
        """
        earlier = ops.concatenate([before[:, None], z[:, :-1]], axis=1)
        return ops.concatenate([z, z - earlier, conditions], axis=-1)

    def advance(self, x: Any, states: list[Any], skip: int = 0) -> tuple[Any, list[Any]]:
        """Inputs (b, t, ..., 2 d + f) to outputs (b, t - skip, ..., width), and the states after the last item."""
        x = x / self.input_unit
        features, states = self.core.advance(x, states)
        return self.output_layer(ops.concatenate([features, x], axis=-1)[:, skip:]), states

    def feed(self, drive: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """One step of a closed loop: draw an item from the outputs that forecast it, then consume it.

        Args:
            drive: (b, ..., noise, conditions, a true item, mask): channels. Where the mask is above 0, the true item
                is consumed in place of the item that was drawn.
            states: outputs (b, ..., width), base and last item (b, *latent_shape), states of the recurrent layers.

        Returns:
            The item, and base and outputs that forecast the next one, as channels (b, ..., 2 d + width); the states
            after.
        """
        outputs, base, last, *rest = states
        width, d = self.head.noise_width, self.head.d
        z = self.confine(self.head.draw(outputs, base, drive[..., :width]), last)
        z = ops.where(drive[..., -1:] > 0, drive[..., -1 - d : -1], z)
        x = ops.concatenate([z, z - last, drive[..., width : -1 - d]], axis=-1)
        base, x = self.base(x), x / self.input_unit
        features, rest = self.core.step(x, rest)
        after = self.output_layer(ops.concatenate([features, x], axis=-1))
        return ops.concatenate([z, base, after], axis=-1), [after, base, z, *rest]

    def confine(self, z: Any, last: Any) -> Any:
        """Keep an imagined item (b, *latent_shape) where the training latents are; see ``statistics.confine``."""
        return confine(z, last, Range(self.low, self.high, self.radius), ops)

    def roll(
        self, noise: Any, conditions: Any, states: list[Any], truth: Any = None, teacher_mask: Any = None
    ) -> tuple[Any, Any, Any, list[Any]]:
        """Steps of a closed loop, as many as there are items of noise and conditions.

        Args:
            noise: (b, t, ..., noise_width), noise of the head's draws.
            conditions: (b, t, ..., f).
            states: as ``feed`` takes them.
            truth: (b, t, *latent_shape), true items.
            teacher_mask: (b, t, ..., 1), above 0 where the true item is consumed. None: no true item is consumed.

        Returns:
            Items (b, t, *latent_shape), base (b, t, *latent_shape) and outputs (b, t, ..., width) of the item after
            each, and the states after the last.
        """
        if truth is None:
            truth = teacher_mask = ops.zeros((*ops.shape(noise)[:-1], 1))
            truth = ops.tile(truth, (*[1] * (len(truth.shape) - 1), self.head.d))
        drive = ops.concatenate([noise, conditions, truth, teacher_mask], axis=-1)
        all_, *states = self.rollout(drive, initial_state=states)
        d = self.head.d
        return all_[..., :d], all_[..., d : 2 * d], all_[..., 2 * d :], states

    def unroll(
        self,
        z: Any,
        conditions: Any,
        burn_in: int,
        training: bool = False,
        states: list[Any] | None = None,
        skip: int = 0,
    ) -> tuple[Any, Any]:
        """Forecasts of items 1.. of standardised windows: the first from true items, the rest in a closed loop.

        Args:
            z: (b, t, *latent_shape).
            conditions: (b, t, ..., f).
            burn_in: number of true items at the start. The items after them are imagined, and gradients flow through
                the rollout.
            training: add noise, and replace true items by forecasts.
            states: first states of the recurrent layers; None: those of ``core.start``.
            skip: number of forecasts at the start that are not computed, less than ``burn_in``.

        Returns:
            Outputs (b, t - 1 - skip, ..., width), and what locations are added to (b, t - 1 - skip, *latent_shape).
        """
        if training and self.latent_noise:
            z = z + keras.random.normal(ops.shape(z), stddev=self.latent_noise, seed=self.random)
        sampled = self.scheduled_sampling if training else 0.0
        first = 1 if sampled else min(burn_in, z.shape[1] - 1)
        x = self.inputs(z[:, :first], z[:, 0], conditions[:, :first])
        states = self.core.start(ops.shape(z)[0]) if states is None else states
        omitted = 0 if sampled else skip
        outputs, states = self.advance(x, states, omitted)
        base, rest = self.base(x[:, omitted:]), z.shape[1] - 1 - first
        if rest:
            state = [outputs[:, -1], base[:, -1], z[:, first - 1], *states]
            zero_noise = ops.zeros((*ops.shape(z)[:1], rest, *z.shape[2:-1], self.head.noise_width))
            truth, teacher_mask = None, None
            if sampled:
                truth = z[:, first:-1]
                teacher_mask = self._teacher_mask(z, rest, burn_in - first, sampled)
            _, later_base, later, _ = self.roll(zero_noise, conditions[:, first:-1], state, truth, teacher_mask)
            outputs = ops.concatenate([outputs, later], axis=1)
            base = ops.concatenate([base, later_base], axis=1)
        return outputs[:, skip - omitted :], base[:, skip - omitted :]

    def call(self, batch: Batch, training: bool = False, skip: int = 0) -> dict[str, Any]:
        """Outputs for items ``1 + skip``.. of windows, with what the loss needs beside them.

        The last ``free_steps`` items are forecast from items that the network imagined, the ones before from true
        items. ``z`` is the forecast at temperature 0, in the encoder's units.
        """
        z = self.standardise(batch["mean"])
        streams = [join_condition(batch[name], z) for name in sorted(batch) if name not in ("mean", "log_var")]
        conditions = ops.concatenate([z[..., :0], *streams], axis=-1)
        outputs, base = self.unroll(z, conditions, self.burn_in(z.shape[1]), training, skip=skip)
        zero_noise = ops.zeros((*ops.shape(base)[:-1], self.head.noise_width))
        results = {"outputs": outputs, "base": base, "mean": z[:, 1 + skip :]}
        results["z"] = self.head.draw(outputs, base, zero_noise) * self.scale + self.offset
        if "log_var" in batch:
            results["log_var"] = batch["log_var"][:, 1 + skip :] - 2 * ops.log(self.scale)
        return results

    def loss_of(self, results: dict[str, Any], training: bool = True) -> Any:
        """The head's loss of an item, mean over windows and time."""
        losses = self.head.loss(results["outputs"], results["base"], results["mean"], results.get("log_var"))
        return ops.mean(ops.sum(ops.reshape(losses, (*ops.shape(losses)[:2], -1)), axis=-1))

    def _statistic(self, name: str, shape: tuple[int, ...], value: float) -> Any:
        """A weight that is measured, not trained."""
        constant = keras.initializers.Constant(value)
        return self.add_weight(shape=shape, initializer=constant, trainable=False, name=name)

    def _teacher_mask(self, z: Any, steps: int, burn_in: int, share: float) -> Any:
        """(b, steps, ..., 1): 1 for the true items, of which a share is left out at random, 0 after ``burn_in``."""
        flat = [1] * (len(z.shape) - 2)
        coins = keras.random.uniform((*ops.shape(z)[:1], steps, *flat), seed=self.random)
        early = ops.reshape(ops.arange(steps) < burn_in, (1, steps, *flat))
        mask = ops.cast(ops.logical_and(coins >= share, early), z.dtype)
        return ops.tile(mask, (1, 1, *z.shape[2:-1], 1))


class Readout(layers.Layer):
    """From the features of the recurrent layers, and their inputs, to the outputs of a head.

    Recurrent layers are expensive. What moves an item along is learned at less cost in layers behind them that see
    the item itself.
    """

    def __init__(self, hidden: list[Any], head: Head, rank: int, seed: int):
        """Take the layers.

        Args:
            hidden: dense layers or convolutions. A layer that keeps the number of channels gets a shortcut around it.
            head: the head that the outputs are for.
            rank: number of axes of an item; the axes before them are batch and time.
            seed: random seed of the initial weights of the last layer.
        """
        super().__init__(name="output")
        self.hidden = hidden
        self.rank = rank
        # So the first forecast is the base.
        start = keras.initializers.VarianceScaling(head.start_variance, seed=seed) if head.start_variance else "zeros"
        self.last = layers.Dense(head.width, kernel_initializer=start, name="last")

    def build(self, shape: tuple[int, ...]) -> None:
        """Build the layers, one after the other."""
        self.unit = self.add_weight(shape=(self.last.units,), initializer="ones", trainable=False, name="unit")
        inner: Any = (None, *shape[-self.rank :])
        for layer in (*self.hidden, self.last):
            layer.build(inner)
            inner = layer.compute_output_shape(inner)

    def call(self, x: Any) -> Any:
        """Inputs (..., c), whose last ``rank`` axes are those of an item, to (..., width)."""
        y = ops.reshape(x, (-1, *x.shape[-self.rank :]))
        for layer in self.hidden:
            after = layer(y)
            y = y + after if y.shape == after.shape else after
        return ops.reshape(self.last(y) * self.unit, (*ops.shape(x)[:-1], self.last.units))

    def start(self, bias: np.ndarray, unit: np.ndarray) -> None:
        """Set the first outputs, (width,), and the unit that the network learns each output in, (width,)."""
        self.unit.assign(unit)
        self.last.bias.assign(bias / unit)


class LinearStep(layers.Layer):
    """The linear part of a forecast (``Autoregression``). It is fitted in closed form, and not trained afterwards."""

    def __init__(self, latent_shape: tuple[int, ...], conditions: int):
        """Make the weights, zeros until they are fitted.

        Args:
            latent_shape: shape of one item.
            conditions: number of values of all conditions together.
        """
        super().__init__(name="linear", trainable=False)
        d, self.window = latent_shape[-1], (3, 3) if len(latent_shape) == 3 else ()
        shape = (*self.window, 2 * d + conditions, d)
        self.kernel = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="kernel")
        self.bias = self.add_weight(shape=(d,), initializer="zeros", trainable=False, name="bias")

    def build(self, *_: Any) -> None:
        """Do nothing, since the weights are made with the layer."""

    def call(self, x: Any) -> Any:
        """Inputs (..., 2 d + f), as ``DynamicsNetwork.inputs`` gives them, to differences (..., d)."""
        if not self.window:
            return ops.matmul(x, self.kernel) + self.bias
        y = ops.conv(ops.reshape(x, (-1, *x.shape[-3:])), self.kernel, padding="same")
        return ops.reshape(y, (*ops.shape(x)[:-1], self.kernel.shape[-1])) + self.bias


class Feedback(layers.Layer):
    """A cell for ``keras.layers.RNN`` around ``DynamicsNetwork.feed``. It does not own the network."""

    def __init__(self, feed: Callable[[Any, list[Any]], tuple[Any, list[Any]]], shapes: list[tuple[int, ...]]):
        """Set up the cell.

        Args:
            feed: one step of a closed loop.
            shapes: shapes of the states, without the batch axis.
        """
        super().__init__(name="feedback")
        self.feed = feed
        self.state_size = shapes
        self.output_size = shapes[1]

    def build(self, *_: Any) -> None:
        """Do nothing, since the network builds its own layers."""

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """See ``DynamicsNetwork.feed``."""
        return self.feed(inputs, list(states))


def join_condition(stream: Any, z: Any) -> Any:
    """A stream (b, t, f) as channels beside latents (b, t, ..., d): repeated at every position of a map."""
    spatial = tuple(z.shape[2:-1])
    stream = ops.reshape(stream, (*ops.shape(stream)[:2], *[1] * len(spatial), stream.shape[-1]))
    return ops.tile(stream, (1, 1, *spatial, 1))
