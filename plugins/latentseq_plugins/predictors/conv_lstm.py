"""A convolutional LSTM on frames."""

from collections.abc import Mapping
from typing import ClassVar

import keras
import numpy as np

from latentseq.arrays import Batch, Latents, Source, State, as_items, check_rolling
from latentseq.configurable import Presets
from latentseq.errors import UsageError
from latentseq.networks.plugin import KerasPlugin
from latentseq.protocols import History, Predictor, Trainer
from latentseq_plugins.dynamics.conv_lstm import ConvLSTM

REACH = (-0.5, 1.5)
"""Where pixels may lie that it feeds back to itself. Those that it answers are in [0, 1]."""


class FrameConvLSTM(KerasPlugin, Predictor):
    """The dynamics ``conv-lstm`` on frames themselves: a frame is a map of patches, which lose nothing.

    It sees frame by frame, so that any context and any horizon are the same to it, and what it says of frame t + 1
    depends on frames up to t alone.

    References:
        Shi et al., Convolutional LSTM Network, arXiv 1506.04214, which cuts frames into patches as well.
    """

    name = "conv-lstm"
    description = "Convolutional LSTM from frame to frame, over patches of pixels."
    presets: ClassVar[Presets] = {
        "tiny": {"units": 8, "readout": [8]},
        "cpu": {},
        "gpu": {"layers": 2, "units": 128, "readout": [128, 128]},
    }

    def __init__(
        self,
        input_shape: list[int],
        conditions: dict[str, int] | None = None,
        patch: int = 4,
        layers: int = 1,
        units: int = 64,
        kernel: int = 3,
        readout: list[int] = (64, 64),  # type: ignore[assignment]
        free_steps: int = 10,
        seed: int = 0,
    ):
        """Build the network.

        Args:
            input_shape: (h, w, c).
            conditions: width of every side stream that it is driven by.
            patch: side of the patches that a frame is cut into; where it does not divide a side, zeros are added.
            layers: how many.
            units: channels of each layer.
            kernel: side of the convolutions' kernels, in patches.
            readout: channels of each convolution behind the layers, which sees the last frame beside what they say.
            free_steps: frames at the end of a training window that it is trained to reach on its own, from what it
                imagined itself; half of a short window at most.
            seed: of the initial weights.

        Raises:
            UsageError: an option out of its range.
        """
        if patch < 1:
            raise UsageError(f"conv-lstm: patch is {patch}; expected a side of 1 pixel or more.")
        self.input_shape, self.patch = tuple(input_shape), patch
        self.conditions, self.layers, self.units, self.kernel = dict(conditions or {}), layers, units, kernel
        self.readout, self.free_steps, self.seed = tuple(readout), free_steps, seed
        h, w, c = self.input_shape
        self.dynamics = ConvLSTM(
            [-(-h // patch), -(-w // patch), patch * patch * c],
            conditions=self.conditions,
            head="mse",
            layers=layers,
            units=units,
            kernel=kernel,
            readout=list(readout),
            free_steps=free_steps,
            seed=seed,
        )
        network = self.dynamics.network
        for weight, value in (
            (network.low, REACH[0]),
            (network.high, REACH[1]),
            (network.radius, 2 * network.head.d**0.5),  # Out of reach: every pixel has its own bounds.
        ):
            weight.assign(np.full(weight.shape, value))

    @property
    def networks(self) -> dict[str, keras.Model]:
        """That of the dynamics."""
        return self.dynamics.networks

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Predictor.fit``: squared error summed over a frame, mean over windows and time.

        A patch is not standardised, so that a dark corner weighs no more than it shines.
        """
        return trainer.fit(
            self.dynamics.network, source.map(self.cut), batch_size=8, learning_rate=2e-3, clip_norm=1.0
        )

    def observe(
        self, frames: np.ndarray, state: State | None = None, *, conditions: Mapping[str, np.ndarray] | None = None
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``."""
        patches = self.checked_patches(frames)
        forecast, state = self.dynamics.observe(Latents(patches), state, conditions=conditions)
        return self.to_frames(forecast.mean), state

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``; nothing is drawn."""
        check_rolling(temperature=temperature)
        patches, state = self.dynamics.imagine(state, steps, seed=seed, temperature=0.0, conditions=conditions)
        return self.to_frames(patches), state

    def cut(self, batch: Batch) -> Batch:
        """A batch of windows with ``mean``, its frames as patches, in place of ``frames``."""
        rest = {name: rows for name, rows in batch.items() if name != "frames"}
        return {"mean": self.to_patches(batch["frames"]), **rest}

    def checked_patches(self, frames: np.ndarray) -> np.ndarray:
        """``to_patches`` of frames that come from outside.

        Raises:
            DataError: they are of another shape or dtype.
        """
        return self.to_patches(as_items(frames, self.input_shape, "frames", axes=2, frames=True))

    def to_patches(self, frames: np.ndarray) -> np.ndarray:
        """Frames (b, t, h, w, c) to a map of patches (b, t, h', w', patch * patch * c)."""
        (h, w, c), p = self.input_shape, self.patch
        frames = np.pad(frames, [(0, 0), (0, 0), (0, -h % p), (0, -w % p), (0, 0)])
        b, t, h, w, _ = frames.shape
        cut = frames.reshape(b, t, h // p, p, w // p, p, c).transpose(0, 1, 2, 4, 3, 5, 6)
        return cut.reshape(b, t, h // p, w // p, p * p * c)

    def to_frames(self, patches: np.ndarray) -> np.ndarray:
        """The way back, in [0, 1]."""
        (h, w, c), p = self.input_shape, self.patch
        b, t, rows, columns, _ = patches.shape
        put = patches.reshape(b, t, rows, columns, p, p, c).transpose(0, 1, 2, 4, 3, 5, 6)
        return np.clip(put.reshape(b, t, rows * p, columns * p, c)[:, :, :h, :w], 0, 1)
