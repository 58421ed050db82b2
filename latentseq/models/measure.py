"""Measure predictors on windows of data: errors, the floors to compare with, and the sources of the error."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from latentseq.arrays import Batch, Latents, Source, State, Windows, check_finite, to_float
from latentseq.data.open import check_streams
from latentseq.data.splits import split_ranges
from latentseq.data.windows import RangeWindows, spread_indices
from latentseq.errors import UsageError
from latentseq.evaluation.ensemble import ensemble_scores, spread_and_skill
from latentseq.evaluation.floors import LINEAR, bits_per_dimension, extrapolate, floors, persistence_log_prob
from latentseq.evaluation.metrics import frame_scores, squared_error, steps
from latentseq.evaluation.protocol import Protocol
from latentseq.models.latent import encode_windows
from latentseq.models.linear_floor import LinearFloor
from latentseq.protocols import Dataset, LatentView, Predictor, Progress

BATCH_VALUES = 1 << 22
"""Approximate number of frame values in a batch; a batch has at least one window."""
TRAINING_PAIRS = 500
"""Number of evenly spread pairs of training frames for the mean training frame and the usual step."""

MASK = "_mask"
"""Suffix of a stream that masks another one: ``audio_mask`` says where ``audio`` is present."""

Tree: TypeAlias = dict[str, Any]
"""Nested dicts of scores, each (b, t)."""


class Measured(NamedTuple):
    """The result of ``measure``.

    Attributes:
        metrics: metrics as JSON; each has a ``mean`` and one value for each step, ``by_horizon``.
        windows: the measured windows, with ``frames`` (b, t, h, w, c) and the streams.
        errors: (n,) by model: the squared error of every window, as a mean over its frames.
    """

    metrics: dict[str, Any]
    windows: Windows
    errors: dict[str, np.ndarray]


class _Training(NamedTuple):
    """Statistics of the training data for the floors.

    Attributes:
        frames: number of frames that the statistics are computed from.
        mean: (h, w, c) mean frame; None if there are no training frames.
        steps: (*latent_shape) root mean square of a step in the latents, by model.
        linear: the linear floor; None if the training clips or the context are too short.
    """

    frames: int
    mean: np.ndarray | None
    steps: dict[str, np.ndarray]
    linear: LinearFloor | None = None


def measure(models: Mapping[str, Predictor], dataset: Dataset, protocol: Protocol, progress: Progress) -> Measured:
    """Measure predictors on the same windows. Only a few windows are in memory at a time.

    Args:
        models: predictors by name.
        dataset: dataset with the frame shape of the models.
        protocol: options of the evaluation.
        progress: progress display, updated after every few windows.

    Raises:
        UsageError: no clip is long enough for a window, or a model needs a longer context.
        DataError: the data has no clips of the split or lacks streams that a model needs, or a model predicts values
            that are not finite.
    """
    windows = _EvenWindows(dataset, protocol)
    for name, predictor in models.items():
        check_streams(dataset, predictor.conditions, f"The model {name}")
        if protocol.context < predictor.context:
            raise UsageError(
                f"The model {name} predicts from {predictor.context} frames, and the context is {protocol.context}. "
                f"Use --context {predictor.context} or more."
            )
    parts, conditioned = [], any(predictor.conditions for predictor in models.values())
    with contextlib.closing(progress):
        progress.update(0.0, "training frames, for the floors")
        training = _training(models, dataset)._replace(linear=_linear_floor(dataset, protocol))
        for indices in _slices(len(windows), windows.length * windows.frame_size):
            batch, other = windows.take(indices), None
            if conditioned and len(windows) > 1:
                other = windows.take((indices + len(windows) // 2) % len(windows))
            parts.append(_batch(models, batch, other, protocol, training, int(indices[0])))
            progress.update((indices[-1] + 1) / len(windows), f"{indices[-1] + 1} of {len(windows)} windows")
    scores = _join(parts)
    scores = _as_shares(scores, scores.pop("truth")["sharpness"])
    metrics = {
        "protocol": {
            **protocol.to_json(dataset.frame_shape),
            "clips": windows.clips,
            "windows": len(windows),
            "training_frames": training.frames,
            "data": {"name": dataset.name, "options": dataset.get_config(), "fingerprint": dataset.fingerprint()},
        },
        "floors": _summary(scores["floors"]),
        "models": {
            name: {"parameters": models[name].count_parameters(), **_model_summary(tree, protocol.samples)}
            for name, tree in scores["models"].items()
        },
    }
    errors = {name: tree["prediction"]["mse"].mean(axis=1) for name, tree in scores["models"].items()}
    return Measured(metrics, windows, errors)


class _EvenWindows(Windows):
    """The measured windows: they do not overlap, and are evenly spread."""

    def __init__(self, dataset: Dataset, protocol: Protocol):
        ranges = protocol.ranges(dataset.lengths, dataset.split, dataset.hold_out)
        self.length = protocol.context + protocol.horizon
        self.frame_size = int(np.prod(dataset.frame_shape))
        self._all = RangeWindows(ranges, self.length, self.length, _reader(dataset))
        self._indices = spread_indices(len(self._all), protocol.clips)
        self.clips = len(np.unique(self._all.places(self._indices)[0]))

    def __len__(self) -> int:
        return len(self._indices)

    def take(self, indices: np.ndarray) -> Batch:
        return self._all.take(self._indices[indices])


def _reader(dataset: Dataset) -> Any:
    def read(clips: np.ndarray, starts: np.ndarray, length: int) -> Batch:
        clip = dataset.read_windows(clips, starts, length)
        return {**clip.streams, "frames": to_float(clip.frames)}

    return read


def _training(models: Mapping[str, Predictor], dataset: Dataset) -> _Training:
    """Compute the mean training frame, and the root mean square of a step in the latents of each latent model."""
    ranges = split_ranges(dataset.lengths, dataset.split, dataset.hold_out)
    pairs = RangeWindows(ranges["train"], 2, 1, _reader(dataset))
    indices = spread_indices(len(pairs), TRAINING_PAIRS)
    views = {name: model.latent_view for name, model in models.items()}
    encoders = {name: view.encoder for name, view in views.items() if view}
    total, squares = np.zeros(dataset.frame_shape), {name: np.zeros(e.latent_shape) for name, e in encoders.items()}
    for rows in _slices(len(indices), 2 * total.size):
        frames = pairs.take(indices[rows])["frames"]
        total += frames[:, 0].sum(axis=0, dtype=np.float64)
        for name, encoder in encoders.items():
            differences = np.diff(encode_windows(encoder, frames).mean.astype(np.float64), axis=1)
            squares[name] += np.square(differences).sum(axis=(0, 1))
    n = len(indices)
    return _Training(n, total / n, {k: np.sqrt(v / n) for k, v in squares.items()}) if n else _Training(0, None, {})


def _linear_floor(dataset: Dataset, protocol: Protocol) -> LinearFloor | None:
    """Fit the linear floor to windows of training and validation clips that are as long as those of the protocol."""
    ranges = split_ranges(dataset.lengths, dataset.split, dataset.hold_out)
    windows: list[Windows] = []
    for name in ("train", "validation"):
        longest = int((ranges[name][:, 2] - ranges[name][:, 1]).max(initial=0))
        length = min(protocol.context + protocol.horizon, longest)
        if protocol.context < 2 or length < 3:
            return None
        windows.append(RangeWindows(ranges[name], length, 1, _reader(dataset)))
    return LinearFloor(Source(windows[0], windows[1]))


def _batch(
    models: Mapping[str, Predictor],
    batch: Batch,
    other: Batch | None,
    protocol: Protocol,
    training: _Training,
    first: int,
) -> Tree:
    """Compute the scores of a few windows.

    Args:
        models: predictors by name.
        batch: the windows.
        other: different windows, whose streams replace those of ``batch`` for the score "shuffled".
        protocol: options of the evaluation.
        training: statistics of the training data.
        first: number of the first window in ``batch``.
    """
    context, truth = np.split(batch["frames"], [protocol.context], axis=1)
    predictions = floors(context, protocol.horizon, training.mean)
    if training.linear:
        predictions[LINEAR] = training.linear.predict(context, protocol.horizon)
    return {
        "truth": {"sharpness": _sharpness(truth)},
        "floors": {name: _scores(prediction, truth) for name, prediction in predictions.items()},
        "models": {
            name: {
                **_model(name, predictor, batch, protocol, training.steps.get(name), first),
                **_streams(predictor, batch, other, protocol.context),
            }
            for name, predictor in models.items()
        },
    }


def _model(
    name: str, predictor: Predictor, batch: Batch, protocol: Protocol, step: np.ndarray | None, first: int
) -> Tree:
    frames, context, horizon = batch["frames"], protocol.context, protocol.horizon
    observed, truth = np.split(frames, [context], axis=1)
    streams = {key: batch[key] for key in predictor.conditions}
    past, later = ({k: v[:, part] for k, v in streams.items()} for part in (slice(context), slice(context, None)))
    forecast, state = predictor.observe(observed, conditions=past)
    one_step = forecast[:, -1:]
    if horizon > 1:
        forecast, _ = predictor.observe(truth[:, :-1], state, conditions={k: v[:, :-1] for k, v in later.items()})
        one_step = np.concatenate([one_step, forecast], axis=1)
    imagined = predictor.futures(state, horizon, temperature=0.0, conditions=later)[:, 0]
    reconstruction = predictor.reconstruct(truth)
    for verb, values in (("forecasts", one_step), ("reconstructs", reconstruction)):
        check_finite(values, f"The model {name} {verb}")
    scores = {"prediction": _scores(imagined, truth), "reconstruction": _scores(reconstruction, truth)}
    reconstruction_error, one_step_error = scores["reconstruction"]["mse"], squared_error(one_step, truth)
    scores["attribution"] = {
        "reconstruction": reconstruction_error,
        "one_step": one_step_error - reconstruction_error,
        "drift": scores["prediction"]["mse"] - one_step_error,
    }
    if view := predictor.latent_view:
        z = encode_windows(view.encoder, frames)
        scores |= _latent(view, z, truth, streams, context, step)
    if protocol.samples > 1:
        scores["ensemble"] = _ensemble(predictor, state, truth, later, protocol, first)
    return scores


def _streams(predictor: Predictor, batch: Batch, other: Batch | None, context: int) -> Tree:
    """Score the rollout with each stream muted (set to 0) and shuffled (taken from another window)."""
    observed, truth = np.split(batch["frames"], [context], axis=1)
    scores: Tree = {}
    for name in sorted(predictor.conditions):
        own = [key for key in (name, f"{name}{MASK}") if key in predictor.conditions]
        if name.endswith(MASK) and name.removesuffix(MASK) in predictor.conditions:
            continue  # A mask is changed together with its stream.
        changes = {"muted": {key: np.zeros_like(batch[key]) for key in own}}
        if other is not None:
            changes["shuffled"] = {key: other[key] for key in own}
        scores[name] = {}
        for way, changed in changes.items():
            streams = {key: changed.get(key, batch[key]) for key in predictor.conditions}
            prediction = predictor.predict(observed, truth.shape[1], temperature=0.0, conditions=streams)[:, 0]
            scores[name][way] = _scores(prediction, truth)
    return {"streams": scores} if scores else {}


def _scores(prediction: np.ndarray, truth: np.ndarray) -> Tree:
    """Scores of predicted frames, and their sharpness."""
    return {**frame_scores(prediction, truth), "sharpness": _sharpness(prediction)}


def _sharpness(frames: np.ndarray) -> np.ndarray:
    """Mean difference between neighbouring pixels of each frame, (b, t)."""
    return steps(frames).mean(axis=(2, 3, 4))


def _as_shares(tree: Tree, truth: np.ndarray) -> Tree:
    """Divide every sharpness by the mean sharpness of the truth (b, t) at that step.

    The mean is taken first, since the sharpness of a single true frame may be 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            key: _as_shares(value, truth)
            if isinstance(value, dict)
            else value / truth.mean(axis=0)
            if key == "sharpness"
            else value
            for key, value in tree.items()
        }


def _latent(
    view: LatentView,
    z: Latents,
    truth: np.ndarray,
    streams: Mapping[str, np.ndarray],
    context: int,
    step: np.ndarray | None,
) -> Tree:
    """Scores of a latent model that are measured on latents ``z`` (b, context + horizon, *latent_shape)."""
    scores: Tree = {}
    if context > 1:
        line = extrapolate(z.mean[:, :context], truth.shape[1])
        frames = view.encoder.decode(line.reshape(-1, *line.shape[2:])).reshape(truth.shape)
        scores["linear_in_z"] = _scores(frames, truth)
    inputs = Latents(z.mean[:, :-1], None if z.log_var is None else z.log_var[:, :-1])
    forecast, _ = view.dynamics.observe(inputs, conditions={k: v[:, :-1] for k, v in streams.items()})
    densities = {"model": forecast.log_prob(z.mean[:, 1:])[:, context - 1 :]}
    if step is not None:
        densities["persistence"] = persistence_log_prob(z.mean[:, context - 1 :], step)
    shape = view.encoder.latent_shape
    scores["bits_per_dimension"] = {name: bits_per_dimension(each, shape) for name, each in densities.items()}
    return scores


def _ensemble(
    predictor: Predictor,
    state: State,
    truth: np.ndarray,
    later: Mapping[str, np.ndarray],
    protocol: Protocol,
    first: int,
) -> Tree:
    parts = []
    for rows in _slices(len(truth), protocol.samples * truth[0].size):
        futures = predictor.futures(
            {k: v[rows] for k, v in state.items()},
            protocol.horizon,
            samples=protocol.samples,
            # Noise depends on seed and step, so every batch of windows needs a seed of its own.
            seed=int(np.random.SeedSequence([protocol.seed, first + int(rows[0])]).generate_state(1)[0] >> 1),
            temperature=protocol.temperature,
            conditions={k: v[rows] for k, v in later.items()},
        )
        parts += [ensemble_scores(each, truth[row]) for each, row in zip(futures, rows, strict=True)]
    return _join(parts)


def _model_summary(scores: Tree, samples: int) -> dict[str, Any]:
    scores = dict(scores)
    ensemble = dict(scores.pop("ensemble", {}))
    summary = _summary(scores)
    if ensemble:
        spread = spread_and_skill(ensemble.pop("variance"), ensemble.pop("squared_error"), samples)
        summary["ensemble"] = {**_summary(ensemble), **{k: _values(v[0], v[1:]) for k, v in spread.items()}}
    return summary


def _join(trees: Sequence[Tree]) -> Tree:
    """Concatenate the scores of batches."""
    first = trees[0]
    return {
        key: _join([tree[key] for tree in trees])
        if isinstance(value, dict)
        else np.concatenate([tree[key] for tree in trees])
        for key, value in first.items()
    }


def _summary(tree: Tree) -> dict[str, Any]:
    """Average scores over windows, as JSON."""
    return {
        key: _summary(value) if isinstance(value, dict) else _values(value.mean(), value.mean(axis=0))
        for key, value in tree.items()
    }


def _values(mean: float, by_horizon: np.ndarray) -> dict[str, Any]:
    return {"mean": _number(mean), "by_horizon": [_number(x) for x in by_horizon]}


def _number(x: float) -> float | None:
    """Round to six digits, since the last bits differ between machines; None if not finite."""
    return float(f"{x:.6g}") if np.isfinite(x) else None


def _slices(n: int, size: int) -> Iterator[np.ndarray]:
    """Split the indices 0 to ``n`` - 1 into batches of about ``BATCH_VALUES`` values, at ``size`` values an item."""
    count = max(1, BATCH_VALUES // size)
    for start in range(0, n, count):
        yield np.arange(start, min(start + count, n))
