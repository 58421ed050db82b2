"""What dynamics around a recurrent network share: the two verbs, and what is measured before and after training."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Batch, Latents, State, as_items, check_rolling
from latentseq.data.windows import validation_batches
from latentseq.errors import UsageError, listed
from latentseq.networks.forecast import HeadForecast
from latentseq.networks.heads import check_posterior
from latentseq.networks.plugin import KerasDynamics
from latentseq.networks.recurrent import RecurrentNetwork, join_condition
from latentseq.protocols import Forecast, History, Source, Trainer, Windows

STATISTICS_WINDOWS = 2000
RANGE_WINDOWS = 300
"""Windows that the range is measured on again after tuning, when frames have to be encoded for it."""
MIN_SPREAD = 1e-3
MIN_SHARE = 0.1
"""A dimension that hardly moves is scaled as if it moved this share of the others' mean: noise is not blown up."""
MARGIN = 1.0
"""Deviations that an imagined item may lie outside of the training latents."""


class Observe(keras.Model):
    """Compiled: standardise, advance."""

    def __init__(self, network: RecurrentNetwork):
        """Share the network."""
        super().__init__(name="observe")
        self.network = network

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """``z`` (b, t, *latent_shape), what is ``before``, ``conditions``, ``states`` -> outputs, base, states."""
        z = self.network.standardise(inputs["z"])
        conditions = ops.concatenate([z[..., :0], *(join_condition(c, z) for c in inputs["conditions"])], axis=-1)
        x = self.network.inputs(z, inputs["before"], conditions)
        outputs, states = self.network.advance(x, inputs["states"])
        return {"outputs": outputs, "base": self.network.base(z), "states": states, "last": z[:, -1]}


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


def check_recurrent(
    name: str, *, readout: list[int], dropout: float, scheduled_sampling: float, **others: float
) -> None:
    """Refuse options that make no recurrent network.

    Args:
        name: of the plugin.
        readout: widths of 1 or more.
        dropout: a share.
        scheduled_sampling: a share.
        others: layers, units and kernel of 1 or more; any other of 0 or more.

    Raises:
        UsageError: saying what fits.
    """
    for key, value in {"dropout": dropout, "scheduled_sampling": scheduled_sampling}.items():
        if not 0 <= value < 1:
            raise UsageError(f"{name}: {key} is {value}; expected a share from 0 to below 1.")
    if readout and min(readout) < 1:
        raise UsageError(f"{name}: readout is {list(readout)}; expected widths of 1 or more, or none.")
    for key, value in others.items():
        least = 1 if key in ("layers", "units", "kernel") else 0
        if value < least:
            raise UsageError(f"{name}: {key} is {value}; expected {least} or more.")


class RecurrentDynamics(KerasDynamics):
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

    def calibrate(self, latents: Source) -> None:
        """See ``KerasDynamics.calibrate``: how far the latents reach, and as spread the one-step residual."""
        self._measure_range(latents.train, RANGE_WINDOWS)
        self.network.spread.assign(self._residual(latents.validation))

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Dynamics.fit``."""
        first = source.train.take(np.arange(1))
        check_posterior(self.network.head, "log_var" in first)
        chosen = _Only(source.train, self.conditions), _Only(source.validation, self.conditions)
        offset, scale, step = _statistics(source.train, spread=self.network.head.needs_posterior)
        self.network.offset.assign(offset)
        self.network.scale.assign(scale)
        self._measure_range(source.train, STATISTICS_WINDOWS)
        # Where differences are predicted, the first forecast is the last item, give or take a usual step.
        usual = step.reshape(-1, step.shape[-1]).mean(axis=0) if self.network.residual else np.ones(step.shape[-1])
        self.network.output_layer.last.bias.assign(self.network.head.first_bias(usual))
        history = trainer.fit(self.network, Source(*chosen), batch_size=32, learning_rate=2e-3, clip_norm=1.0)
        self.network.spread.assign(self._residual(chosen[1]))
        return history

    def observe(
        self, latents: Latents, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Forecast, State]:
        """See ``Dynamics.observe``."""
        z = as_items(latents.mean, self.latent_shape, "latents", axes=2)
        b, t = z.shape[:2]
        streams = self.checked_streams(conditions, b, t)
        if state is None:
            states = [np.array(ops.convert_to_numpy(s)) for s in self.network.start(b)]
            before = ops.convert_to_numpy(self.network.standardise(z[:, 0]))
        else:
            states, before = [state[name] for name in self._state_names()[2:]], state["last"]
        made = self._observe.predict_on_batch({"z": z, "before": before, "conditions": streams, "states": states})
        forecast = HeadForecast(
            self.network.head,
            made["outputs"],
            made["base"],
            spread=ops.convert_to_numpy(self.network.spread),
            offset=ops.convert_to_numpy(self.network.offset),
            scale=ops.convert_to_numpy(self.network.scale),
        )
        step = np.zeros(b, np.int64) if state is None else state["step"]
        arrays = [made["outputs"][:, -1], made["last"], *made["states"]]
        return forecast, dict(zip(self._state_names(), arrays, strict=True)) | {"step": step + t}

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
            UsageError: steps, seed or temperature out of range, or other conditions than it was trained with.
        """
        check_rolling(steps=steps, seed=seed, temperature=temperature)
        b, spatial, first = len(state["step"]), self.latent_shape[:-1], int(state["step"][0])
        noise = [
            self.network.head.noise(np.random.default_rng([seed, step]), (b, *spatial), temperature)
            for step in range(first, first + steps)
        ]
        like = np.empty((b, steps, *spatial, 0), np.float32)
        streams = [ops.convert_to_numpy(join_condition(c, like)) for c in self.checked_streams(conditions, b, steps)]
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

    def checked_streams(self, conditions: Mapping[str, np.ndarray] | None, b: int, t: int) -> list[np.ndarray]:
        """The streams that drive it, in the order of their names: (b, t, f) float32 each.

        Raises:
            UsageError: one is missing, unknown or of another shape.
        """
        given = {name: np.shape(a) for name, a in (conditions or {}).items()}
        expected = {name: (b, t, f) for name, f in self.conditions.items()}
        if given != expected:
            raise UsageError(
                f"{self.name} is driven by {_shapes(expected)}; it was given {_shapes(given)}. "
                "Give each stream that it was trained with, one row an item."
            )
        return [np.asarray((conditions or {})[name], np.float32) for name in sorted(expected)]

    def _measure_range(self, windows: Windows, most: int) -> None:
        """How far the latents of at most so many windows reach, standardised, and a margin."""
        offset, scale = (ops.convert_to_numpy(x) for x in (self.network.offset, self.network.scale))
        low, high, radius = np.inf, -np.inf, 0.0
        for batch in _spread_batches(windows, most):
            z = (batch["mean"].astype(np.float64) - offset) / scale
            over = tuple(range(z.ndim - 1))  # Of each dimension, as the statistics.
            low, high = np.minimum(low, z.min(over)), np.maximum(high, z.max(over))
            radius = max(radius, float(np.linalg.norm(z, axis=-1).max()))
        self.network.low.assign(np.broadcast_to(low - MARGIN, self.latent_shape))
        self.network.high.assign(np.broadcast_to(high + MARGIN, self.latent_shape))
        self.network.radius.assign(radius + MARGIN)

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


def _statistics(windows: Windows, *, spread: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, standard deviation, and usual step in units of it; (*latent_shape) each.

    Of each dimension of a vector and of each channel of a map: one that moves across a map has the same numbers
    everywhere, so that one kernel fits all positions. Over at most ``STATISTICS_WINDOWS`` windows, evenly spread.

    With ``spread``, a dimension is also scaled by the standard deviation of its posterior where that is larger: of a
    film without motion the means hardly differ, and in their units a posterior would be a million wide.
    """
    n, total, squares, steps, variance = 0, np.zeros(()), np.zeros(()), np.zeros(()), np.zeros(())
    for batch in _spread_batches(windows, STATISTICS_WINDOWS):
        z = batch["mean"].astype(np.float64)
        shape, over = z.shape[2:], tuple(range(z.ndim - 1))
        n += z[..., 0].size
        total, squares = total + z.sum(over), squares + np.square(z).sum(over)
        steps = steps + np.square(np.diff(z, axis=1)).mean(over) * z[..., 0].size
        if spread:
            variance = variance + np.exp(batch["log_var"].astype(np.float64)).sum(over)
    offset = total / n
    deviation = np.sqrt(np.maximum(squares / n - np.square(offset), 0))
    floor = max(MIN_SHARE * float(np.sqrt(np.square(deviation).mean())), 1e-6)
    scale = np.maximum(np.maximum(deviation, floor), np.sqrt(variance / n))
    offset, scale, step = (
        np.broadcast_to(x, shape) for x in (offset, scale, np.sqrt((steps + variance) / n) / scale)
    )
    return offset.astype(np.float32), scale.astype(np.float32), step


def _spread_batches(windows: Windows, most: int) -> Iterator[Batch]:
    """At most so many windows, evenly spread, 100 at a time."""
    chosen = np.linspace(0, len(windows) - 1, min(len(windows), most)).astype(np.int64)
    for start in range(0, len(chosen), 100):
        yield windows.take(chosen[start : start + 100])


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return listed(f"{name} {shape}" for name, shape in shapes.items()) if shapes else "no stream"
