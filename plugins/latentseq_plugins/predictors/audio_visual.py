"""A transformer over frames and sound, whose output is the first state of a convolutional LSTM."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Batch, Latents, Source, State
from latentseq.configurable import Presets
from latentseq.errors import UsageError, join_names
from latentseq.networks.checks import check_streams
from latentseq.networks.plugin import KerasPlugin, LossNetwork, swish
from latentseq.networks.recurrent import DynamicsNetwork, join_condition
from latentseq.protocols import History, Predictor, Trainer
from latentseq_plugins.predictors.context import check_length, check_observed
from latentseq_plugins.predictors.conv_lstm import FrameConvLSTM

BANDS = 16
"""Number of sound features in one token."""


class AudioVisual(KerasPlugin, Predictor):
    """Encodes ``context`` frames and their sound with a transformer, and continues with a convolutional LSTM.

    The model stores frames until the context is complete. Then the output of the transformer is the first state of
    the LSTM, which receives every further frame, observed or imagined, with its sound.

    References:
        Akbari et al., VATT: Transformers for Multimodal Self-Supervised Learning, arXiv 2104.11178.
    """

    name = "audio-visual"
    description = "Transformer over frames and sound, whose output starts a convolutional LSTM."
    presets: ClassVar[Presets] = {
        "tiny": {"context": 3, "width": 8, "blocks": 1, "units": 4, "readout": [4]},
        "cpu": {},
        "gpu": {"width": 256, "blocks": 6, "attention_heads": 8, "units": 128, "readout": [128, 128]},
    }

    def __init__(
        self,
        input_shape: list[int],
        conditions: dict[str, int],
        context: int = 5,
        patch: int = 4,
        width: int = 64,
        blocks: int = 2,
        attention_heads: int = 4,
        units: int = 32,
        readout: list[int] = (32, 32),  # type: ignore[assignment]
        free_steps: int = 10,
        seed: int = 0,
    ):
        """Build the networks.

        Args:
            input_shape: frame shape (h, w, c).
            conditions: name and width of every stream, ``audio`` among them; other streams are treated like sound.
            context: number of frames before the first prediction.
            patch: side of the patches of the LSTM in pixels; the tokens of a frame have twice that side.
            width: number of features of a token.
            blocks: number of blocks of the transformer.
            attention_heads: number of attention heads of each block.
            units: channels of the LSTM.
            readout: channels of each convolution after the LSTM.
            free_steps: number of steps at the end of a training window that the model predicts from its own
                predictions (closed loop); at most half of the frames after the context.
            seed: random seed of the initial weights.

        Raises:
            UsageError: an option is out of range, or there is no stream ``audio``.
        """
        if "audio" not in conditions:
            streams = join_names(conditions) if conditions else "no streams"
            raise UsageError(
                f"audio-visual needs the stream audio, but the data has {streams}. Use clips with sound, which "
                "ingest makes from films with sound, or the dataset sounding-shapes."
            )
        for key, value in {
            "context": context,
            "width": width,
            "blocks": blocks,
            "attention_heads": attention_heads,
        }.items():
            if value < 1:
                raise UsageError(f"audio-visual: {key} is {value}; expected 1 or more.")
        self.input_shape = tuple(input_shape)
        self.conditions = dict(conditions)
        self.context = context
        self.patch = patch
        self.width = width
        self.blocks = blocks
        self.attention_heads = attention_heads
        self.units = units
        self.readout = tuple(readout)
        self.free_steps = free_steps
        self.seed = seed
        self.decoder = FrameConvLSTM(
            list(input_shape),
            conditions=dict(conditions),
            patch=patch,
            units=units,
            readout=list(readout),
            free_steps=free_steps,
            seed=seed,
        )
        self._shape = self.decoder.dynamics.latent_shape
        self.coder = Coder(
            self._shape[:-1], width=width, blocks=blocks, heads=attention_heads, units=units, seed=seed + 1000
        )
        self.network = AudioVisualNetwork(self.coder, self.decoder.dynamics.network, context)
        self.network(self._window(np.zeros((1, context + 1, *self._shape), np.float32)))

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The transformer and the LSTM."""
        return {"coder": self.coder, **self.decoder.networks}

    def optional_weights(self) -> set[str]:
        """See ``KerasPlugin.optional_weights``."""
        return {key for key in self._weights() if key.endswith(("/input_unit", "/output/unit"))}

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Predictor.fit``; the loss is the squared error of frames, as in the predictor ``conv-lstm``.

        Raises:
            UsageError: the windows are not longer than the context.
        """
        parts = source.map(self.decoder.cut)
        check_length(self.name, self.context, parts, "mean")
        return trainer.fit(self.network, parts, batch_size=8, learning_rate=2e-3, clip_norm=1.0)

    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``; while the context is incomplete, the forecast is the last frame."""
        patches = self.decoder.checked_patches(frames)
        b, t = patches.shape[:2]
        arrays = check_streams(self.decoder.dynamics.name, self.conditions, conditions, b, t)
        streams = dict(zip(sorted(self.conditions), arrays, strict=True))
        state = self._initial_state(b) if state is None else dict(state)
        step, context = int(state["step"][0]), self.context
        fresh = min(t, max(0, context - step))  # Number of frames that still belong to the context.
        for key, rows in {"patches": patches, **streams}.items():
            stored = np.array(state[f"seen_{key}"])
            stored[:, step : step + fresh] = rows[:, :fresh]
            state[f"seen_{key}"] = stored
        forecasts, waiting = patches.copy(), min(t, max(0, context - 1 - step))
        if waiting < t:
            lstm_state = {k: v for k, v in state.items() if not k.startswith("seen_")}
            if step < context:
                sound = np.concatenate([state[f"seen_{name}"] for name in sorted(self.conditions)], axis=-1)
                code = self.coder.predict_on_batch({"patches": state["seen_patches"], "sound": sound})
                layers_state = {f"layer_{i}": np.asarray(array) for i, array in enumerate(code)}
                lstm_state |= {"last": patches[:, waiting], **layers_state}
            rest = {k: v[:, waiting:] for k, v in streams.items()}
            forecast, lstm_state = self.decoder.dynamics.observe(
                Latents(patches[:, waiting:]), lstm_state, conditions=rest
            )
            forecasts[:, waiting:] = forecast.mean
            state |= lstm_state
        return self.decoder.to_frames(forecasts), state | {"step": np.full(b, step + t, np.int64)}

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``; the prediction is deterministic.

        Raises:
            UsageError: fewer frames than the context were observed.
        """
        check_observed(self.name, self.context, int(state["step"].min()))
        frames, after = self.decoder.imagine(state, steps, seed=seed, temperature=temperature, conditions=conditions)
        return frames, {**state, **after}

    def _initial_state(self, b: int) -> State:
        """The state before the first frame."""
        maps = {"patches": (self.context, *self._shape), **{k: (self.context, f) for k, f in self.conditions.items()}}
        state = {f"seen_{k}": np.zeros((b, *shape), np.float32) for k, shape in maps.items()}
        state |= {k: np.zeros((b, *self._shape), np.float32) for k in ("outputs", "last")}
        state |= {f"layer_{i}": np.zeros((b, *self._shape[:-1], self.units), np.float32) for i in range(2)}
        return state | {"step": np.zeros(b, np.int64)}

    def _window(self, patches: np.ndarray) -> Batch:
        return {
            "mean": patches,
            **{k: np.zeros((*patches.shape[:2], f), np.float32) for k, f in self.conditions.items()},
        }


class AudioVisualNetwork(LossNetwork):
    """Trains the transformer and the LSTM together."""

    def __init__(self, coder: "Coder", decoder: DynamicsNetwork, context: int):
        """Combine the networks, with shared weights."""
        super().__init__(name="audio_visual")
        self.coder = coder
        self.decoder = decoder
        self.context = context

    def build(self, *_: Any) -> None:
        """Do nothing: the parts are built in the first call."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Compute the inputs of the LSTM's loss from windows of patches, ``mean`` (b, t, h', w', d), and streams."""
        z, names = batch["mean"], sorted(k for k in batch if k != "mean")
        sound = ops.concatenate([batch[name] for name in names], axis=-1)
        states = self.coder({"patches": z[:, : self.context], "sound": sound[:, : self.context]}, training=training)
        z = z[:, self.context - 1 :]
        joined = [join_condition(batch[name][:, self.context - 1 :], z) for name in names]
        conditions = ops.concatenate([z[..., :0], *joined], axis=-1)
        outputs, base = self.decoder.unroll(z, conditions, self.decoder.burn_in(z.shape[1]), training, list(states))
        return {"outputs": outputs, "base": base, "mean": z[:, 1:]}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """The loss of the LSTM."""
        return self.decoder.loss_of(results, training)


class Coder(keras.Model):
    """A transformer over tokens of frames and sound; those of the last frame give the first state of the LSTM."""

    def __init__(self, shape: tuple[int, ...], *, width: int, blocks: int, heads: int, units: int, seed: int):
        """Create the layers.

        Args:
            shape: (h', w') of the map of patches.
            width: number of features of a token.
            blocks: number of blocks.
            heads: number of attention heads of each block.
            units: channels of the state.
            seed: random seed of the initial weights.
        """
        super().__init__(name="coder")
        self.shape = shape
        self.width = width
        self.seed = seed

        def start(i: int) -> Any:
            return keras.initializers.GlorotUniform(seed + i)

        self.of_frames = layers.Conv2D(width, 2, 2, "same", kernel_initializer=start(1), name="of_frames")
        self.of_sound = layers.Dense(width, kernel_initializer=start(2), name="of_sound")
        self.transformer = [Block(width, heads, seed + 10 * (i + 1), f"block_{i}") for i in range(blocks)]
        self.up = layers.Conv2DTranspose(
            width, 2, 2, "same", activation=swish, kernel_initializer=start(3), name="up"
        )
        self.to_states = layers.Conv2D(2 * units, 3, padding="same", kernel_initializer=start(4), name="to_states")

    def build(self, shapes: dict[str, tuple[int, ...]]) -> None:
        """Add embeddings of time, space and modality."""
        context, rows, columns = shapes["patches"][1], *((side + 1) // 2 for side in self.shape)
        bands = -(-shapes["sound"][-1] // BANDS)
        embedding_shapes: dict[str, list[tuple[int, ...]]] = {
            "frame": [(1, context, 1, 1), (1, 1, rows, columns), (1, 1, 1, 1)],
            "sound": [(1, context, 1), (1, 1, bands), (1, 1, 1)],
        }
        self.embeddings = {
            modality: [
                self.add_weight(
                    shape=(*shape, self.width),
                    initializer=keras.initializers.RandomNormal(stddev=0.02, seed=self.seed + 100 + 10 * s + i),
                    name=f"{modality}_{('time', 'space', 'modality')[i]}",
                )
                for i, shape in enumerate(shape_list)
            ]
            for s, (modality, shape_list) in enumerate(embedding_shapes.items())
        }
        super().build(shapes)

    def call(self, inputs: dict[str, Any], training: bool = False) -> list[Any]:
        """Map ``patches`` (b, context, h', w', d) and ``sound`` (b, context, f) to two states (b, h', w', units)."""
        patches, sound = inputs["patches"], inputs["sound"]
        context = patches.shape[1]
        x = self.of_frames(ops.reshape(patches, (-1, *patches.shape[2:])))
        size = x.shape[1:3]
        x = ops.reshape(x, (-1, context, *x.shape[1:])) + sum(self.embeddings["frame"])
        sound = ops.pad(sound, [(0, 0), (0, 0), (0, -sound.shape[-1] % BANDS)])
        y = self.of_sound(ops.reshape(sound, (-1, context, sound.shape[-1] // BANDS, BANDS)))
        y = y + sum(self.embeddings["sound"])
        tokens = [ops.reshape(each, (-1, int(np.prod(each.shape[1:-1])), self.width)) for each in (y, x)]
        x = ops.concatenate(tokens, axis=1)
        for block in self.transformer:
            x = block(x)
        last = ops.reshape(x[:, -size[0] * size[1] :], (-1, *size, self.width))
        states = self.to_states(self.up(last)[:, : self.shape[0], : self.shape[1]])
        return ops.split(ops.tanh(states), 2, axis=-1)


class Block(layers.Layer):
    """A transformer block: attention and two dense layers, each with layer normalisation and a skip connection."""

    def __init__(self, width: int, heads: int, seed: int, name: str):
        """Create the layers."""
        super().__init__(name=name)

        def start(i: int) -> Any:
            return keras.initializers.GlorotUniform(seed + i)

        self.norms = [layers.LayerNormalization(name=f"norm_{i}") for i in range(2)]
        self.attention = layers.MultiHeadAttention(
            heads, max(1, width // heads), kernel_initializer=start(0), seed=seed, name="attention"
        )
        self.dense = [
            layers.Dense(2 * width, "gelu", kernel_initializer=start(1), name="dense_0"),
            layers.Dense(width, kernel_initializer=start(2), name="dense_1"),
        ]

    def build(self, shape: tuple[int, ...]) -> None:
        """Build the layers."""
        for norm in self.norms:
            norm.build(shape)
        self.attention.build(shape, shape)
        self.dense[0].build(shape)
        self.dense[1].build((*shape[:-1], self.dense[0].units))

    def call(self, x: Any) -> Any:
        """Map tokens (b, n, width) to tokens of the same shape."""
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.dense[1](self.dense[0](self.norms[1](x)))
