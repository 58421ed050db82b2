"""The contracts: what a dataset, an encoder, a decoder, a dynamics model and a predictor promise.

NumPy at the seam, so a plugin may be Keras, JAX or thirty lines of NumPy. The promises are numbered and checked
in ``latentseq.testing``; axes and arrays are those of ``latentseq.arrays``.
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

from latentseq.arrays import Batch, Clip, Latents, Source, State, as_items, check_finite, check_rolling
from latentseq.configurable import Configurable, Plugin
from latentseq.errors import UsageError


class Dataset(Configurable):
    """Read-only clips of frames, with side streams.

    A dataset checks its input when it is built and reads frames only when asked; the memory that ``read`` takes
    grows with ``stop - start`` and with nothing else.
    """

    streams: Mapping[str, int] = types.MappingProxyType({})
    """Width f of every side stream."""
    fps: float = 25.0
    """Frames a second, on average."""
    slow: ClassVar[bool] = False
    """Whether reading at random is slow, so that training first copies it into a folder of clips."""
    split: np.ndarray | None = None
    """(n,) of 'train', 'validation' or 'test', where the dataset has splits of its own."""
    sources: Sequence[Mapping[str, Any]] = ()
    """The files that the clips are from, where it is from files: of each its ``path`` and ``fps``, frames a second;
    where known also ``kind`` (video, array …), ``size`` (h, w) of its pictures, ``gray`` (no colour), ``timed`` (its
    times are its own) and ``reading`` (how it was read, in words)."""

    @property
    @abstractmethod
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""

    @property
    @abstractmethod
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of every frame."""

    @abstractmethod
    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """Frames ``start`` to ``stop`` (its end where None) of clip ``i``: uint8 (t, h, w, c), streams (t, f).

        Raises:
            UsageError: a clip or a range that does not exist (``check_range``).
            DataError: what is stored cannot be read.
        """

    def times(self, i: int, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Seconds from the first frame of clip ``i`` to each of frames ``start`` to ``stop``: (t,) float64, rising.

        Here frame j is at j / fps. A dataset that knows when its frames are shown gives those times instead.

        Raises:
            UsageError: a clip or a range that does not exist (``check_range``).
            DataError: what is stored cannot be read.
        """
        start, stop = self.check_range(i, start, stop)
        return np.arange(start, stop) / self.fps

    def read_windows(self, clips: np.ndarray, starts: np.ndarray, length: int) -> Clip:
        """Many stretches of one length at once: frames (b, t, h, w, c), streams (b, t, f)."""
        parts = [self.read(int(i), int(s), int(s) + length) for i, s in zip(clips, starts, strict=True)]
        return Clip(
            np.stack([p.frames for p in parts]),
            {name: np.stack([p.streams[name] for p in parts]) for name in self.streams},
        )

    def check_range(self, i: int, start: int, stop: int | None) -> tuple[int, int]:
        """The range with its end filled in.

        Raises:
            UsageError: a clip or a range that does not exist.
        """
        n = len(self.lengths)
        if not 0 <= i < n:
            raise UsageError(f"Clip {i} does not exist: {self.name} has clips 0 to {n - 1}.")
        length = int(self.lengths[i])
        stop = length if stop is None else stop
        if not 0 <= start < stop <= length:
            raise UsageError(
                f"Frames {start} to {stop - 1} were asked of clip {i}, which has {length} frames, 0 to {length - 1}."
            )
        return start, stop

    def fingerprint(self) -> str:
        """SHA-256 of what the frames depend on; here, of name and configuration."""
        text = json.dumps([self.name, self.get_config()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


class Progress(typing.Protocol):
    """Somebody who wants to know how far a long piece of work is."""

    def update(self, share: float, text: str) -> None:
        """Say the share of the whole, in [0, 1], and the numbers in a few words."""

    def close(self) -> None:
        """Say that it is over."""


@dataclass(frozen=True)
class History:
    """How a fit went: a row of numbers for every validation, and the best of them."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)


class Trainer(ABC):
    """Trains what a plugin hands to it, within a budget; it keeps the order of examples, validation and checkpoints.

    A plugin calls one of these methods in its ``fit``, and needs to know nothing of budgets or of resuming.
    """

    learning_rate: float | None
    """The learning rate that the user asked for; None for the plugin's own."""

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
        """Train one Keras model, which is called with a batch and computes its loss in ``compute_loss``."""

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
        """Train several Keras models with a training step of the plugin's own: (batch, share of budget) -> logs."""

    @abstractmethod
    def batches(
        self, source: Source, *, stage: str = "main", batch_size: int = 32, epochs: int | None = None
    ) -> Iterator[Batch]:
        """Yield training batches until the budget is used, for a plugin that learns in NumPy."""

    @abstractmethod
    def part(self, name: str, share: float) -> Trainer:
        """A trainer for one part of a plugin, with a share of this budget, in (0, 1]."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show the user one line of text, after the name of what is trained."""


class Encoder(Plugin):
    """Maps frames, or features, to latents and back.

    Constructor keywords: ``input_shape`` (h, w, c) or features (f,), filled in by the workflow, and its own.
    """

    input_shape: tuple[int, ...]

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, ...]:
        """(d,) for a vector, (h', w', d) for a map."""

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``x`` (b, *input_shape) float32."""

    @abstractmethod
    def encode(self, x: np.ndarray) -> Latents:
        """(n, *input_shape) -> (n, *latent_shape); deterministic, row by row.

        Raises:
            DataError: another shape or dtype.
        """

    @abstractmethod
    def decode(self, z: np.ndarray) -> np.ndarray:
        """(n, *latent_shape) -> (n, *input_shape) float32; in [0, 1] where the input is frames."""


class Decoder(Plugin):
    """Maps latents or features to frames, where another part made them.

    Constructor keywords: ``latent_shape`` and ``output_shape``, filled in by its user, and its own.
    """

    latent_shape: tuple[int, ...]
    output_shape: tuple[int, ...]

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``z`` (b, *latent_shape) and ``x`` (b, *output_shape)."""

    @abstractmethod
    def decode(self, z: np.ndarray) -> np.ndarray:
        """(n, *latent_shape) -> (n, *output_shape) float32."""


class Forecast(ABC):
    """What a dynamics model says of the next latents: item i is the density of z[i + 1].

    Attributes:
        mean: (b, t, *latent_shape) float32, the mean of the density.
    """

    mean: np.ndarray

    @abstractmethod
    def log_prob(self, z: np.ndarray) -> np.ndarray:
        """(b, t, *latent_shape), item i being z[i + 1] -> (b, t) nats, in the encoder's own units."""

    @abstractmethod
    def sample(self, n: int, *, seed: int, temperature: float = 1.0) -> np.ndarray:
        """(b, n, t, *latent_shape) float32 drawn from the densities; the same seed draws the same."""


class Dynamics(Plugin):
    """Learns how latents move.

    Constructor keywords: its own, ``latent_shape``, and ``conditions`` if side streams can drive it. ``train_lstm``
    fills in ``conditions``, names and widths f of streams of the data: those that ``--conditions`` names; without it,
    all streams for a plugin whose keyword has no default, and none for others.
    """

    context: int = 1
    """Latents that it has to see before it imagines; what it says after fewer is a guess."""

    latent_shape: tuple[int, ...]
    conditions: dict[str, int]

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``mean`` (b, t, *latent_shape), ``log_var`` where there is one, and the conditions."""

    @abstractmethod
    def observe(
        self, latents: Latents, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[Forecast, State]:
        """Condition on latents (b, t, *latent_shape), from ``state`` or from nothing.

        Observing in pieces, from the state each returned, is the same as observing at once. The state that comes
        in is not changed.
        """

    @abstractmethod
    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """Run free: (b, steps, *latent_shape) float32 and the state after.

        It emits an item, then consumes it together with ``conditions[name][:, j]``. Imagining n and then m steps
        from the state it returned equals n + m: noise is keyed by the seed and the step that the state holds.
        Rows of the batch are independent at temperature 0.
        """


class LatentView(typing.NamedTuple):
    """What a predictor does in terms of latents.

    Attributes:
        encoder: maps frames to latents and back.
        dynamics: predicts latents.
    """

    encoder: Encoder
    dynamics: Dynamics


class Predictor(Plugin):
    """The two verbs on frames, so that latent and pixel models are judged alike.

    Constructor keywords: its own, ``input_shape`` (h, w, c), and ``conditions`` if side streams can drive it.
    ``train`` fills in ``conditions`` as ``train_lstm`` does for ``Dynamics``.
    """

    any_size: ClassVar[bool] = False
    """Whether it takes frames of another height and width than those that it was trained on."""

    context: int = 1
    """Frames that it has to see before it imagines; what it says after fewer is a guess."""

    input_shape: tuple[int, ...]
    conditions: dict[str, int]

    @abstractmethod
    def fit(self, source: Source, trainer: Trainer) -> History:
        """Learn from ``frames`` (b, t, h, w, c) and the conditions."""

    @abstractmethod
    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """Frames (b, t, h, w, c) -> its one-step frames, item i the forecast of frame i + 1, and the state."""

    @abstractmethod
    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """Run free: frames (b, steps, h, w, c) float32 in [0, 1] and the state after."""

    @property
    def latent_view(self) -> LatentView | None:
        """The encoder and the dynamics that do its work; None where it works on frames."""
        return None

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """(b, t, h, w, c) -> the same, through the encoder where there is one."""
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
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Futures of every clip.

        Args:
            frames: (b, t, h, w, c), what is known.
            steps: how many frames to go on.
            samples: futures of each clip.
            seed: of all the noise.
            temperature: 0 for the most probable path.
            conditions: (b, t + steps, f) each: the known part, then what drives the future.

        Returns:
            (b, samples, steps, h, w, c) float32 in [0, 1].

        Raises:
            UsageError: steps, samples, seed or temperature out of range.
            DataError: no frames, frames of another shape or dtype, or values that are not in [0, 1]; or the model
                imagines values that are not finite.
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
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> np.ndarray:
        """Futures from an observed state; as ``predict``, with ``conditions`` (b, steps, f) of the future alone.

        Raises:
            UsageError: steps, samples, seed or temperature out of range.
            DataError: the model imagines values that are not finite.
        """
        check_rolling(steps=steps, samples=samples, seed=seed, temperature=temperature)
        b = len(next(iter(state.values())))
        state = {k: np.repeat(v, samples, axis=0) for k, v in state.items()}
        future = {k: np.repeat(v, samples, axis=0) for k, v in (conditions or {}).items()}
        chunks, done, at_once = [], 0, max(1, 4096 // (b * samples))
        while done < steps:
            n = min(at_once, steps - done)
            part = {k: v[:, done : done + n] for k, v in future.items()}
            chunk, state = self.imagine(state, n, seed=seed, temperature=temperature, conditions=part)
            check_finite(chunk, f"The model {self.name} imagines")
            chunks.append(chunk)
            done += n
        out = np.concatenate(chunks, axis=1)
        return out.reshape(b, samples, *out.shape[1:])
