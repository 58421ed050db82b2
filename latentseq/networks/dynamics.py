"""The kit for dynamics: write four methods around any recurrent Keras layers, and inherit everything else."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Batch, Latents, Source, State, Windows, as_items, check_rolling
from latentseq.data.windows import ShortWindows
from latentseq.errors import UsageError, join_names
from latentseq.networks.checks import check_least, check_share, check_streams
from latentseq.networks.forecast import HeadForecast
from latentseq.networks.heads import build_head, head_names, load_head
from latentseq.networks.recurrent import DynamicsNetwork, join_condition
from latentseq.networks.residuals import free_error, one_step_error
from latentseq.networks.start import fit_range, fit_start
from latentseq.networks.tunable import TunableDynamics
from latentseq.protocols import Forecast, History, Trainer

SHORT = 8
"""Length of the short windows that training begins with: more of them fit into a minute."""
SHORT_SHARE = 0.35
"""Share of the budget for short windows, if whole windows are at least twice as long."""
RECALIBRATION_WINDOWS = 300
"""Number of windows that the range is measured on after tuning, when frames have to be encoded for it."""


class KerasDynamics(TunableDynamics):
    """Dynamics around recurrent Keras layers, of any number of states.

    A subclass writes a constructor, which calls this one last, and four methods: ``build``, ``start``, ``advance``
    and ``step``. It inherits standardisation and statistics, residual prediction, the checks of latents and streams,
    noise keyed by step, forecasts with a head, closed-loop training, tuning on frames, saving, and a rollout that is
    compiled as a whole.
    """

    map_latents: ClassVar[bool | None] = None
    """True if latents have to be maps (h', w', d), False if they have to be vectors (d,), None if both will do."""
    batch_size: ClassVar[int] = 32
    """Windows of a training batch, unless the user chooses another number."""
    learning_rate: ClassVar[float] = 2e-3
    """Learning rate at its highest, unless the user chooses another one."""

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
        linear_start: bool = True,
        seed: int = 0,
    ):
        """Build the network. A subclass calls this at the end of its constructor, with the options that it offers.

        Args:
            latent_shape: shape of one latent: (d,) for vectors, (h', w', d) for maps.
            conditions: width of every side stream that drives the model.
            head: name of the head, which defines the density and the loss.
            head_options: options of the head.
            residual: predict the difference to the last latent.
            free_steps: items at the end of a training window that the model reaches from its own forecasts; at most
                half of a window. 0 trains on true items only (teacher forcing).
            latent_noise: standard deviation of the noise on true items in training, in standardised units.
            scheduled_sampling: share of the true items that are replaced by forecasts in training.
            linear_start: begin with an autoregression that is fitted in closed form, where that predicts validation
                data better than repeating the last latent. The network learns what it leaves over.
            seed: random seed of the initial weights and of training noise.

        Raises:
            UsageError: an option out of its range, latents of another rank, or no such head.
        """
        self.latent_shape = tuple(latent_shape)
        self.conditions = dict(conditions or {})
        self.residual = residual
        self.free_steps = free_steps
        self.latent_noise = latent_noise
        self.scheduled_sampling = scheduled_sampling
        self.linear_start = linear_start
        self.seed = seed
        self._check_latents()
        check_share(self.name, "scheduled_sampling", scheduled_sampling)
        check_least(self.name, 0, free_steps=free_steps, latent_noise=latent_noise)
        density = build_head(head, self.latent_shape[-1], head_options or {})
        self.head = head
        self.head_options = {key: value for key, value in density.get_config().items() if key != "d"}
        self.network = DynamicsNetwork(
            self,
            density,
            latent_shape=self.latent_shape,
            residual=residual,
            latent_noise=latent_noise,
            scheduled_sampling=scheduled_sampling,
            free_steps=free_steps,
            linear=linear_start,
            conditions=sum(self.conditions.values()),
            seed=seed,
        )
        self.network.attach(self.build(), self.readout_layers())
        shapes = {"mean": self.latent_shape, "log_var": self.latent_shape}
        shapes |= {name: (f,) for name, f in self.conditions.items()}
        window = {name: np.zeros((1, 2, *shape), np.float32) for name, shape in shapes.items()}
        self.network.loss_of(self.network(window))  # Builds all layers, those of the head included.
        self._observe = Observe(self.network)
        self._imagine = Imagine(self.network)

    @abstractmethod
    def build(self) -> list[keras.layers.Layer]:
        """Make the recurrent layers, keep them as attributes, and return them.

        The base class builds their weights. Give every layer a name, since weights are stored by name, and
        initialisers with a seed, so that ``seed`` decides the initial weights.
        """

    @abstractmethod
    def start(self, b: int) -> list[Any]:
        """The first states of b rows: a list of tensors (b, ...), one for each state of the recurrent layers."""

    @abstractmethod
    def advance(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """Process a sequence.

        Args:
            x: (b, t, ..., c): standardised latents, their differences, and conditions, as channels.
            states: as ``start`` gives them.

        Returns:
            Features (b, t, ..., any number of channels) and the states after the last item. A dense layer of the
            base class turns features and inputs into the outputs of the head. Keras switches dropout layers on in
            training, so there is no argument for it.
        """

    @abstractmethod
    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """Process one item: x (b, ..., c) to features (b, ..., channels) and the states after it.

        Without dropout, its result has to be that of ``advance`` on a sequence of one item.
        """

    def readout_layers(self) -> list[keras.layers.Layer]:
        """Make hidden layers between the features and the head; none by default. They see the inputs as well."""
        return []

    def learned_states(self, *shapes: tuple[int, ...]) -> list[Any]:
        """Make trainable first states, one for each shape without its batch axis. Call it once, in ``build``."""
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
    def upgrade(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Configurable.upgrade``; ``components`` became an option of the head ``mixture``."""
        options = super().upgrade(options)
        keywords = cls.keywords()
        if "components" not in options or "components" in keywords or "head_options" not in keywords:
            return options
        components = options.pop("components")
        if options.get("head", keywords["head"].default) == "mixture":
            options["head_options"] = {"components": components, **(options.get("head_options") or {})}
        return options

    @property
    def networks(self) -> dict[str, keras.Model]:
        """One network, with the statistics among its weights."""
        return {"network": self.network}

    def optional_weights(self) -> set[str]:
        """The range of the training latents, and what is fitted before training; earlier versions lack them."""
        weights = [*self.network.range_weights, *self.network.start_weights]
        return {f"network/{weight.path}" for weight in weights}

    def burn_in(self, length: int) -> int:
        """See ``TunableDynamics.burn_in``."""
        return self.network.burn_in(length)

    def forecasts(self, batch: Batch, skip: int, training: bool) -> Any:
        """See ``TunableDynamics.forecasts``."""
        return self.network(batch, training=training, skip=skip)["z"]

    def calibrate(self, latents: Source) -> None:
        """See ``TunableDynamics.calibrate``: the range of latents, and the one-step error as ``spread``."""
        fit_range(self.network, latents.train, RECALIBRATION_WINDOWS)
        self.network.spread.assign(one_step_error(self, latents.validation, self.network.scale))

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Dynamics.fit``.

        Raises:
            UsageError: the data lacks a stream, or the posterior that the head needs.
        """
        network = self.network
        window = source.train.take(np.arange(1))
        self._check_window(window)
        names = {"mean", "log_var", *self.conditions}
        inputs = source.map(lambda batch: {key: rows for key, rows in batch.items() if key in names})
        error = fit_start(network, inputs, tuple(sorted(self.conditions)), trainer)
        first = History()
        if self.free_steps and window["mean"].shape[1] >= 2 * SHORT:
            first = self._fit_short(inputs, trainer.part("", SHORT_SHARE), error)
            trainer = trainer.part("", 1 - SHORT_SHARE)
        history = self._fit(inputs, trainer, "main")
        network.spread.assign(one_step_error(self, inputs.validation, network.scale))
        return History(first.rows + history.rows, history.best)

    def observe(
        self, latents: Latents, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Forecast, State]:
        """See ``Dynamics.observe``."""
        network = self.network
        z = as_items(latents.mean, self.latent_shape, "latents", axes=2)
        b, t = z.shape[:2]
        streams = check_streams(self.name, self.conditions, conditions, b, t)
        if state is None:
            states = [np.array(ops.convert_to_numpy(s)) for s in self.start(b)]
            before = ops.convert_to_numpy(network.standardise(z[:, 0]))
            step = np.zeros(b, np.int64)
        else:
            states, before, step = _layer_states(state), state["last"], state["step"]
        after = self._observe.predict_on_batch({"z": z, "before": before, "conditions": streams, "states": states})
        statistics = {name: ops.convert_to_numpy(getattr(network, name)) for name in ("spread", "offset", "scale")}
        forecast = HeadForecast(network.head, after["outputs"], after["base"], **statistics)
        arrays = [after["outputs"][:, -1], after["base"][:, -1], after["last"], *after["states"]]
        return forecast, _state(arrays, step + t)

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Dynamics.imagine``. The step number of the first row decides the noise of all rows.

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
        streams = [
            ops.convert_to_numpy(join_condition(c, like))
            for c in check_streams(self.name, self.conditions, conditions, b, steps)
        ]
        z, *after = self._imagine.predict_on_batch(
            {
                "noise": np.stack(noise, axis=1),
                "conditions": np.concatenate([like, *streams], axis=-1),
                "states": [state["outputs"], state["base"], state["last"], *_layer_states(state)],
            }
        )
        return z, _state(after, state["step"] + steps)

    def _check_latents(self) -> None:
        """Refuse latents that the layers do not take."""
        is_map = len(self.latent_shape) == 3
        if self.map_latents is not None and is_map != self.map_latents:
            kind, wanted = ("maps", "vectors (d,)") if is_map else ("vectors", "maps (h, w, d)")
            cure = "Train an encoder with a vector latent" if is_map else "Train an encoder with --set latent=map"
            other = "conv-lstm" if is_map else "lstm"
            raise UsageError(
                f"{self.name}: the latents are {kind} of shape {self.latent_shape}; expected {wanted}. "
                f"{cure}, or choose --dynamics {other}."
            )

    def _check_window(self, batch: Batch) -> None:
        """Refuse training data that lacks a stream, or the posterior that the head needs."""
        if missing := set(self.conditions) - set(batch):
            raise UsageError(f"The data has no stream {join_names(missing)}, which conditions ask for.")
        if self.network.head.needs_posterior and "log_var" not in batch:
            fitting = join_names(name for name in head_names() if not load_head(name).needs_posterior)
            raise UsageError(
                f"The head {self.head!r} needs the encoder's posterior, and this encoder gives a mean only. "
                f"Heads that work with it: {fitting}."
            )

    def _fit(self, source: Source, trainer: Trainer, stage: str) -> History:
        return trainer.fit(
            self.network,
            source,
            stage=stage,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            clip_norm=1.0,
        )

    def _fit_short(self, source: Source, trainer: Trainer, error: float | None) -> History:
        """Train on short windows. If free steps of whole windows do not get better than at the start, go back to it.

        Args:
            source: whole windows.
            trainer: trainer with the share of the budget for short windows.
            error: squared error of free steps at the start; None if it is unknown.
        """
        start = self.network.get_weights()
        known = {id(weight) for weight in self.network.weights}
        seeds = [(v, np.array(v)) for v in self.network.variables if id(v) not in known]
        parts = Source(ShortWindows(source.train, SHORT), _shortened(source.validation), source.gain)
        history = self._fit(parts, trainer, "short")
        if error is not None and not free_error(self, source.validation, self.network.scale, self.burn_in) < error:
            trainer.say("short windows did not help on whole ones; training goes back to its start")
            self.network.set_weights(start)
        # Whole windows begin with the first seeds, so a run that resumes there goes on with the same noise.
        for variable, value in seeds:
            variable.assign(value)
        return history


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
        return {"outputs": outputs, "base": self.network.base(x), "states": states, "last": z[:, -1]}


class Imagine(keras.Model):
    """A compiled program: a whole rollout in one call."""

    def __init__(self, network: DynamicsNetwork):
        """Share the network."""
        super().__init__(name="imagine")
        self.network = network

    def call(self, inputs: dict[str, Any]) -> list[Any]:
        """``noise``, ``conditions``, ``states`` as in ``roll`` -> items in the encoder's units, states."""
        z, _, _, states = self.network.roll(inputs["noise"], inputs["conditions"], inputs["states"])
        return [z * self.network.scale + self.network.offset, *states]


def _shortened(windows: Windows) -> Windows:
    """Short windows of validation windows, which may be too short themselves."""
    length = windows.take(np.arange(1))["mean"].shape[1]
    return ShortWindows(windows, SHORT) if length > SHORT else windows


def _state(arrays: list[Any], step: np.ndarray) -> State:
    """The state for the outside: outputs, base, last item, states of the layers, and the step (b,)."""
    outputs, base, last, *states = arrays
    return {
        "outputs": outputs,
        "base": base,
        "last": last,
        **{f"layer_{i}": s for i, s in enumerate(states)},
        "step": step,
    }


def _layer_states(state: State) -> list[np.ndarray]:
    return [state[f"layer_{i}"] for i in range(sum(name.startswith("layer_") for name in state))]
