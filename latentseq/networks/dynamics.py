"""The kit for dynamics: write four methods around any recurrent Keras layers, and inherit everything else."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Batch, Latents, Source, State, Windows, as_items, check_rolling
from latentseq.data.windows import validation_batches
from latentseq.errors import UsageError, listed
from latentseq.networks.forecast import HeadForecast
from latentseq.networks.heads import head_names, load_head
from latentseq.networks.recurrent import DynamicsNetwork, join_condition
from latentseq.networks.statistics import WINDOWS, measure_range, measure_statistics
from latentseq.networks.tunable import TunableDynamics
from latentseq.protocols import Forecast, History, Trainer

MIN_SPREAD = 1e-3
RECALIBRATION_WINDOWS = 300
"""Windows that the range is measured on after tuning, when frames have to be encoded for it."""


class KerasDynamics(TunableDynamics):
    """Dynamics around recurrent Keras layers, of any number of states.

    A subclass writes a constructor, which calls this one last, and four methods: ``build``, ``start``, ``advance``
    and ``step``. It inherits standardisation and statistics, residual prediction, the checks of latents and streams,
    noise keyed by step, forecasts with a head, closed-loop training, tuning on frames, saving, and a rollout that is
    compiled as a whole.
    """

    map_latents: ClassVar[bool | None] = None
    """True where latents have to be maps (h', w', d), False where they have to be vectors (d,), None for both."""
    batch_size: ClassVar[int] = 32
    learning_rate: ClassVar[float] = 2e-3

    def __init__(
        self,
        latent_shape: list[int],
        conditions: dict[str, int] | None = None,
        *,
        head: str = "mse",
        head_options: dict[str, Any] | None = None,
        residual: bool = True,
        free_steps: int = 10,
        latent_noise: float = 0.0,
        scheduled_sampling: float = 0.0,
        seed: int = 0,
    ):
        """Build the network. A subclass calls this at the end of its constructor, with those that it offers.

        Args:
            latent_shape: shape of one latent: (d,) for vectors, (h', w', d) for maps.
            conditions: width of every side stream that drives the model.
            head: name of the head, which says what the output means.
            head_options: options of the head.
            residual: predict the difference to the last latent.
            free_steps: items at the end of a training window that the model reaches from its own forecasts; at most
                half of a window. 0 trains on true items only (teacher forcing).
            latent_noise: standard deviation of the noise on true items in training, in standardised units.
            scheduled_sampling: share of the true items that are replaced by forecasts in training.
            seed: random seed of the initial weights and of training noise.

        Raises:
            UsageError: an option out of its range, latents of another rank, or no such head.
        """
        self.latent_shape, self.conditions = tuple(latent_shape), dict(conditions or {})
        self.residual, self.free_steps, self.seed = residual, free_steps, seed
        self.latent_noise, self.scheduled_sampling = latent_noise, scheduled_sampling
        self._check_latents()
        check_share(self.name, "scheduled_sampling", scheduled_sampling)
        check_least(self.name, 0, free_steps=free_steps, latent_noise=latent_noise)
        kind = load_head(head).from_config({"d": self.latent_shape[-1], **(head_options or {})})
        self.head = head
        self.head_options = {key: value for key, value in kind.get_config().items() if key != "d"}
        self.network = DynamicsNetwork(
            self,
            kind,
            latent_shape=self.latent_shape,
            residual=residual,
            latent_noise=latent_noise,
            scheduled_sampling=scheduled_sampling,
            free_steps=free_steps,
            seed=seed,
        )
        self.network.attach(self.build(), self.readout_layers())
        window = {"mean": np.zeros((1, 2, *self.latent_shape), np.float32)}
        self.network(window | {name: np.zeros((1, 2, f), np.float32) for name, f in self.conditions.items()})
        self._observe, self._imagine = Observe(self.network), Imagine(self.network)

    @abstractmethod
    def build(self) -> list[keras.layers.Layer]:
        """Make the recurrent layers, keep them as attributes, and return them. Their weights are built by the kit."""

    @abstractmethod
    def start(self, b: int) -> list[Any]:
        """The first states of b rows: a list of tensors (b, ...)."""

    @abstractmethod
    def advance(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """Process a sequence.

        Args:
            x: (b, t, ..., c): standardised latents, their differences, and conditions, as channels.
            states: as ``start`` gives them.

        Returns:
            Features (b, t, ..., any number of channels), from which a dense layer makes the outputs of the head, and
            the states after the last item. Dropout layers are active in training without being told.
        """

    @abstractmethod
    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """``advance`` by one item: x (b, ..., c) to features (b, ..., channels) and the states after it."""

    def readout_layers(self) -> list[keras.layers.Layer]:
        """Hidden layers between the features and the head; none by default. They see the inputs as well."""
        return []

    def learned_states(self, *shapes: tuple[int, ...]) -> list[Any]:
        """Weights of learned first states, one for each shape without its batch axis; called in ``build``."""
        return [
            self.network.add_weight(shape=shape, initializer="zeros", name=f"first_state_{i}")
            for i, shape in enumerate(shapes)
        ]

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Configurable.complete``; the head's options get their defaults as well."""
        complete = super().complete(options)
        if "head_options" in complete and complete.get("head") in head_names():
            complete["head_options"] = load_head(complete["head"]).complete(complete["head_options"] or {})
        return complete

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """See ``Configurable.from_config``; ``components`` was an option of the model in old configurations."""
        if "components" in config and "components" not in cls.keywords():
            config = dict(config)
            components = config.pop("components")
            if config.get("head") == "mixture":
                config["head_options"] = {"components": components}
        return super().from_config(config)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """One network, with the statistics among its weights."""
        return {"network": self.network}

    def optional_weights(self) -> set[str]:
        """The range, which was not kept at first."""
        return {f"network/{weight.path}" for weight in self.network.range_weights}

    def burn_in(self, length: int) -> int:
        """See ``TunableDynamics.burn_in``."""
        return self.network.burn_in(length)

    def forecasts(self, batch: Batch, skip: int, training: bool) -> Any:
        """See ``TunableDynamics.forecasts``."""
        return self.network(batch, training=training, skip=skip)["z"]

    def calibrate(self, latents: Source) -> None:
        """See ``TunableDynamics.calibrate``: the range of latents, and the one-step error as ``spread``."""
        self._measure_range(latents.train, RECALIBRATION_WINDOWS)
        self.network.spread.assign(self._residual(latents.validation))

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Dynamics.fit``.

        Raises:
            UsageError: the data lacks a stream, or the posterior that the head needs.
        """
        network, head = self.network, self.network.head
        self._check_window(source.train.take(np.arange(1)))
        names = {"mean", "log_var", *self.conditions}
        chosen = source.map(lambda batch: {key: rows for key, rows in batch.items() if key in names})
        offset, scale, step = measure_statistics(source.train, posterior=head.needs_posterior)
        network.offset.assign(offset)
        network.scale.assign(scale)
        self._measure_range(source.train, WINDOWS)
        # Where differences are predicted, the first forecast is the last item, give or take a usual step.
        usual = step.reshape(-1, step.shape[-1]).mean(axis=0) if self.residual else np.ones(step.shape[-1])
        network.output_layer.last.bias.assign(head.first_bias(usual))
        history = trainer.fit(
            network, chosen, batch_size=self.batch_size, learning_rate=self.learning_rate, clip_norm=1.0
        )
        network.spread.assign(self._residual(chosen.validation))
        return history

    def observe(
        self, latents: Latents, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Forecast, State]:
        """See ``Dynamics.observe``."""
        network = self.network
        z = as_items(latents.mean, self.latent_shape, "latents", axes=2)
        b, t = z.shape[:2]
        streams = self.check_streams(conditions, b, t)
        if state is None:
            states = [np.array(ops.convert_to_numpy(s)) for s in self.start(b)]
            before = ops.convert_to_numpy(network.standardise(z[:, 0]))
            step = np.zeros(b, np.int64)
        else:
            states, before, step = _layer_states(state), state["last"], state["step"]
        after = self._observe.predict_on_batch({"z": z, "before": before, "conditions": streams, "states": states})
        statistics = {name: ops.convert_to_numpy(getattr(network, name)) for name in ("spread", "offset", "scale")}
        forecast = HeadForecast(network.head, after["outputs"], after["base"], **statistics)
        return forecast, _state([after["outputs"][:, -1], after["last"], *after["states"]], step + t)

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Dynamics.imagine``. The noise of all rows is that of the step at which the first row is.

        Raises:
            UsageError: steps, seed or temperature out of range, or other conditions than the model was trained with.
        """
        check_rolling(steps=steps, seed=seed, temperature=temperature)
        b, spatial, first = len(state["step"]), self.latent_shape[:-1], int(state["step"][0])
        noise = [
            self.network.head.noise(np.random.default_rng([seed, step]), (b, *spatial), temperature)
            for step in range(first, first + steps)
        ]
        like = np.empty((b, steps, *spatial, 0), np.float32)
        streams = [ops.convert_to_numpy(join_condition(c, like)) for c in self.check_streams(conditions, b, steps)]
        z, *after = self._imagine.predict_on_batch(
            {
                "noise": np.stack(noise, axis=1),
                "conditions": np.concatenate([like, *streams], axis=-1),
                "states": [state["outputs"], state["last"], *_layer_states(state)],
            }
        )
        return z, _state(after, state["step"] + steps)

    def check_streams(self, conditions: Mapping[str, np.ndarray] | None, b: int, t: int) -> list[np.ndarray]:
        """The streams that drive the model, in alphabetical order: (b, t, f) float32 each.

        Raises:
            UsageError: a stream is missing, unknown or of another shape.
        """
        received = {name: np.shape(a) for name, a in (conditions or {}).items()}
        expected = {name: (b, t, f) for name, f in self.conditions.items()}
        if received != expected:
            raise UsageError(
                f"{self.name} is driven by {_shapes(expected)}; it was given {_shapes(received)}. "
                "Give each stream that it was trained with, one row an item."
            )
        return [np.asarray((conditions or {})[name], np.float32) for name in sorted(expected)]

    def _check_latents(self) -> None:
        """Refuse latents that the layers do not take."""
        is_map = len(self.latent_shape) == 3
        if self.map_latents is not None and is_map != self.map_latents:
            found, wanted = ("maps", "vectors (d,)") if is_map else ("vectors", "maps (h, w, d)")
            cure = "Train an encoder with a vector latent" if is_map else "Train an encoder with --set latent=map"
            other = "conv-lstm" if is_map else "lstm"
            raise UsageError(
                f"{self.name}: the latents are {found} of shape {self.latent_shape}; expected {wanted}. "
                f"{cure}, or choose --dynamics {other}."
            )

    def _check_window(self, batch: Batch) -> None:
        """Refuse data without what the model needs."""
        if missing := set(self.conditions) - set(batch):
            raise UsageError(f"The data has no stream {listed(missing)}, which conditions ask for.")
        if self.network.head.needs_posterior and "log_var" not in batch:
            fitting = listed(name for name in head_names() if not load_head(name).needs_posterior)
            raise UsageError(
                f"The head {self.head!r} needs the encoder's posterior, and this encoder gives a mean only. "
                f"Heads that work with it: {fitting}."
            )

    def _measure_range(self, windows: Windows, at_most: int) -> None:
        network = self.network
        offset, scale = (ops.convert_to_numpy(x) for x in (network.offset, network.scale))
        reach = measure_range(windows, offset, scale, at_most)
        for weight, value in zip((network.low, network.high, network.radius), reach, strict=True):
            weight.assign(value)

    def _residual(self, windows: Windows) -> np.ndarray:
        """Root mean square of the one-step error on validation windows, standardised; (*latent_shape)."""
        squares, n = np.zeros(()), 0
        for batch in validation_batches(windows, 32):
            # By observe, since in training the last items are reached in a closed loop.
            z, streams = batch["mean"], {name: batch[name][:, :-1] for name in self.conditions}
            forecast, _ = self.observe(Latents(z[:, :-1]), conditions=streams)
            error = (forecast.mean - z[:, 1:]) / ops.convert_to_numpy(self.network.scale)
            squares, n = squares + np.square(error).sum((0, 1)), n + error.shape[0] * error.shape[1]
        return np.maximum(np.sqrt(squares / n), MIN_SPREAD)


class Observe(keras.Model):
    """A compiled program: standardise latents and advance over them."""

    def __init__(self, network: DynamicsNetwork):
        """Share the network."""
        super().__init__(name="observe")
        self.network = network

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """``z`` (b, t, *latent_shape), the item ``before``, ``conditions``, ``states`` -> outputs, base, states."""
        z = self.network.standardise(inputs["z"])
        conditions = ops.concatenate([z[..., :0], *(join_condition(c, z) for c in inputs["conditions"])], axis=-1)
        x = self.network.inputs(z, inputs["before"], conditions)
        outputs, states = self.network.advance(x, inputs["states"])
        return {"outputs": outputs, "base": self.network.base(z), "states": states, "last": z[:, -1]}


class Imagine(keras.Model):
    """A compiled program: a whole rollout in one call."""

    def __init__(self, network: DynamicsNetwork):
        """Share the network."""
        super().__init__(name="imagine")
        self.network = network

    def call(self, inputs: dict[str, Any]) -> list[Any]:
        """``noise``, ``conditions``, ``states`` as in ``roll`` -> items in the encoder's units, states."""
        z, _, states = self.network.roll(inputs["noise"], inputs["conditions"], inputs["states"])
        return [z * self.network.scale + self.network.offset, *states]


def check_share(name: str, option: str, value: float) -> None:
    """Refuse a share that is none.

    Raises:
        UsageError: it is below 0, or 1 or more.
    """
    if not 0 <= value < 1:
        raise UsageError(f"{name}: {option} is {value}; expected a share from 0 to below 1.")


def check_least(name: str, least: int, **options: float) -> None:
    """Refuse options below their least value.

    Raises:
        UsageError: one is.
    """
    for option, value in options.items():
        if value < least:
            raise UsageError(f"{name}: {option} is {value}; expected {least} or more.")


def check_widths(name: str, option: str, widths: list[int]) -> None:
    """Refuse layers without channels; no layer at all is fine.

    Raises:
        UsageError: a width below 1.
    """
    if widths and min(widths) < 1:
        raise UsageError(f"{name}: {option} is {list(widths)}; expected widths of 1 or more, or none.")


def _state(arrays: list[Any], step: np.ndarray) -> State:
    """The state for the outside: outputs, last item, states of the layers, and the step (b,)."""
    outputs, last, *states = arrays
    return {"outputs": outputs, "last": last, **{f"layer_{i}": s for i, s in enumerate(states)}, "step": step}


def _layer_states(state: State) -> list[np.ndarray]:
    return [state[f"layer_{i}"] for i in range(sum(name.startswith("layer_") for name in state))]


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return listed(f"{name} {shape}" for name, shape in shapes.items()) if shapes else "no stream"
