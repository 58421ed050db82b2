"""What recurrent dynamics share: one network for training, observing and running free, whatever its layers are."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Batch, Latents, State, as_items
from latentseq.errors import UsageError, listed
from latentseq.forecast import HeadForecast
from latentseq.heads import Head, check_posterior
from latentseq.keras_plugin import KerasPlugin
from latentseq.protocols import Dynamics, Forecast, History, Source, Windows
from latentseq.training.batches import validation_batches
from latentseq.training.trainer import Trainer

STATISTICS_WINDOWS = 2000
MIN_SPREAD = 1e-3
MIN_SHARE = 0.1
"""A dimension that hardly moves is scaled as if it moved this share of the others' mean: noise is not blown up."""


class RecurrentNetwork(keras.Model):
    """Recurrent layers from latents and conditions to a head's outputs, in standardised latents.

    A recurrent layer is any ``keras.layers`` RNN with ``return_sequences`` and ``return_state``; its first state
    is learned. What it hands to the outside is the state before the next item: the layers' states, the outputs
    that forecast the next item, and the last item.
    """

    def __init__(
        self,
        recurrent: list[Any],
        output: Any,
        head: Head,
        *,
        latent_shape: tuple[int, ...],
        state_shapes: list[tuple[int, ...]],
        dropout: float,
        residual: bool,
        free_steps: int,
        seed: int,
    ):
        """Put the layers together.

        Args:
            recurrent: the layers.
            output: from the last layer's output (..., u) to (..., head.width).
            head: what the outputs mean.
            latent_shape: of one item.
            state_shapes: of all layers' states, in order, two a layer.
            dropout: share of each layer's output that is left out in training, but in free steps.
            residual: predict the difference to the last item.
            free_steps: items at the end of a training window that it has to reach on its own.
            seed: of dropout.
        """
        super().__init__(name="recurrent")
        self.recurrent, self.output_layer, self.head = recurrent, output, head
        self.residual, self.free_steps = residual, free_steps
        self.dropouts = [layers.Dropout(dropout, seed=seed + i, name=f"dropout_{i}") for i in range(len(recurrent))]
        self.first_state = [
            self.add_weight(shape=shape, initializer="zeros", name=f"first_state_{i}")
            for i, shape in enumerate(state_shapes)
        ]
        self.offset = self.add_weight(shape=latent_shape, initializer="zeros", trainable=False, name="offset")
        self.scale = self.add_weight(shape=latent_shape, initializer="ones", trainable=False, name="scale")
        self.spread = self.add_weight(shape=latent_shape, initializer="ones", trainable=False, name="spread")
        shapes = [(*latent_shape[:-1], head.width), latent_shape, *state_shapes]
        self.rollout = layers.RNN(
            Feedback(self.feed, shapes), return_sequences=True, return_state=True, name="rollout"
        )

    def build(self, *_: Any) -> None:
        """Its layers build themselves in the first call."""

    def standardise(self, z: Any) -> Any:
        """The encoder's units to those of the network."""
        return (z - self.offset) / self.scale

    def base(self, z: Any) -> Any:
        """What the head's locations are added to after standardised ``z``."""
        return z if self.residual else ops.zeros_like(z)

    def start(self, batch: int) -> list[Any]:
        """The learned first state, for ``batch`` rows."""
        return [ops.tile(w[None], (batch, *[1] * len(w.shape))) for w in self.first_state]

    def advance(self, x: Any, states: list[Any], training: bool = False) -> tuple[Any, list[Any]]:
        """Inputs (b, t, ..., d + f) from ``states`` -> outputs (b, t, ..., width) and the states after."""
        after: list[Any] = []
        for i, (layer, dropout) in enumerate(zip(self.recurrent, self.dropouts, strict=True)):
            x, *state = layer(x, initial_state=states[2 * i : 2 * i + 2])
            x, after = dropout(x, training=training), after + state
        return self.output_layer(x), after

    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """``advance`` by one item (b, ..., d + f)."""
        after: list[Any] = []
        for i, layer in enumerate(self.recurrent):
            x, state = layer.cell(x, states[2 * i : 2 * i + 2])
            after = after + list(state)
        return self.output_layer(x), after

    def feed(self, drive: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """One free step: draw an item from the outputs that forecast it, then consume it.

        Args:
            drive: (b, ..., noise and conditions and one more).
            states: outputs (b, ..., width), last item (b, *latent_shape), the layers' states.

        Returns:
            The item and the outputs that forecast the next, as channels (b, ..., d + width); the states after.
        """
        outputs, last, *rest = states
        width = self.head.noise_width
        z = self.head.draw(outputs, self.base(last), drive[..., :width])
        after, rest = self.step(ops.concatenate([z, drive[..., width:-1]], axis=-1), rest)
        return ops.concatenate([z, after], axis=-1), [after, z, *rest]

    def roll(self, noise: Any, conditions: Any, states: list[Any]) -> tuple[Any, Any, list[Any]]:
        """Free steps, as many as there is noise (b, t, ..., noise_width) and conditions (b, t, ..., f) for.

        Returns:
            Items (b, t, *latent_shape), for each the outputs that forecast the next (b, t, ..., width), states after.
        """
        # The last channel is nothing: there is always something to run over.
        drive = ops.concatenate([noise, conditions, ops.zeros((*ops.shape(noise)[:-1], 1))], axis=-1)
        both, *states = self.rollout(drive, initial_state=states)
        return both[..., : self.head.d], both[..., self.head.d :], states

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Outputs for items 1.. of windows, with what the head's loss needs beside them.

        The last ``free_steps`` items are forecast from what it imagined itself, with the gradient through the
        rollout; the ones before from the true items.
        """
        z = self.standardise(batch["mean"])
        streams = [join_condition(batch[name], z) for name in sorted(batch) if name not in ("mean", "log_var")]
        conditions = ops.concatenate([z[..., :0], *streams], axis=-1)
        known = max(1, z.shape[1] - self.free_steps)
        x = ops.concatenate([z, conditions], axis=-1)
        outputs, states = self.advance(x[:, :known], self.start(ops.shape(z)[0]), training)
        base, free = self.base(z[:, :known]), z.shape[1] - 1 - known
        if free < 0:
            outputs, base = outputs[:, :-1], base[:, :-1]
        elif free:
            state = [outputs[:, -1], z[:, known - 1], *states]
            quiet = ops.zeros((*ops.shape(z)[:1], free, *z.shape[2:-1], self.head.noise_width))
            imagined, later, _ = self.roll(quiet, conditions[:, known:-1], state)
            outputs = ops.concatenate([outputs, later], axis=1)
            base = ops.concatenate([base, self.base(imagined)], axis=1)
        made = {"outputs": outputs, "base": base, "mean": z[:, 1:]}
        if "log_var" in batch:
            made["log_var"] = batch["log_var"][:, 1:] - 2 * ops.log(self.scale)
        return made

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The head's loss an item, mean over windows and time."""
        losses = self.head.loss(y_pred["outputs"], y_pred["base"], y_pred["mean"], y_pred.get("log_var"))
        return ops.mean(ops.sum(ops.reshape(losses, (*ops.shape(losses)[:2], -1)), axis=-1))


class Observe(keras.Model):
    """Compiled: standardise, advance."""

    def __init__(self, network: RecurrentNetwork):
        """Share the network."""
        super().__init__(name="observe")
        self.network = network

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """``z`` (b, t, *latent_shape), ``conditions`` a list, ``states`` a list -> outputs, base, states."""
        z = self.network.standardise(inputs["z"])
        x = ops.concatenate([z, *(join_condition(c, z) for c in inputs["conditions"])], axis=-1)
        outputs, states = self.network.advance(x, inputs["states"])
        return {"outputs": outputs, "base": self.network.base(z), "states": states, "last": z[:, -1]}


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


class Imagine(keras.Model):
    """Compiled: the whole rollout in one call."""

    def __init__(self, network: RecurrentNetwork):
        """Share the network."""
        super().__init__(name="imagine")
        self.network = network

    def call(self, inputs: dict[str, Any]) -> list[Any]:
        """``noise``, ``conditions``, ``states`` as in ``roll`` -> items in the encoder's units, states."""
        z, _, states = self.network.roll(inputs["noise"], inputs["conditions"], inputs["states"])
        return [z * self.network.scale + self.network.offset, *states]


def join_condition(stream: Any, z: Any) -> Any:
    """A stream (b, t, f) as channels beside latents (b, t, ..., d): repeated at every position of a map."""
    spatial = tuple(z.shape[2:-1])
    stream = ops.reshape(stream, (*ops.shape(stream)[:2], *[1] * len(spatial), stream.shape[-1]))
    return ops.tile(stream, (1, 1, *spatial, 1))


class RecurrentDynamics(KerasPlugin, Dynamics):
    """Dynamics around a ``RecurrentNetwork``; a subclass makes the layers."""

    network: RecurrentNetwork

    def connect(self) -> None:
        """Call at the end of the constructor, when ``network`` stands: builds it and its compiled programs."""
        inputs = {"mean": np.zeros((1, 2, *self.latent_shape), np.float32)}
        self.network({**inputs, **{k: np.zeros((1, 2, f), np.float32) for k, f in self.conditions.items()}})
        self._observe, self._imagine = Observe(self.network), Imagine(self.network)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """One network, with the statistics among its weights."""
        return {"network": self.network}

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Dynamics.fit``."""
        first = source.train.take(np.arange(1))
        check_posterior(self.network.head, "log_var" in first)
        chosen = _Only(source.train, self.conditions), _Only(source.validation, self.conditions)
        offset, scale, step = _statistics(source.train)
        self.network.offset.assign(offset)
        self.network.scale.assign(scale)
        # Where differences are predicted, the first forecast is the last item, give or take a usual step.
        usual = step.reshape(-1, step.shape[-1]).mean(axis=0) if self.network.residual else np.ones(step.shape[-1])
        self.network.output_layer.bias.assign(self.network.head.first_bias(usual))
        history = trainer.fit(self.network, Source(*chosen), batch_size=32, learning_rate=2e-3, clip_norm=1.0)
        self.network.spread.assign(self._residual(chosen[1]))
        return history

    def observe(
        self, latents: Latents, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Forecast, State]:
        """See ``Dynamics.observe``."""
        z = as_items(latents.mean, self.latent_shape, "latents", axes=2)
        b, t = z.shape[:2]
        streams = self._streams(conditions, b, t)
        if state is None:
            states = [np.array(ops.convert_to_numpy(s)) for s in self.network.start(b)]
        else:
            states = [state[name] for name in self._state_names()[2:]]
        made = self._observe.predict_on_batch({"z": z, "conditions": streams, "states": states})
        forecast = HeadForecast(
            self.network.head,
            made["outputs"],
            made["base"],
            spread=ops.convert_to_numpy(self.network.spread),
            offset=ops.convert_to_numpy(self.network.offset),
            scale=ops.convert_to_numpy(self.network.scale),
        )
        before = np.zeros(b, np.int64) if state is None else state["step"]
        arrays = [made["outputs"][:, -1], made["last"], *made["states"]]
        return forecast, dict(zip(self._state_names(), arrays, strict=True)) | {"step": before + t}

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Dynamics.imagine``. A state's noise is that of the step its first row is at.

        Raises:
            UsageError: steps below 1, a temperature below 0, or other conditions than it was trained with.
        """
        if steps < 1 or temperature < 0:
            raise UsageError(
                f"steps is {steps} and temperature {temperature}; expected steps of 1 or more and a temperature of 0 "
                "or more."
            )
        b, spatial, first = len(state["step"]), self.latent_shape[:-1], int(state["step"][0])
        noise = [
            self.network.head.noise(np.random.default_rng([seed, step]), (b, *spatial), temperature)
            for step in range(first, first + steps)
        ]
        like = np.empty((b, steps, *spatial, 0), np.float32)
        streams = [ops.convert_to_numpy(join_condition(c, like)) for c in self._streams(conditions, b, steps)]
        names = self._state_names()
        z, *after = self._imagine.predict_on_batch(
            {
                "noise": np.stack(noise, axis=1),
                "conditions": np.concatenate([like, *streams], axis=-1),
                "states": [state[name] for name in names],
            }
        )
        return z, dict(zip(names, after, strict=True)) | {"step": state["step"] + steps}

    def _state_names(self) -> list[str]:
        return ["outputs", "last", *(f"layer_{i}" for i in range(len(self.network.first_state)))]

    def _streams(self, conditions: Mapping[str, np.ndarray] | None, b: int, t: int) -> list[np.ndarray]:
        given = {name: np.shape(a) for name, a in (conditions or {}).items()}
        expected = {name: (b, t, f) for name, f in self.conditions.items()}
        if given != expected:
            raise UsageError(
                f"{self.name} is driven by {_shapes(expected)}; it was given {_shapes(given)}. "
                "Give each stream that it was trained with, one row an item."
            )
        return [np.asarray((conditions or {})[name], np.float32) for name in sorted(expected)]

    def _residual(self, windows: Windows) -> np.ndarray:
        """Root mean square of the one-step residual on validation windows, standardised; (*latent_shape)."""
        squares, n = np.zeros(()), 0
        for batch in validation_batches(windows, 32):
            # Through observe: in training the last items are reached in a rollout.
            z, streams = batch["mean"], {name: batch[name][:, :-1] for name in self.conditions}
            forecast, _ = self.observe(Latents(z[:, :-1]), conditions=streams)
            error = (forecast.mean - z[:, 1:]) / ops.convert_to_numpy(self.network.scale)
            squares, n = squares + np.square(error).sum((0, 1)), n + error.shape[0] * error.shape[1]
        return np.maximum(np.sqrt(squares / n), MIN_SPREAD)


class _Only(Windows):
    """Windows with the arrays that the network is driven by, and no others."""

    def __init__(self, windows: Windows, conditions: Mapping[str, int]):
        missing = set(conditions) - set(windows.take(np.arange(1)))
        if missing:
            raise UsageError(f"The data has no stream {listed(missing)}, which conditions ask for.")
        self._windows, self._names = windows, {"mean", "log_var", *conditions}

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, indices: np.ndarray) -> Batch:
        return {k: v for k, v in self._windows.take(indices).items() if k in self._names}


def _statistics(windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation, and usual step in units of it, a dimension; (*latent_shape) each.

    Over at most ``STATISTICS_WINDOWS`` windows, evenly spread.
    """
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), STATISTICS_WINDOWS)).astype(np.int64)
    n, total, squares, steps = 0, np.zeros(()), np.zeros(()), np.zeros(())
    for start in range(0, len(chosen), 100):
        z = windows.take(chosen[start : start + 100])["mean"].astype(np.float64)
        n += z.shape[0] * z.shape[1]
        total, squares = total + z.sum((0, 1)), squares + np.square(z).sum((0, 1))
        steps = steps + np.square(np.diff(z, axis=1)).mean((0, 1)) * z.shape[0] * z.shape[1]
    offset = total / n
    deviation = np.sqrt(np.maximum(squares / n - np.square(offset), 0))
    floor = max(MIN_SHARE * float(np.sqrt(np.square(deviation).mean())), 1e-6)
    scale = np.maximum(deviation, floor)
    return offset.astype(np.float32), scale.astype(np.float32), np.sqrt(steps / n) / scale


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return listed(f"{name} {shape}" for name, shape in shapes.items()) if shapes else "no stream"
