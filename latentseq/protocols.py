"""The contracts of the five kinds of plugin: dataset, encoder, decoder, dynamics and predictor.

Plugins take and return NumPy arrays, so a plugin may be written in Keras, JAX or plain NumPy. ``latentseq.arrays``
names the axes; ``latentseq.testing`` numbers the promises and checks them.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Batch, Clip, Latents, Source, State, Streams, as_items, check_finite, check_rolling
from latentseq.configurable import Configurable, Plugin
from latentseq.errors import UsageError


class Dataset(Configurable):
    """Read-only clips of frames, with side streams. ``read`` takes memory for ``stop - start`` frames only."""

    streams: Mapping[str, int] = types.MappingProxyType({})
    """Width f of each side stream, by name."""
    fps: float = 25.0
    """Average number of frames per second."""
    slow: ClassVar[bool] = False
    """Whether random access is slow. Training then first copies the dataset into a folder of clips."""
    split: np.ndarray | None = None
    """(n,) array of 'train', 'validation' and 'test'; None for a dataset without splits of its own."""
    hold_out: str | None = None
    """What to hold out of a dataset without splits: 'clips', 'ends' (of all clips), or None (the default)."""
    sources: Sequence[Mapping[str, Any]] = ()
    """The files that the clips come from, if any. Each has ``path`` and ``fps`` (frames per second), and may have
    ``kind`` (video, array …), ``size`` (h, w) of its pictures, ``gray`` (whether they lack colour), ``timed``
    (whether the file stores the times of its frames) and ``reading`` (how it was interpreted, in words)."""

    @property
    @abstractmethod
    def lengths(self) -> np.ndarray:
        """(n,) int64, the number of frames of each clip."""

    @property
    @abstractmethod
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of every frame."""

    @abstractmethod
    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """Read frames ``start`` to ``stop`` (None for the end) of clip ``i``: uint8 (t, h, w, c), streams (t, f).

        Raises:
            UsageError: the clip or the range does not exist (``check_range``).
            DataError: the stored data cannot be read.
        """

    def times(self, i: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Times of frames ``start`` to ``stop`` in seconds after the first frame of clip ``i``: (t,) float64, rising.

        By default frame j is at j / fps. A dataset that knows the times of its frames overrides this method.

        Raises:
            UsageError: the clip or the range does not exist (``check_range``).
            DataError: the stored data cannot be read.
        """
        start, stop = self.check_range(i, start, stop)
        return np.arange(start, stop) / self.fps

    def read_windows(self, clips: np.ndarray, starts: np.ndarray, length: int) -> Clip:
        """Read windows of equal length: frames (b, t, h, w, c), streams (b, t, f)."""
        parts = [self.read(int(i), int(s), int(s) + length) for i, s in zip(clips, starts, strict=True)]
        streams = {name: np.stack([part.streams[name] for part in parts]) for name in self.streams}
        return Clip(np.stack([part.frames for part in parts]), streams)

    def check_range(self, i: int, start: int, stop: int | None) -> tuple[int, int]:
        """Return the range, with ``stop`` filled in.

        Raises:
            UsageError: the clip or the range does not exist.
        """
        n = len(self.lengths)
        if not 0 <= i < n:
            raise UsageError(f"Clip {i} does not exist: {self.name} has clips 0 to {n - 1}.")
        length = int(self.lengths[i])
        stop = length if stop is None else stop
        if not 0 <= start < stop <= length:
            raise UsageError(
                f"Frames {start} to {stop - 1} of clip {i} were requested; it has frames 0 to {length - 1}."
            )
        return start, stop

    def fingerprint(self) -> str:
        """SHA-256 of everything that the frames depend on; by default of name and configuration."""
        text = json.dumps([self.name, self.get_config()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Progress(typing.Protocol):
    """Receives the progress of a long piece of work."""

    def update(self, share: float, text: str) -> None:
        """Report the share that is done, in [0, 1], and the numbers in a few words."""

    def close(self) -> None:
        """Report that the work is over."""


@dataclass(frozen=True)
class History:
    """The history of a training run: one row of numbers per validation, and the best row."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


class Trainer(ABC):
    """Trains the models of a plugin, which calls one of these methods in its ``fit``.

    The trainer takes care of the budget, the order of examples, validation, checkpoints and resuming.
    """

    learning_rate: float | None
    """The learning rate that the user asked for; None for the plugin's default."""

    @abstractmethod
    def fit(
        self,
        model: Any,
        source: Source,
        *,
        stage: str = "main",
        batch_size: int = 32,
        learning_rate: float = 1e-3,
        clip_norm: float | None = None,
    ) -> History:
        """Train one Keras model. It is called with a batch and computes its loss in ``compute_loss``."""

    @abstractmethod
    def loop(
        self,
        models: Mapping[str, Any],
        step: Callable[[Batch, float], Mapping[str, Any]],
        source: Source,
        *,
        validate: Callable[[Batch], Mapping[str, Any]],
        stage: str = "main",
        batch_size: int = 32,
    ) -> History:
        """Train several Keras models with a custom training step: (batch, share of the budget used) -> logs."""

    @abstractmethod
    def batches(
        self, source: Source, *, stage: str = "main", batch_size: int = 32, epochs: int | None = None
    ) -> Iterator[Batch]:
        """Yield training batches until the budget is used up, for a plugin that learns without Keras."""

    @abstractmethod
    def one_pass(self, source: Source, rows: int) -> Iterator[Batch]:
        """Yield at most about ``rows`` training rows, in a small share of the budget, for a fit in closed form."""

    @abstractmethod
    def part(self, name: str, share: float) -> Trainer:
        """Return a trainer for a part, with a share of this budget. An empty name keeps the names of stages."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show the user one line of text, after the name of the model."""


class Encoder(Plugin):
    """Maps frames, or features, to latents and back.

    Constructor keywords: ``input_shape`` ((h, w, c), or (f,) for features), filled in by the caller, and its own.
    """

    input_shape: tuple[int, ...]

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, ...]:
        """(d,) for a vector, (h', w', d) for a map."""

    @property
    def channel_gain(self) -> np.ndarray | None:
        """(d,) norm of the change of a decoded item for a change of one in each channel, up to one common factor.

        If all are equal, the encoder is isometric: errors of latents are those of items. None if they are unknown.
        """
        return None

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``x`` (b, *input_shape) float32."""

    @abstractmethod
    def encode(self, x: np.ndarray) -> Latents:
        """Map (n, *input_shape) to (n, *latent_shape). The result is deterministic, and rows are independent.

        Raises:
            DataError: ``x`` has another shape or dtype.
        """

    @abstractmethod
    def decode(self, z: np.ndarray) -> np.ndarray:
        """Map (n, *latent_shape) to (n, *input_shape) float32. Frames are in [0, 1]."""


class Decoder(Plugin):
    """Maps latents or features to frames. Another plugin computes the latents.

    Constructor keywords: ``latent_shape`` and ``output_shape``, filled in by the caller, and its own.
    """

    latent_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``z`` (b, *latent_shape) and ``x`` (b, *output_shape)."""

    @abstractmethod
    def decode(self, z: np.ndarray) -> np.ndarray:
        """Map (n, *latent_shape) to (n, *output_shape) float32."""


class Forecast(ABC):
    """Densities of the next latents: item i is the density of z[i + 1]."""

    mean: np.ndarray
    """(b, t, *latent_shape) float32, the means of the densities."""
    bound: bool = False
    """Whether ``log_prob`` is a lower bound of the log-likelihood; False where it is exact."""

    @abstractmethod
    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """Log densities (b, t) in nats, in the encoder's units. Item i of ``z`` (b, t, *latent_shape) is z[i + 1]."""

    @abstractmethod
    def sample(self, n: int, *, seed: int, temperature: float = 1.0) -> np.ndarray:
        """Draw ``n`` samples of every item: (b, n, t, *latent_shape) float32. Equal seeds give equal samples."""


class Dynamics(Plugin):
    """Learns how latents move.

    Constructor keywords: its own, ``latent_shape``, and ``conditions`` if side streams can drive it. ``conditions``
    maps names of streams to their widths f. ``train_lstm`` fills it in with the streams that ``--conditions`` names.
    Without ``--conditions`` it has all streams of the data if the keyword has no default, and otherwise none.
    """

    context: int = 1
    """Number of latents that the model has to observe before it imagines; after fewer, its output is a guess."""

    latent_shape: tuple[int, ...]
    conditions: dict[str, int]

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``mean`` (b, t, *latent_shape), ``log_var`` if the encoder has one, and the conditions."""

    @abstractmethod
    def observe(
        self, latents: Latents, state: State | None = None, *, conditions: Streams | None = None
    ) -> tuple[Forecast, State]:
        """Read latents (b, t, *latent_shape) after ``state``, which is not changed; None starts a new sequence.

        Observing a sequence in pieces, each from the returned state, equals observing it at once.
        """

    @abstractmethod
    def imagine(
        self, state: State, steps: int, *, seed: int, temperature: float = 1.0, conditions: Streams | None = None
    ) -> tuple[np.ndarray, State]:
        """Predict latents (b, steps, *latent_shape) float32 in closed loop; return them and the next state.

        Step j emits an item, then consumes it together with ``conditions[name][:, j]``. Imagining n steps and m more
        from the returned state equals imagining n + m: noise depends on the seed and on the step that the state
        holds. Rows of the batch are independent at temperature 0.
        """


class LatentView(typing.NamedTuple):
    """The encoder and the dynamics of a predictor that works on latents."""

    encoder: Encoder
    dynamics: Dynamics


class Predictor(Plugin):
    """Observes and imagines frames, so that latent models and pixel models are evaluated alike.

    Constructor keywords: its own, ``input_shape`` (h, w, c), and ``conditions`` if side streams can drive it.
    ``train`` fills in ``conditions`` as ``train_lstm`` does for ``Dynamics``.
    """

    any_size: ClassVar[bool] = False
    """Whether the model accepts frames of another height and width than in training."""

    context: int = 1
    """Number of frames that the model has to observe before it imagines; after fewer, its output is a guess."""

    input_shape: tuple[int, ...]
    conditions: dict[str, int]

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``frames`` (b, t, h, w, c) and the conditions."""

    @abstractmethod
    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Streams | None = None
    ) -> tuple[np.ndarray, State]:
        """Read frames (b, t, h, w, c); return one-step forecasts (item i is of frame i + 1) and the state."""

    @abstractmethod
    def imagine(
        self, state: State, steps: int, *, seed: int, temperature: float = 1.0, conditions: Streams | None = None
    ) -> tuple[np.ndarray, State]:
        """Predict frames (b, steps, h, w, c) float32 in [0, 1] in closed loop; return them and the next state."""

    @property
    def latent_view(self) -> LatentView | None:
        """The encoder and the dynamics of the predictor; None if it works on frames."""
        return None

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """Encode and decode frames (b, t, h, w, c); a predictor without an encoder returns them unchanged."""
        return frames

    @typing.final
    def predict(
        self,
        frames: np.ndarray,
        steps: int,
        *,
        samples: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        conditions: Streams | None = None,
    ) -> np.ndarray:
        """Observe frames, then imagine their futures.

        Args:
            frames: (b, t, h, w, c), the observed frames.
            steps: number of frames to imagine.
            samples: number of continuations of each clip.
            seed: random seed of the noise.
            temperature: temperature of the noise; 0 follows the most probable path.
            conditions: (b, t + steps, f) each: rows of the observed frames, then rows that drive the continuation.

        Returns:
            (b, samples, steps, h, w, c) float32 in [0, 1].

        Raises:
            UsageError: steps, samples, seed or temperature is out of range.
            DataError: frames are missing, or of another shape, dtype or range; or imagined values are not finite.
        """
        size = np.shape(frames)[2:4] if self.any_size and np.ndim(frames) == 5 else self.input_shape[:2]
        frames = as_items(frames, (*size, self.input_shape[-1]), "frames", axes=2, frames=True)
        check_rolling(steps=steps, samples=samples, seed=seed, temperature=temperature)
        conditions, t = conditions or {}, frames.shape[1]
        _, state = self.observe(frames, conditions={k: v[:, :t] for k, v in conditions.items()})
        later = {k: v[:, t:] for k, v in conditions.items()}
        return self.futures(state, steps, samples=samples, seed=seed, temperature=temperature, conditions=later)

    @typing.final
    def futures(
        self,
        state: State,
        steps: int,
        *,
        samples: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        conditions: Streams | None = None,
    ) -> np.ndarray:
        """Continue from an observed state, as ``predict`` does; ``conditions`` (b, steps, f) drive these steps.

        Raises:
            UsageError: steps, samples, seed or temperature is out of range.
            DataError: the model imagines values that are not finite.
        """
        check_rolling(steps=steps, samples=samples, seed=seed, temperature=temperature)
        b = len(next(iter(state.values())))
        state = {k: np.repeat(v, samples, axis=0) for k, v in state.items()}
        future = {k: np.repeat(v, samples, axis=0) for k, v in (conditions or {}).items()}
        chunks, chunk_length = [], max(1, 4096 // (b * samples))
        for start in range(0, steps, chunk_length):
            n = min(chunk_length, steps - start)
            inputs = {k: v[:, start : start + n] for k, v in future.items()}
            chunk, state = self.imagine(state, n, seed=seed, temperature=temperature, conditions=inputs)
            check_finite(chunk, f"The model {self.name} imagines")
            chunks.append(chunk)
        frames = np.concatenate(chunks, axis=1)
        return frames.reshape(b, samples, *frames.shape[1:])
