"""How surprised a model is along a video: -log p of every frame's latent, given the frames before it."""

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
UNIT = "nats"
CHUNK, CHUNK_BYTES = 128, 16 << 20
"""Frames read and observed at a time, and bytes of them."""
APART = 0.5
"""Seconds: what lies closer together is one moment."""


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
        data: DATA; files are decoded as those that the model was trained on.
        out: a folder.
        clip: which clip; the first test clip where None, or the first where the data has no splits of its own.
        top: how many moments are named; what lies within half a second is one.
        data_options: the dataset's keywords.
        allow_plugins: names of plugins that the model's parts may be, beside the built-in ones.
        overwrite: replace an earlier result.
        quiet: show no progress.

    Returns:
        ``out``: surprise.csv (a row for every frame), surprise.png (the curve), surprise.mp4 (the video over the
        curve) and surprise.json (the moments). Frames and seconds count from the start of the clip; seconds are the
        times at which the frames are shown.

    Raises:
        LatentseqError: model, data, clip or output do not fit.
    """
    from latentseq.drawing.charts import curve_chart  # Matplotlib takes a third of a second to import.

    out = Path(out)
    if top < 1:
        raise UsageError(f"top is {top}; expected 1 moment or more.")
    check_out(out, RECORD, overwrite, data, model)
    artifact = read_artifact(Path(model)).allow(allow_plugins)
    dataset = data_for(artifact, data, data_options, watcher=Watcher("surprise", quiet=quiet))
    chosen = first_clip(dataset) if clip is None else clip
    dataset.check_range(chosen, 0, None)
    predictor = load_predictor(model, allow_plugins=allow_plugins)
    times, fps = dataset.times(chosen), dataset.fps
    with (
        output_folder(out, RECORD, overwrite=overwrite) as folder,
        contextlib.closing(Watcher("surprise", quiet=quiet)) as watcher,
    ):
        values = surprisal(predictor, dataset, chosen, watcher)
        found = moments(values, top, times, APART)
        told = zip(times.tolist(), values.tolist(), strict=True)
        rows = [f"{t},{s:.3f},{'' if np.isnan(v) else f'{v:.8g}'}\n" for t, (s, v) in enumerate(told)]
        write_bytes(folder / "surprise.csv", "".join(["frame,seconds,nats\n", *rows]).encode())
        chart = curve_chart(values, times=times, marks=found, ylabel=f"surprise, {UNIT}")
        write_bytes(folder / "surprise.png", chart)
        frames = chain.from_iterable(part.frames for part in _parts(dataset, chosen, watcher, "drawn", 0.5))
        pictures = over_curve(frames, dataset.frame_shape[:2], values, times=times, marks=found, unit=UNIT)
        write_frames(folder / "surprise.mp4", lambda: (p[None] for p in pictures), times=times, fps=fps)
        record = {
            "model": artifact.fingerprint,
            "source": {"dataset": dataset.name, "config": dataset.get_config()},
            "clip": chosen,
            "frames": len(values),
            "fps": fps,
            "moments": [{"frame": t, "seconds": round(float(times[t]), 3), UNIT: float(values[t])} for t in found],
        }
        write_json(folder / RECORD, record)
    return out


def table(out: str | Path) -> str:
    """The most surprising moments as a table: time, frame and nats, the most surprising first.

    Args:
        out: the folder that ``surprise`` wrote.
    """
    record = read_json(Path(out) / RECORD, "moments of surprise")
    with as_written(Path(out)):
        lines = [f"{clock(m['seconds']):>9}  frame {m['frame']:<7} {m[UNIT]:10.1f} {UNIT}" for m in record["moments"]]
    return "\n".join(lines)


def surprisal(predictor: Predictor, dataset: Dataset, clip: int, watcher: Watcher | None = None) -> np.ndarray:
    """-log p(z[t] | z[..t - 1]) for every frame t of a clip, by the model's own density.

    Frames are read and observed a stretch at a time, with the state carried on: memory does not grow with the clip.

    Args:
        predictor: an encoder and dynamics.
        dataset: of frames that the encoder takes, with the streams that drive the dynamics.
        clip: which clip.
        watcher: is told how far it is.

    Returns:
        (t,) float64, nats in the encoder's own units; NaN for the first frame, of which nothing was expected.

    Raises:
        UsageError: no such clip.
        DataError: the model has no latents, the data lacks a stream, the clip is a single frame, or a density is not
            a finite number.
    """
    view = predictor.latent_view
    if view is None:
        raise DataError(
            f"The predictor {predictor.name!r} works on frames and has no density of latents, which surprise is "
            "measured by. Expected the folder that train-lstm wrote."
        )
    _, length = dataset.check_range(clip, 0, None)
    check_streams(dataset, predictor.conditions, "The model")
    if length < 2:
        raise DataError(
            f"Clip {clip} of {dataset.name} has 1 frame; expected 2 or more: nothing foretells the first."
        )
    encoder, dynamics = view
    found, state, rows = [np.full(1, np.nan)], None, Batch()
    for part in _parts(dataset, clip, watcher, "observed", 0.0):
        encoded = encode_windows(encoder, to_float(part.frames)[None])._asdict()
        fresh = {k: v for k, v in encoded.items() if v is not None}
        fresh |= {name: part.streams[name][None] for name in dynamics.conditions}
        # The last item of the stretch before was expected, and is what the first of this one follows on.
        rows = {k: np.concatenate([rows[k][:, -1:], v], axis=1) for k, v in fresh.items()} if rows else fresh
        known = {k: v[:, :-1] for k, v in rows.items()}
        streams = {name: known[name] for name in dynamics.conditions}
        forecast, state = dynamics.observe(Latents(known["mean"], known.get("log_var")), state, conditions=streams)
        found.append(-forecast.log_prob(rows["mean"][:, 1:])[0].astype(np.float64))
    values = np.concatenate(found)
    wrong = np.flatnonzero(~np.isfinite(values[1:])) + 1
    if len(wrong):
        raise DataError(
            f"-log p is {values[wrong[0]]} at frame {wrong[0]} of clip {clip}; expected a finite number. The model "
            "is damaged, or was never trained on anything like this: train it again, or give other data."
        )
    return values


def moments(values: np.ndarray, top: int, times: np.ndarray, apart: float) -> list[int]:
    """The frames of the highest values, highest first, none within ``apart`` seconds of a higher one.

    The foot of a peak is no moment of its own, even where it is far enough from other moments.

    Args:
        values: (t,); NaN is no candidate.
        top: at most so many.
        times: (t,) seconds at which the frames are shown, rising.
        apart: seconds.
    """
    known = np.where(np.isnan(values), -np.inf, values)
    apart += 1e-6  # Times are sums of floating-point numbers.
    near = np.searchsorted(times, times - apart), np.searchsorted(times, times + apart, side="right")
    # The maximum of each stretch of frames that are near; what lies between two stretches is left out.
    highest = np.maximum.reduceat(np.append(known, -np.inf), np.stack(near, axis=1).ravel())[::2]
    peaks = np.flatnonzero((known == highest) & np.isfinite(known))
    found: list[int] = []
    for t in peaks[np.argsort(-known[peaks], kind="stable")].tolist():
        # Of equal values the first.
        if len(found) < top and all(abs(times[t] - times[other]) > apart for other in found):
            found.append(t)
    return found


def _parts(dataset: Dataset, clip: int, watcher: Watcher | None, done: str, share: float) -> Iterator[Clip]:
    """A clip, a stretch at a time; the first is one longer, so that each has as many frames to foretell."""
    length = int(dataset.lengths[clip])
    step = max(1, min(CHUNK, CHUNK_BYTES // int(np.prod(dataset.frame_shape))))
    edges = [0, *range(step + 1, length, step), length]
    for start, stop in pairwise(edges):
        yield dataset.read(clip, start, stop)
        if watcher:
            watcher.update(share + stop / length / 2, f"{stop} of {length} frames {done}")
