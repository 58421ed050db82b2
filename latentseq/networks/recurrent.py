"""The network of recurrent dynamics: one for training, observing and running free, whatever its layers are."""

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from latentseq.arrays import Batch
from latentseq.networks.heads import Head

FAR = 5.0
"""Deviations from the mean, and from the usual distance to it, that an imagined item may have where nobody measured
how far the training latents reach: before training, and in artifacts that were written before that was kept."""


class RecurrentNetwork(keras.Model):
    """Recurrent layers from latents and conditions to a head's outputs, in standardised latents.

    A recurrent layer is any ``keras.layers`` RNN with ``return_sequences`` and ``return_state``; its first state
    is learned. What it hands to the outside is the state before the next item: the layers' states, the outputs
    that forecast the next item, and the last item.

    Where it runs free, the items that it imagines stay where the training latents are (``confine``). The outputs of
    the layers have bounds of their own, so a rollout cannot grow without end.
    """

    def __init__(
        self,
        recurrent: list[Any],
        readout: list[Any],
        head: Head,
        *,
        latent_shape: tuple[int, ...],
        state_shapes: list[tuple[int, ...]],
        dropout: float,
        residual: bool,
        latent_noise: float,
        scheduled_sampling: float,
        free_steps: int,
        seed: int,
    ):
        """Put the layers together.

        Args:
            recurrent: the layers.
            readout: the hidden layers of the ``Readout`` behind them.
            head: what the outputs mean.
            latent_shape: of one item.
            state_shapes: of all layers' states, in order, two a layer.
            dropout: share of each layer's output that is left out in training, but in closed-loop steps.
            residual: predict the difference to the last item.
            latent_noise: standard deviation of the noise on the true items in training.
            scheduled_sampling: share of the true items that are replaced by its own forecasts in training.
            free_steps: items at the end of a training window that it has to reach on its own; half of it at most.
            seed: of dropout, noise and sampling.

        References:
            Bengio et al., Scheduled Sampling for Sequence Prediction, arXiv 1506.03099.
        """
        super().__init__(name="recurrent")
        self.recurrent, self.head = recurrent, head
        self.output_layer = Readout(readout, head.width, len(latent_shape), seed + 100)
        self.residual, self.free_steps = residual, free_steps
        self.latent_noise, self.scheduled_sampling = latent_noise, scheduled_sampling
        self.random = keras.random.SeedGenerator(seed + 50)
        self.dropouts = [layers.Dropout(dropout, seed=seed + i, name=f"dropout_{i}") for i in range(len(recurrent))]
        self.first_state = [
            self.add_weight(shape=shape, initializer="zeros", name=f"first_state_{i}")
            for i, shape in enumerate(state_shapes)
        ]
        self.offset = self.add_weight(shape=latent_shape, initializer="zeros", trainable=False, name="offset")
        self.scale = self.add_weight(shape=latent_shape, initializer="ones", trainable=False, name="scale")
        self.spread = self.add_weight(shape=latent_shape, initializer="ones", trainable=False, name="spread")
        reach = {
            "low": (latent_shape, -FAR),
            "high": (latent_shape, FAR),
            "radius": ((), latent_shape[-1] ** 0.5 + FAR),
        }
        self.low, self.high, self.radius = (
            self.add_weight(shape=shape, initializer=keras.initializers.Constant(x), trainable=False, name=name)
            for name, (shape, x) in reach.items()
        )
        shapes = [(*latent_shape[:-1], head.width), latent_shape, *state_shapes]
        self.rollout = layers.RNN(
            Feedback(self.feed, shapes), return_sequences=True, return_state=True, name="rollout"
        )

    def build(self, *_: Any) -> None:
        """Its layers build themselves in the first call."""

    @property
    def added(self) -> list[Any]:
        """Weights that older artifacts lack; what they start with stands in."""
        return [self.low, self.high, self.radius]

    def standardise(self, z: Any) -> Any:
        """The encoder's units to those of the network."""
        return (z - self.offset) / self.scale

    def base(self, z: Any) -> Any:
        """What the head's locations are added to after standardised ``z``."""
        return z if self.residual else ops.zeros_like(z)

    def start(self, batch: int) -> list[Any]:
        """The learned first state, for ``batch`` rows."""
        return [ops.tile(w[None], (batch, *[1] * len(w.shape))) for w in self.first_state]

    def known(self, length: int) -> int:
        """True items at the start of a window of ``length``: all but ``free_steps``, and half of it at least."""
        return length - min(self.free_steps, length // 2)

    def inputs(self, z: Any, before: Any, conditions: Any) -> Any:
        """What the layers are given: items (b, t, *latent_shape), their differences, conditions (b, t, ..., f).

        Args:
            z: items, standardised.
            before: (b, *latent_shape), the one before the first.
            conditions: as channels.
        """
        earlier = ops.concatenate([before[:, None], z[:, :-1]], axis=1)
        return ops.concatenate([z, z - earlier, conditions], axis=-1)

    def advance(self, x: Any, states: list[Any], training: bool = False, skip: int = 0) -> tuple[Any, list[Any]]:
        """Inputs (b, t, ..., 2 d + f) from ``states`` -> outputs (b, t - skip, ..., width) and the states after."""
        given = x
        after: list[Any] = []
        for i, (layer, dropout) in enumerate(zip(self.recurrent, self.dropouts, strict=True)):
            x, *state = layer(x, initial_state=states[2 * i : 2 * i + 2])
            x, after = dropout(x, training=training), after + state
        return self.output_layer(ops.concatenate([x, given], axis=-1)[:, skip:]), after

    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """``advance`` by one item (b, ..., 2 d + f)."""
        given = x
        after: list[Any] = []
        for i, layer in enumerate(self.recurrent):
            x, state = layer.cell(x, states[2 * i : 2 * i + 2])
            after = after + list(state)
        return self.output_layer(ops.concatenate([x, given], axis=-1)), after

    def feed(self, drive: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """One step in a closed loop: draw an item from the outputs that forecast it, then consume it.

        Args:
            drive: (b, ..., noise and conditions and a true item and one channel more): the true item is consumed in
                place of the one drawn where the last channel is above 0.
            states: outputs (b, ..., width), last item (b, *latent_shape), the layers' states.

        Returns:
            The item and the outputs that forecast the next, as channels (b, ..., d + width); the states after.
        """
        outputs, last, *rest = states
        width, d = self.head.noise_width, self.head.d
        z = self.confine(self.head.draw(outputs, self.base(last), drive[..., :width]), last)
        known = drive[..., -1:]
        z = ops.where(known > 0, drive[..., -1 - d : -1], z)
        after, rest = self.step(ops.concatenate([z, z - last, drive[..., width : -1 - d]], axis=-1), rest)
        return ops.concatenate([z, after], axis=-1), [after, z, *rest]

    def confine(self, z: Any, last: Any) -> Any:
        """Keep an imagined item where the training latents are; one that is there already stays as it is, to the bit.

        Each dimension is held between ``low`` and ``high``. An item whose dimensions are all at their bounds is still
        far from all data, so an item (of a map, each position) is also drawn in to at most ``radius`` from the mean.
        Where the last item is farther out, as in a video unlike the training data, the next one may be as far, and
        no farther.

        Args:
            z: (b, *latent_shape), standardised.
            last: the item before it.
        """
        z = ops.maximum(z, ops.minimum(last, self.low))
        z = ops.minimum(z, ops.maximum(last, self.high))
        square, before = (ops.sum(ops.square(x), axis=-1, keepdims=True) for x in (z, last))
        most = ops.maximum(before, ops.square(self.radius))
        return ops.where(square > most, z * ops.sqrt(most / ops.maximum(square, most)), z)

    def roll(
        self, noise: Any, conditions: Any, states: list[Any], truth: Any = None, known: Any = None
    ) -> tuple[Any, Any, list[Any]]:
        """Closed-loop steps, as many as there is noise (b, t, ..., noise_width) and conditions (b, t, ..., f) for.

        Args:
            noise: of the heads' draws.
            conditions: as channels.
            states: as ``feed`` takes them.
            truth: (b, t, *latent_shape), true items.
            known: (b, t, ..., 1), above 0 where the true item is consumed; nowhere where None.

        Returns:
            Items (b, t, *latent_shape), for each the outputs that forecast the next (b, t, ..., width), states after.
        """
        if truth is None:
            truth = known = ops.zeros((*ops.shape(noise)[:-1], 1))
            truth = ops.tile(truth, (*[1] * (len(truth.shape) - 1), self.head.d))
        drive = ops.concatenate([noise, conditions, truth, known], axis=-1)
        both, *states = self.rollout(drive, initial_state=states)
        return both[..., : self.head.d], both[..., self.head.d :], states

    def unroll(
        self,
        z: Any,
        conditions: Any,
        known: int,
        training: bool = False,
        states: list[Any] | None = None,
        skip: int = 0,
    ) -> tuple[Any, Any]:
        """Forecasts of items 1.. of standardised windows: the first ones from true items, the rest in a closed loop.

        Args:
            z: (b, t, *latent_shape).
            conditions: (b, t, ..., f).
            known: true items that it is shown; the ones after it reaches on its own, with the gradient through the
                rollout.
            training: add noise, leave out, and sample items.
            states: of the layers before the first item; what was learned where None.
            skip: forecasts at the start that are not asked for, less than ``known``.

        Returns:
            Outputs (b, t - 1 - skip, ..., width), and what they are added to (b, t - 1 - skip, *latent_shape).
        """
        if training and self.latent_noise:
            noise = keras.random.normal(ops.shape(z), stddev=self.latent_noise, seed=self.random)
            z = z + noise
        sampled = self.scheduled_sampling if training else 0.0
        first = 1 if sampled else min(known, z.shape[1] - 1)
        x = self.inputs(z[:, :first], z[:, 0], conditions[:, :first])
        states = self.start(ops.shape(z)[0]) if states is None else states
        unmade = 0 if sampled else skip
        outputs, states = self.advance(x, states, training, unmade)
        base, rest = self.base(z[:, unmade:first]), z.shape[1] - 1 - first
        if rest:
            state = [outputs[:, -1], z[:, first - 1], *states]
            quiet = ops.zeros((*ops.shape(z)[:1], rest, *z.shape[2:-1], self.head.noise_width))
            truth, told = None, None
            if sampled:
                truth = z[:, first:-1]
                coins = keras.random.uniform((*ops.shape(z)[:1], rest, *[1] * (len(z.shape) - 2)), seed=self.random)
                early = ops.reshape(ops.arange(rest) < known - first, (1, rest, *[1] * (len(z.shape) - 2)))
                told = ops.cast(ops.logical_and(coins >= sampled, early), z.dtype)
                told = ops.tile(told, (1, 1, *z.shape[2:-1], 1))
            imagined, later, _ = self.roll(quiet, conditions[:, first:-1], state, truth, told)
            outputs = ops.concatenate([outputs, later], axis=1)
            base = ops.concatenate([base, self.base(imagined)], axis=1)
        return outputs[:, skip - unmade :], base[:, skip - unmade :]

    def call(self, batch: Batch, training: bool = False, skip: int = 0) -> dict[str, Any]:
        """Outputs for items ``1 + skip``.. of windows, with what the head's loss needs beside them.

        The last ``free_steps`` items are forecast from what it imagined itself; the ones before from the true items.
        ``z`` is what it makes of them at temperature 0, in the encoder's units.
        """
        z = self.standardise(batch["mean"])
        streams = [join_condition(batch[name], z) for name in sorted(batch) if name not in ("mean", "log_var")]
        conditions = ops.concatenate([z[..., :0], *streams], axis=-1)
        outputs, base = self.unroll(z, conditions, self.known(z.shape[1]), training, skip=skip)
        quiet = ops.zeros((*ops.shape(base)[:-1], self.head.noise_width))
        made = {"outputs": outputs, "base": base, "mean": z[:, 1 + skip :]}
        made["z"] = self.head.draw(outputs, base, quiet) * self.scale + self.offset
        if "log_var" in batch:
            made["log_var"] = batch["log_var"][:, 1 + skip :] - 2 * ops.log(self.scale)
        return made

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The head's loss an item, mean over windows and time."""
        losses = self.head.loss(y_pred["outputs"], y_pred["base"], y_pred["mean"], y_pred.get("log_var"))
        return ops.mean(ops.sum(ops.reshape(losses, (*ops.shape(losses)[:2], -1)), axis=-1))


class Readout(layers.Layer):
    """From what the recurrent layers say and what they were given to a head's outputs.

    Gates are costly; what moves an item along is cheaper to learn in layers behind them that see the item itself.
    """

    def __init__(self, hidden: list[Any], width: int, rank: int, seed: int):
        """Take the layers.

        Args:
            hidden: dense layers or convolutions; around one that keeps the number of channels there is a shortcut.
            width: of the head.
            rank: axes of an item; those before it are batch and time.
            seed: of the initial weights of the last layer.
        """
        super().__init__(name="output")
        self.hidden, self.rank = hidden, rank
        # Small, so that the first forecast is the last item; not zero, so that a mixture's components differ.
        start = keras.initializers.VarianceScaling(0.01, seed=seed)
        self.last = layers.Dense(width, kernel_initializer=start, name="last")

    def build(self, shape: tuple[int, ...]) -> None:
        """Build the layers, one behind the other."""
        inner: Any = (None, *shape[-self.rank :])
        for layer in (*self.hidden, self.last):
            layer.build(inner)
            inner = layer.compute_output_shape(inner)

    def call(self, x: Any) -> Any:
        """Inputs (..., c), an item's axes last, to (..., width)."""
        y = ops.reshape(x, (-1, *x.shape[-self.rank :]))
        for layer in self.hidden:
            made = layer(y)
            y = y + made if y.shape == made.shape else made
        return ops.reshape(self.last(y), (*ops.shape(x)[:-1], self.last.units))


class Feedback(layers.Layer):
    """A cell for ``keras.layers.RNN`` around ``RecurrentNetwork.feed``; the network is its owner, not its part."""

    def __init__(self, feed: Callable[[Any, list[Any]], tuple[Any, list[Any]]], shapes: list[tuple[int, ...]]):
        """Take the step and the shapes of the states."""
        super().__init__(name="feedback")
        self.feed, self.state_size, self.output_size = feed, shapes, shapes[1]

    def build(self, *_: Any) -> None:
        """There is nothing to build."""

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """See ``RecurrentNetwork.feed``."""
        return self.feed(inputs, list(states))


def join_condition(stream: Any, z: Any) -> Any:
    """A stream (b, t, f) as channels beside latents (b, t, ..., d): repeated at every position of a map."""
    spatial = tuple(z.shape[2:-1])
    stream = ops.reshape(stream, (*ops.shape(stream)[:2], *[1] * len(spatial), stream.shape[-1]))
    return ops.tile(stream, (1, 1, *spatial, 1))
