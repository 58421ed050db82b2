"""Preview pictures that a run draws during training."""

import numpy as np

from latentseq.arrays import Latents, to_float
from latentseq.data.splits import split_ranges
from latentseq.drawing.picture import Row, sheet
from latentseq.drawing.writers import encode_png
from latentseq.protocols import Dataset, Dynamics, Encoder, Predictor
from latentseq.storage.latents import LatentFolder

FRAMES = 8
"""Frames in a picture of reconstructions."""
STEPS = 20
"""Frames in a picture of a rollout, with those that prime it."""


def reconstructions(encoder: Encoder, dataset: Dataset) -> bytes:
    """Draw evenly spread validation frames above their reconstructions, as PNG."""
    clips, frames = _spread(split_ranges(dataset.lengths, dataset.split, dataset.hold_out)["validation"])
    x = to_float(dataset.read_windows(clips, frames, 1).frames[:, 0])
    rows = [Row("input", x), Row("reconstruction", encoder.decode(encoder.encode(x).mean))]
    return encode_png(sheet(rows))


def rollouts(dynamics: Dynamics, encoder: Encoder, latents: LatentFolder) -> bytes:
    """Draw the start of the longest validation clip, as PNG.

    The upper row is its latents, decoded; the lower row is a rollout from the first half of them.
    """
    clip, start, steps, context = _longest(latents)
    rows = latents.read(clip, start, start + steps)
    z = Latents(rows["mean"][None, :context], rows["log_var"][None, :context] if "log_var" in rows else None)
    conditions = {name: rows[name][None] for name in dynamics.conditions}
    _, state = dynamics.observe(z, conditions={k: v[:, :context] for k, v in conditions.items()})
    pictures = [Row("truth", encoder.decode(rows["mean"]))]
    if steps > context:
        later = {k: v[:, context:] for k, v in conditions.items()}
        rollout, _ = dynamics.imagine(state, steps - context, seed=0, temperature=0.0, conditions=later)
        pictures.append(Row("rollout", encoder.decode(rollout[0]), start=context))
    return encode_png(sheet(pictures, border_at=context))


def continuations(predictor: Predictor, dataset: Dataset) -> bytes:
    """Draw the start of the longest validation clip above a prediction of its second half, as PNG."""
    clip, start, steps, context = _longest(dataset)
    context = min(steps, max(context, predictor.context))
    window = dataset.read(clip, start, start + steps)
    frames = to_float(window.frames)
    conditions = {name: window.streams[name][None] for name in predictor.conditions}
    pictures = [Row("truth", frames)]
    if steps > context:
        futures = predictor.predict(frames[None, :context], steps - context, temperature=0.0, conditions=conditions)
        pictures.append(Row("rollout", futures[0, 0], start=context))
    return encode_png(sheet(pictures, border_at=context))


def _longest(data: Dataset | LatentFolder) -> tuple[int, int, int, int]:
    """Number and start of the longest validation clip, frames to draw, and how many of them prime the model."""
    ranges = split_ranges(data.lengths, data.split, data.hold_out)["validation"]
    clip, start, stop = ranges[np.argmax(ranges[:, 2] - ranges[:, 1])].tolist()
    steps = min(STEPS, stop - start)
    return clip, start, steps, max(1, steps // 2)


def _spread(ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clips and frame numbers of ``FRAMES`` frames, evenly spread over the ranges."""
    ends = np.cumsum(ranges[:, 2] - ranges[:, 1])
    indices = np.linspace(0, ends[-1] - 1, min(FRAMES, int(ends[-1]))).astype(np.int64)
    row = np.searchsorted(ends, indices, side="right")
    return ranges[row, 0], ranges[row, 2] - (ends[row] - indices)
