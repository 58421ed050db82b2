"""A transformer over frames and sound, whose code starts a convolutional LSTM that predicts the frames after them."""

from collections.abc import Mapping
from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Batch, Latents, Source, State
from latentseq.configurable import Presets
from latentseq.errors import UsageError, listed
from latentseq.networks.plugin import KerasPlugin, LossNetwork, swish
from latentseq.networks.recurrent import DynamicsNetwork, join_condition
from latentseq.protocols import History, Predictor, Trainer
from latentseq_plugins.predictors.context import check_length, check_seen
from latentseq_plugins.predictors.conv_lstm import FrameConvLSTM

BANDS = 16
"""Features of a row of sound that make one token."""


class AudioVisual(KerasPlugin, Predictor):
    """Patches of ``context`` frames and their sound in one transformer; a convolutional LSTM goes on from its code.

    Until it has seen the context, it only looks; then the code of it is the state of the LSTM, which takes every
    further frame with its sound, whether seen or imagined.

    References:
        Akbari et al., VATT: Transformers for Multimodal Self-Supervised Learning, arXiv 2104.11178.
    """

    name = "audio-visual"
    description = "Transformer over frames and sound, whose code starts a convolutional LSTM."
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
            input_shape: (h, w, c).
            conditions: width of every stream, ``audio`` among them; the others are taken for more of the sound.
            context: frames that it looks at before it predicts.
            patch: side of the patches that the LSTM works on; the tokens of a frame are twice as large.
            width: of a token.
            blocks: of the transformer.
            attention_heads: of each block.
            units: channels of the LSTM.
            readout: channels of each convolution behind it.
            free_steps: frames at the end of a training window that it has to reach on its own; half of those after
                the context at most.
            seed: of the initial weights.

        Raises:
            UsageError: an option out of its range, or no stream ``audio``.
        """
        if "audio" not in conditions:
            raise UsageError(
                f"audio-visual is driven by the stream audio; there is {listed(conditions) or 'no stream'}. Give "
                "clips with sound, such as ingest makes of films that have it, or the dataset sounding-shapes."
            )
        for key, value in {
            "context": context,
            "width": width,
            "blocks": blocks,
            "attention_heads": attention_heads,
        }.items():
            if value < 1:
                raise UsageError(f"audio-visual: {key} is {value}; expected 1 or more.")
        self.input_shape, self.conditions, self.context = tuple(input_shape), dict(conditions), context
        self.patch, self.width, self.blocks, self.attention_heads = patch, width, blocks, attention_heads
        self.units, self.readout, self.free_steps, self.seed = units, tuple(readout), free_steps, seed
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

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Predictor.fit``: squared error of frames, as for the predictor ``conv-lstm``.

        Raises:
            UsageError: the windows are no longer than the context.
        """
        parts = source.map(self.decoder.cut)
        check_length(self.name, self.context, parts, "mean")
        return trainer.fit(self.network, parts, batch_size=8, learning_rate=2e-3, clip_norm=1.0)

    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``; of a frame before the context is full it says that it stays."""
        patches = self.decoder.checked_patches(frames)
        b, t = patches.shape[:2]
        given = self.decoder.dynamics.check_streams(conditions, b, t)
        streams = dict(zip(sorted(self.conditions), given, strict=True))
        state = self._nothing(b) if state is None else dict(state)
        step, context = int(state["step"][0]), self.context
        fresh = min(t, max(0, context - step))  # Frames that still belong to the context.
        for key, rows in {"patches": patches, **streams}.items():
            seen = np.array(state[f"seen_{key}"])
            seen[:, step : step + fresh] = rows[:, :fresh]
            state[f"seen_{key}"] = seen
        said, waiting = patches.copy(), min(t, max(0, context - 1 - step))
        if waiting < t:
            known = {k: v for k, v in state.items() if not k.startswith("seen_")}
            if step < context:
                sound = np.concatenate([state[f"seen_{name}"] for name in sorted(self.conditions)], axis=-1)
                code = self.coder.predict_on_batch({"patches": state["seen_patches"], "sound": sound})
                known |= {"last": patches[:, waiting], "layer_0": np.asarray(code[0]), "layer_1": np.asarray(code[1])}
            rest = {k: v[:, waiting:] for k, v in streams.items()}
            forecast, known = self.decoder.dynamics.observe(Latents(patches[:, waiting:]), known, conditions=rest)
            said[:, waiting:] = forecast.mean
            state |= known
        return self.decoder.to_frames(said), state | {"step": np.full(b, step + t, np.int64)}

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``; nothing is drawn.

        Raises:
            UsageError: it has seen fewer frames than its context.
        """
        check_seen(self.name, self.context, int(state["step"].min()))
        frames, after = self.decoder.imagine(state, steps, seed=seed, temperature=temperature, conditions=conditions)
        return frames, {**state, **after}

    def _nothing(self, b: int) -> State:
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
    """Trains both: the code of the context, and the LSTM that goes on from it."""

    def __init__(self, coder: "Coder", decoder: DynamicsNetwork, context: int):
        """Put the networks together; the weights are theirs."""
        super().__init__(name="audio_visual")
        self.coder, self.decoder, self.context = coder, decoder, context

    def build(self, *_: Any) -> None:
        """Its parts build themselves in the first call."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Windows ``mean`` (b, t, h', w', d) of patches and the streams -> what the LSTM's loss needs."""
        z, names = batch["mean"], sorted(k for k in batch if k != "mean")
        sound = ops.concatenate([batch[name] for name in names], axis=-1)
        states = self.coder({"patches": z[:, : self.context], "sound": sound[:, : self.context]}, training=training)
        z = z[:, self.context - 1 :]
        joined = [join_condition(batch[name][:, self.context - 1 :], z) for name in names]
        conditions = ops.concatenate([z[..., :0], *joined], axis=-1)
        outputs, base = self.decoder.unroll(z, conditions, self.decoder.burn_in(z.shape[1]), training, list(states))
        return {"outputs": outputs, "base": base, "mean": z[:, 1:]}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """That of the LSTM."""
        return self.decoder.loss_of(results, training)


class Coder(keras.Model):
    """Tokens of frames and of sound through a transformer; those of the last frame are the LSTM's first state."""

    def __init__(self, shape: tuple[int, ...], *, width: int, blocks: int, heads: int, units: int, seed: int):
        """Make the layers.

        Args:
            shape: (h', w') of the map of patches.
            width: of a token.
            blocks: how many.
            heads: of each block.
            units: channels of the state.
            seed: of the initial weights.
        """
        super().__init__(name="coder")
        self.shape, self.width, self.seed = shape, width, seed

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
        """Learn where tokens stand in time and space, and which sense they are of."""
        context, rows, columns = shapes["patches"][1], *((side + 1) // 2 for side in self.shape)
        bands = -(-shapes["sound"][-1] // BANDS)
        kept: dict[str, list[tuple[int, ...]]] = {
            "frame": [(1, context, 1, 1), (1, 1, rows, columns), (1, 1, 1, 1)],
            "sound": [(1, context, 1), (1, 1, bands), (1, 1, 1)],
        }
        self.embeddings = {
            sense: [
                self.add_weight(
                    shape=(*shape, self.width),
                    initializer=keras.initializers.RandomNormal(stddev=0.02, seed=self.seed + 100 + 10 * s + i),
                    name=f"{sense}_{('time', 'space', 'modality')[i]}",
                )
                for i, shape in enumerate(shapes_of)
            ]
            for s, (sense, shapes_of) in enumerate(kept.items())
        }
        super().build(shapes)

    def call(self, inputs: dict[str, Any], training: bool = False) -> list[Any]:
        """``patches`` (b, context, h', w', d) and ``sound`` (b, context, f) -> two states (b, h', w', units)."""
        patches, sound = inputs["patches"], inputs["sound"]
        context = patches.shape[1]
        x = self.of_frames(ops.reshape(patches, (-1, *patches.shape[2:])))
        size = x.shape[1:3]
        x = ops.reshape(x, (-1, context, *x.shape[1:])) + sum(self.embeddings["frame"])
        sound = ops.pad(sound, [(0, 0), (0, 0), (0, -sound.shape[-1] % BANDS)])
        heard = self.of_sound(ops.reshape(sound, (-1, context, sound.shape[-1] // BANDS, BANDS)))
        heard = heard + sum(self.embeddings["sound"])
        tokens = [ops.reshape(each, (-1, int(np.prod(each.shape[1:-1])), self.width)) for each in (heard, x)]
        x = ops.concatenate(tokens, axis=1)
        for block in self.transformer:
            x = block(x)
        last = ops.reshape(x[:, -size[0] * size[1] :], (-1, *size, self.width))
        states = self.to_states(self.up(last)[:, : self.shape[0], : self.shape[1]])
        return ops.split(ops.tanh(states), 2, axis=-1)


class Block(layers.Layer):
    """Attention and two dense layers, each behind a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, seed: int, name: str):
        """Make the layers."""
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
        """Tokens (b, n, width) to the same."""
        y = self.norms[0](x)
        x = x + self.attention(y, y)
        return x + self.dense[1](self.dense[0](self.norms[1](x)))
