"""The pictures that a run draws of itself while it trains."""

import numpy as np

from latentseq.arrays import Latents, to_float
from latentseq.data.splits import split_ranges
from latentseq.drawing.picture import Row, sheet
from latentseq.drawing.writers import encode_png
from latentseq.protocols import Dataset, Dynamics, Encoder, Predictor
from latentseq.storage.latents import LatentFolder

FRAMES = 8
STEPS = 20


def reconstructions(encoder: Encoder, dataset: Dataset) -> bytes:
    """Validation frames, evenly spread: input over reconstruction; PNG."""
    clips, frames = _spread(split_ranges(dataset.lengths, dataset.split)["validation"])
    x = to_float(dataset.read_windows(clips, frames, 1).frames[:, 0])
    rows = [Row("input", x), Row("reconstruction", encoder.decode(encoder.encode(x).mean))]
    return encode_png(sheet(rows))


def rollouts(dynamics: Dynamics, encoder: Encoder, latents: LatentFolder) -> bytes:
    """The start of the longest validation clip: its latents decoded, over a rollout from the first half; PNG."""
    clip, start, steps, primed = _longest(latents)
    rows = latents.read(clip, start, start + steps)
    known = Latents(rows["mean"][None, :primed], rows["log_var"][None, :primed] if "log_var" in rows else None)
    conditions = {name: rows[name][None] for name in dynamics.conditions}
    _, state = dynamics.observe(known, conditions={k: v[:, :primed] for k, v in conditions.items()})
    pictures = [encoder.decode(rows["mean"])]
    if steps > primed:
        later = {k: v[:, primed:] for k, v in conditions.items()}
        z, _ = dynamics.imagine(state, steps - primed, seed=0, temperature=0.0, conditions=later)
        pictures.append(encoder.decode(z[0]))
    named = [Row("truth", pictures[0]), *(Row("rollout", p, start=primed) for p in pictures[1:])]
    return encode_png(sheet(named, border_at=primed))


def continuations(predictor: Predictor, dataset: Dataset) -> bytes:
    """The start of the longest validation clip over what a predictor makes of its second half; PNG."""
    clip, start, steps, primed = _longest(dataset)
    primed = min(steps, max(primed, predictor.context))
    shown = dataset.read(clip, start, start + steps)
    frames = to_float(shown.frames)
    conditions = {name: shown.streams[name][None] for name in predictor.conditions}
    named = [Row("truth", frames)]
    if steps > primed:
        futures = predictor.predict(frames[None, :primed], steps - primed, temperature=0.0, conditions=conditions)
        named.append(Row("rollout", futures[0, 0], start=primed))
    return encode_png(sheet(named, border_at=primed))


def _longest(data: Dataset | LatentFolder) -> tuple[int, int, int, int]:
    """The longest validation clip: its number, where it starts, steps to show, and how many of them are primed."""
    ranges = split_ranges(data.lengths, data.split)["validation"]
    clip, start, stop = ranges[np.argmax(ranges[:, 2] - ranges[:, 1])].tolist()
    steps = min(STEPS, stop - start)
    return clip, start, steps, max(1, steps // 2)


def _spread(ranges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Clips and frame numbers, ``FRAMES`` of them, evenly over all frames of the ranges."""
    ends = np.cumsum(ranges[:, 2] - ranges[:, 1])
    chosen = np.linspace(0, ends[-1] - 1, min(FRAMES, int(ends[-1]))).astype(np.int64)
    row = np.searchsorted(ends, chosen, side="right")
    return ranges[row, 0], ranges[row, 2] - (ends[row] - chosen)
