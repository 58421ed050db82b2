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
"""Range of the pixels that the model feeds back to itself. Its predictions are clipped to [0, 1]."""


class FrameConvLSTM(KerasPlugin, Predictor):
    """The dynamics ``conv-lstm`` on frames, which are cut into a map of patches without loss.

    The model observes frame by frame. So it works with any context and horizon, and its forecast of frame t + 1
    depends only on the frames up to t.

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
            input_shape: frame shape (h, w, c).
            conditions: name and width of every stream that the model needs as a condition.
            patch: side of the patches in pixels; if it does not divide a side of the frame, zeros are added.
            layers: number of layers.
            units: channels of each layer.
            kernel: kernel size of the convolutions, in patches.
            readout: channels of each convolution after the layers; its input is their output and the last frame.
            free_steps: number of steps at the end of a training window that the model predicts from its own
                predictions (closed loop); at most half of the window.
            seed: random seed of the initial weights.

        Raises:
            UsageError: an option is out of range.
        """
        if patch < 1:
            raise UsageError(f"conv-lstm: patch is {patch}; expected a side of 1 pixel or more.")
        self.input_shape = tuple(input_shape)
        self.patch = patch
        self.conditions = dict(conditions or {})
        self.layers = layers
        self.units = units
        self.kernel = kernel
        self.readout = tuple(readout)
        self.free_steps = free_steps
        self.seed = seed
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
            linear_start=False,
            seed=seed,
        )
        network = self.dynamics.network
        for weight, value in (
            (network.low, REACH[0]),
            (network.high, REACH[1]),
            (network.radius, 2 * network.head.d**0.5),  # Larger than any frame, since every pixel has bounds.
        ):
            weight.assign(np.full(weight.shape, value))

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The networks of the dynamics."""
        return self.dynamics.networks

    def optional_weights(self) -> set[str]:
        """See ``KerasPlugin.optional_weights``."""
        return self.dynamics.optional_weights()

    def fit(self, source: Source, trainer: Trainer) -> History:
        """See ``Predictor.fit``.

        The loss is the squared error, summed over each frame and averaged over windows and time. Patches are not
        standardised, so that dark regions do not get a larger weight.
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
        """See ``Predictor.imagine``; the prediction is deterministic."""
        check_rolling(temperature=temperature)
        patches, state = self.dynamics.imagine(state, steps, seed=seed, temperature=0.0, conditions=conditions)
        return self.to_frames(patches), state

    def cut(self, batch: Batch) -> Batch:
        """Replace ``frames`` in a batch with ``mean``, its patches."""
        rest = {name: rows for name, rows in batch.items() if name != "frames"}
        return {"mean": self.to_patches(batch["frames"]), **rest}

    def checked_patches(self, frames: np.ndarray) -> np.ndarray:
        """Check frames and convert them with ``to_patches``.

        Raises:
            DataError: the frames have another shape or dtype.
        """
        return self.to_patches(as_items(frames, self.input_shape, "frames", axes=2, frames=True))

    def to_patches(self, frames: np.ndarray) -> np.ndarray:
        """Convert frames (b, t, h, w, c) to maps of patches (b, t, h', w', patch * patch * c)."""
        (h, w, c), p = self.input_shape, self.patch
        frames = np.pad(frames, [(0, 0), (0, 0), (0, -h % p), (0, -w % p), (0, 0)])
        b, t, h, w, _ = frames.shape
        patches = frames.reshape(b, t, h // p, p, w // p, p, c).transpose(0, 1, 2, 4, 3, 5, 6)
        return patches.reshape(b, t, h // p, w // p, p * p * c)

    def to_frames(self, patches: np.ndarray) -> np.ndarray:
        """Invert ``to_patches``, and clip to [0, 1]."""
        (h, w, c), p = self.input_shape, self.patch
        b, t, rows, columns, _ = patches.shape
        pixels = patches.reshape(b, t, rows, columns, p, p, c).transpose(0, 1, 2, 4, 3, 5, 6)
        return np.clip(pixels.reshape(b, t, rows * p, columns * p, c)[:, :, :h, :w], 0, 1)
