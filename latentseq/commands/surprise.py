"""A model's surprise along a video: -log p of the latent of every frame, given the frames before it."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.arrays import Batch, Clip, Latents, to_float
from latentseq.commands.runs import check_out
from latentseq.data.open import check_streams
from latentseq.drawing.timeline import clock, over_curve
from latentseq.drawing.writers import write_frames
from latentseq.errors import DataError, UsageError
from latentseq.models.continuation import first_clip
from latentseq.models.latent import encode_windows
from latentseq.models.run import data_for, load_predictor
from latentseq.protocols import Dataset, Predictor
from latentseq.storage.artifact import read_artifact
from latentseq.storage.atomic import read_json, write_bytes, write_json
from latentseq.storage.folders import output_folder
from latentseq.storage.reading import as_written
from latentseq.training.watch import Watcher

RECORD = "surprise.json"
"""File with the moments; it is written last."""
UNIT = "nats"
"""Unit of surprise."""
CHUNK, CHUNK_BYTES = 128, 16 << 20
"""Maximum number of frames, and of their bytes, that are read and observed at a time."""
APART = 0.5
"""Minimum number of seconds between two moments; closer ones count as one."""


def surprise(
    model: str | Path,
    data: str | Path,
    out: str | Path = "surprise",
    *,
    clip: int | None = None,
    top: int = 5,
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Find the moments of a video that a model did not expect.

    Args:
        model: run folder of ``train_lstm``.
        data: path or name of the data; files are decoded as in the model's training.
        out: output folder.
        clip: number of the clip; None for the first test clip, or for clip 0 if the data has no splits of its own.
        top: number of moments to list; peaks less than half a second apart count as one moment.
        data_options: keyword arguments of the dataset.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.
        overwrite: replace an existing result.
        quiet: show no progress.

    Returns:
        ``out``, with surprise.csv (a row for every frame), surprise.png (the curve), surprise.mp4 (the video above
        the curve) and surprise.json (the moments). Frames and seconds are counted from the start of the clip; seconds
        are presentation times.

    Raises:
        LatentseqError: the model, the data, the clip or the output is not valid.
    """
    from latentseq.drawing.charts import curve_chart  # Matplotlib takes a third of a second to import.

    out = Path(out)
    if top < 1:
        raise UsageError(f"top is {top}; expected 1 moment or more.")
    check_out(out, RECORD, overwrite, data, model)
    artifact = read_artifact(Path(model)).allow(allow_plugins)
    dataset = data_for(artifact, data, data_options, watcher=Watcher("surprise", quiet=quiet))
    index = first_clip(dataset) if clip is None else clip
    dataset.check_range(index, 0, None)
    predictor = load_predictor(model, allow_plugins=allow_plugins)
    times, fps = dataset.times(index), dataset.fps
    with (
        output_folder(out, RECORD, overwrite=overwrite) as folder,
        contextlib.closing(Watcher("surprise", quiet=quiet)) as watcher,
    ):
        values = surprisal(predictor, dataset, index, watcher)
        peaks = moments(values, top, times, APART)
        pairs = zip(times.tolist(), values.tolist(), strict=True)
        rows = [f"{t},{s:.3f},{'' if np.isnan(v) else f'{v:.8g}'}\n" for t, (s, v) in enumerate(pairs)]
        write_bytes(folder / "surprise.csv", "".join(["frame,seconds,nats\n", *rows]).encode())
        chart = curve_chart(values, times=times, marks=peaks, ylabel=f"surprise, {UNIT}")
        write_bytes(folder / "surprise.png", chart)
        frames = chain.from_iterable(part.frames for part in _parts(dataset, index, watcher, "drawn", 0.5))
        pictures = over_curve(frames, dataset.frame_shape[:2], values, times=times, marks=peaks, unit=UNIT)
        write_frames(folder / "surprise.mp4", lambda: (p[None] for p in pictures), times=times, fps=fps)
        record = {
            "model": artifact.fingerprint,
            "source": {"dataset": dataset.name, "config": dataset.get_config()},
            "clip": index,
            "frames": len(values),
            "fps": fps,
            "moments": [{"frame": t, "seconds": round(float(times[t]), 3), UNIT: float(values[t])} for t in peaks],
        }
        write_json(folder / RECORD, record)
    return out


def table(out: str | Path) -> str:
    """Format the moments as a table of times, frames and nats, with the most surprising moment first.

    Args:
        out: output folder of ``surprise``.
    """
    record = read_json(Path(out) / RECORD, "moments of surprise")
    with as_written(Path(out)):
        lines = [f"{clock(m['seconds']):>9}  frame {m['frame']:<7} {m[UNIT]:10.1f} {UNIT}" for m in record["moments"]]
    return "\n".join(lines)


def surprisal(predictor: Predictor, dataset: Dataset, clip: int, watcher: Watcher | None = None) -> np.ndarray:
    """Compute -log p(z[t] | z[..t - 1]) under the model for every frame t of a clip.

    Frames are read and observed in chunks, and the state is carried over, so memory does not grow with the clip.

    Args:
        predictor: an encoder and dynamics.
        dataset: dataset with the encoder's frame shape and the streams that the dynamics need as conditions.
        clip: number of the clip.
        watcher: progress display; None to show nothing.

    Returns:
        (t,) float64 in nats, of densities in the encoder's units; NaN for the first frame, which is not predicted.

    Raises:
        UsageError: the clip does not exist.
        DataError: the model has no latents, the data lacks a stream, the clip has a single frame, or a density is not
            finite.
    """
    view = predictor.latent_view
    if view is None:
        raise DataError(
            f"The predictor {predictor.name!r} works on frames, but surprise needs a density of latents. Expected a "
            "run folder of train-lstm."
        )
    _, length = dataset.check_range(clip, 0, None)
    check_streams(dataset, predictor.conditions, "The model")
    if length < 2:
        raise DataError(
            f"Clip {clip} of {dataset.name} has 1 frame; expected 2 or more, since the first is not predicted."
        )
    encoder, dynamics = view
    chunks, state, rows = [np.full(1, np.nan)], None, Batch()
    for part in _parts(dataset, clip, watcher, "observed", 0.0):
        encoded = encode_windows(encoder, to_float(part.frames)[None])._asdict()
        items = {k: v for k, v in encoded.items() if v is not None}
        items |= {name: part.streams[name][None] for name in dynamics.conditions}
        # The last item of the previous chunk is observed here, since it predicts the first item of this chunk.
        rows = {k: np.concatenate([rows[k][:, -1:], v], axis=1) for k, v in items.items()} if rows else items
        inputs = {k: v[:, :-1] for k, v in rows.items()}
        streams = {name: inputs[name] for name in dynamics.conditions}
        forecast, state = dynamics.observe(Latents(inputs["mean"], inputs.get("log_var")), state, conditions=streams)
        chunks.append(-forecast.log_prob(rows["mean"][:, 1:])[0].astype(np.float64))
    values = np.concatenate(chunks)
    invalid = np.flatnonzero(~np.isfinite(values[1:])) + 1
    if len(invalid):
        raise DataError(
            f"-log p is {values[invalid[0]]} at frame {invalid[0]} of clip {clip}; expected a finite number. The "
            "model is damaged, or the data is unlike its training data. Train the model again, or use other data."
        )
    return values


def moments(values: np.ndarray, top: int, times: np.ndarray, apart: float) -> list[int]:
    """Find the frames of the highest peaks, highest first, with no higher value within ``apart`` seconds.

    A frame on the slope of a peak is not a moment of its own, even if it is far enough from other moments.

    Args:
        values: (t,) values; NaN is ignored.
        top: maximum number of moments.
        times: (t,) increasing presentation times of the frames, in seconds.
        apart: minimum number of seconds between two moments.
    """
    values = np.where(np.isnan(values), -np.inf, values)
    apart += 1e-6  # Times have rounding errors.
    near = np.searchsorted(times, times - apart), np.searchsorted(times, times + apart, side="right")
    # The maximum in the neighbourhood of each frame; the odd entries lie between two neighbourhoods.
    highest = np.maximum.reduceat(np.append(values, -np.inf), np.stack(near, axis=1).ravel())[::2]
    peaks = np.flatnonzero((values == highest) & np.isfinite(values))
    frames: list[int] = []
    for t in peaks[np.argsort(-values[peaks], kind="stable")].tolist():
        # Of equal values, the first one counts.
        if len(frames) < top and all(abs(times[t] - times[other]) > apart for other in frames):
            frames.append(t)
    return frames


def _parts(dataset: Dataset, clip: int, watcher: Watcher | None, verb: str, share: float) -> Iterator[Clip]:
    """Read a clip in chunks. The first one has one more frame, so that all chunks have as many predicted frames."""
    length = int(dataset.lengths[clip])
    step = max(1, min(CHUNK, CHUNK_BYTES // int(np.prod(dataset.frame_shape))))
    edges = [0, *range(step + 1, length, step), length]
    for start, stop in pairwise(edges):
        yield dataset.read(clip, start, stop)
        if watcher:
            watcher.update(share + stop / length / 2, f"{stop} of {length} frames {verb}")
