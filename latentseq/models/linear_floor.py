"""The linear floor: autoregression on the principal components of patches, fitted to the training frames."""

from collections.abc import Iterator

import numpy as np

from latentseq.arrays import Batch, Source, Windows
from latentseq.data.windows import spread_indices
from latentseq.networks.autoregression import Autoregression, fit_autoregression
from latentseq.networks.components import Patches, PrincipalAxesFit
from latentseq.networks.statistics import confine, measure_range, measure_statistics

SIDE = 8
"""Side of a patch in pixels."""
COMPONENTS = 32
"""Number of components of a patch."""
WINDOWS = 200
"""Largest number of windows for training, and for validation."""
BATCH_VALUES = 1 << 22
"""Approximate number of frame values that are read at once."""


class LinearFloor:
    """Predicts frames without training steps: the last frame, plus the change that autoregression predicts."""

    def __init__(self, source: Source):
        """Fit it.

        Args:
            source: windows of ``frames`` (b, t, h, w, c) for training and validation, of at least three frames.
        """
        shape = source.train.take(np.arange(1))["frames"].shape[2:]
        self._patches = Patches(shape, min(SIDE, *shape[:2]))
        fit = PrincipalAxesFit(self._patches.size, min(COMPONENTS, self._patches.size))
        for frames in _few(source.train):
            fit.add(self._patches.cut(frames.reshape(-1, *shape)).reshape(-1, self._patches.size))
        mean, axes, *_ = fit.result()
        self._mean, self._axes = mean.astype(np.float32), axes.astype(np.float32)
        # Frames are encoded once; their latents fit into memory.
        latents = Source(self._latents(source.train), self._latents(source.validation))
        self._offset, self._scale, _ = measure_statistics(latents.train, gain=np.ones(len(self._axes)))
        self._range = measure_range(latents.train, self._offset, self._scale)
        found = fit_autoregression(latents, self._offset, self._scale, lambda length: (length + 1) // 2)
        self._model = found.model if found else Autoregression.last(self._offset.shape)

    def predict(self, context: np.ndarray, horizon: int) -> np.ndarray:
        """Predict frames (b, horizon, h, w, c) after a context (b, t, h, w, c) of at least two frames."""
        z = (self._encode(context[:, -2:]) - self._offset) / self._scale
        before, last = z[:, -2], z[:, -1]
        now, imagined = last, []
        for _ in range(horizon):
            after = confine(self._model.step(now, before, now[..., :0]), now, self._range)
            now, before = after, now
            imagined.append((now - last) * self._scale)
        change = self._patches.join(np.stack(imagined, axis=1).reshape(-1, *self._offset.shape) @ self._axes)
        frames = context[:, -1:] + change.reshape(len(context), horizon, *context.shape[2:])
        return np.clip(frames, 0, 1).astype(context.dtype)

    def _latents(self, windows: Windows) -> "_Latents":
        return _Latents(np.concatenate([self._encode(frames) for frames in _few(windows)]))

    def _encode(self, frames: np.ndarray) -> np.ndarray:
        """Frames (b, t, h, w, c) to latents (b, t, h', w', d)."""
        pieces = self._patches.cut(frames.reshape(-1, *frames.shape[2:]))
        z = (pieces - self._mean) @ self._axes.T
        return z.reshape(*frames.shape[:2], *z.shape[1:])


class _Latents(Windows):
    """Windows of latents in memory."""

    def __init__(self, z: np.ndarray):
        """Keep latents (n, t, h', w', d)."""
        self._z = z

    def __len__(self) -> int:
        return len(self._z)

    def take(self, indices: np.ndarray) -> Batch:
        """See ``Windows.take``."""
        return {"mean": self._z[indices]}


def _few(windows: Windows) -> Iterator[np.ndarray]:
    """The frames of at most ``WINDOWS`` windows, evenly spread, in batches of about ``BATCH_VALUES`` values."""
    indices = spread_indices(len(windows), WINDOWS)
    count = max(1, BATCH_VALUES // windows.take(indices[:1])["frames"].size)
    for start in range(0, len(indices), count):
        yield windows.take(indices[start : start + count])["frames"]
