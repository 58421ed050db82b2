"""Measure trained models on data, compare them with floors, and draw their predictions."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.arrays import Clip, Windows
from latentseq.commands.runs import check_out
from latentseq.data.open import check_seed, is_footage
from latentseq.drawing.picture import Row, sheet
from latentseq.drawing.writers import encode_png
from latentseq.errors import UsageError
from latentseq.evaluation.floors import FLOORS, LINEAR
from latentseq.evaluation.protocol import Protocol
from latentseq.evaluation.report import curves, text
from latentseq.models.continuation import continue_clip
from latentseq.models.measure import Measured, measure
from latentseq.models.run import (
    check_takes,
    data_for,
    frame_shape,
    load_predictor,
    read_cost,
    say_differences,
    takes_any_size,
)
from latentseq.protocols import Dataset, Predictor
from latentseq.storage.artifact import Artifact, read_artifact
from latentseq.storage.atomic import read_json, write_bytes, write_json
from latentseq.storage.folders import output_folder
from latentseq.storage.reading import as_written
from latentseq.training.watch import Watcher

METRICS, COSTS = "metrics.json", "costs.json"
"""Files of an evaluation with its metrics and costs."""
SPEED_WINDOWS = 8
"""Number of windows for the measurement of speed."""


def evaluate(
    models: Sequence[str | Path],
    *,
    data: str | Path,
    data_options: Mapping[str, Any] | None = None,
    context: int = 10,
    horizon: int = 10,
    split: str = "test",
    clips: int = 1000,
    samples: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    size: str | int | None = None,
    out: str | Path = "evaluation",
    allow_plugins: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Measure models and simple baselines on the same windows: their errors, and the sources of the errors.

    Args:
        models: run folders of models for the same frame size, or for any size.
        data: path or name of the data; files are decoded as in the models' training.
        data_options: keyword arguments of the dataset.
        context: number of frames that a model sees.
        horizon: number of frames that it predicts.
        split: test, validation or train. Select models on validation, and report results on test.
        clips: maximum number of windows of ``context + horizon`` frames, evenly spread over the split.
        samples: number of sampled futures of each window; from 2 on, the metrics of samples are computed too.
        temperature: sampling temperature of these futures. All other metrics use the rollout at temperature 0.
        seed: random seed of the sampling noise; the same seed writes the same bytes.
        size: height and width of frames decoded from files, for models that accept any size; None for the size in
            training.
        out: output folder.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.
        overwrite: replace an existing evaluation.
        quiet: show no progress.

    Returns:
        ``out``, with metrics.json, costs.json (which differs from run to run), horizon.png, and strips-NAME.png for
        each model.

    Raises:
        LatentseqError: the models, the data, the options or the output are not valid.
    """
    from latentseq.drawing.charts import error_by_horizon  # Matplotlib takes a third of a second to import.

    out, paths = Path(out), [Path(model) for model in models]
    check_seed(seed)
    protocol = Protocol(context, horizon, split, clips, samples, temperature, seed)
    check_out(out, METRICS, overwrite, data, *paths)
    names = _names(paths)
    artifacts = [read_artifact(path).allow(allow_plugins) for path in paths]
    watcher = Watcher("evaluate", quiet=quiet)
    dataset = _dataset(data, data_options, artifacts, size, watcher)
    predictors = {
        name: load_predictor(path, allow_plugins=allow_plugins) for name, path in zip(names, paths, strict=True)
    }
    with output_folder(out, METRICS, overwrite=overwrite) as folder:
        measured = measure(predictors, dataset, protocol, watcher)
        for name, path, artifact in zip(names, paths, artifacts, strict=True):
            measured.metrics["models"][name] |= {"path": str(path), "fingerprint": artifact.fingerprint}
            rows = strips(predictors[name], measured, name, protocol)
            write_bytes(folder / f"strips-{name}.png", encode_png(sheet(rows, border_at=context)))
        lines = curves(measured.metrics)
        others = [name for name in lines if name not in names]
        write_bytes(folder / "horizon.png", error_by_horizon(lines, ylabel="squared error per frame", floors=others))
        costs = {
            name: {**read_cost(path), "frames_per_second": speed(predictors[name], measured.windows, protocol)}
            for name, path in zip(names, paths, strict=True)
        }
        write_json(folder / COSTS, costs)
        write_json(folder / METRICS, measured.metrics)
    return out


def table(out: str | Path) -> str:
    """Format the results of an evaluation as tables.

    Args:
        out: output folder of ``evaluate``.

    Raises:
        DataError: the folder has no metrics, or they were changed.
    """
    costs = read_json(Path(out) / COSTS, "the costs of an evaluation")
    metrics = read_json(Path(out) / METRICS, "the metrics of an evaluation")
    with as_written(Path(out)):
        return text(metrics, costs)


def speed(predictor: Predictor, windows: Windows, protocol: Protocol) -> float:
    """Measure the predicted frames per second in a batch of a few windows, including the time for the context."""
    batch = windows.take(np.arange(min(SPEED_WINDOWS, len(windows))))
    frames, streams = batch["frames"], {name: batch[name] for name in predictor.conditions}
    seconds = []
    for _ in range(2):  # The first call compiles the model; the second one is measured.
        began = time.perf_counter()
        predictor.predict(
            frames[:, : protocol.context], protocol.horizon, temperature=protocol.temperature, conditions=streams
        )
        seconds.append(time.perf_counter() - began)
    return float(f"{len(frames) * protocol.horizon / seconds[1]:.3g}")


def strips(predictor: Predictor, measured: Measured, name: str, protocol: Protocol) -> list[Row]:
    """Truth, prediction and error of the best, the median and the worst window, as rows of a picture.

    Predictions in the context are one-step forecasts from the true frames. After the context they are a rollout.

    Args:
        predictor: the model.
        measured: result of ``measure`` for the model.
        name: name of the model.
        protocol: options of the evaluation.
    """
    order = np.argsort(measured.errors[name], kind="stable")
    indices = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    if len(order) < 3:
        indices = {f"window {i + 1}": row for i, row in enumerate(order)}
    batch, start, rows = measured.windows.take(np.array(list(indices.values()))), protocol.context, []
    for i, label in enumerate(indices):
        clip = Clip(batch["frames"][i], {key: batch[key][i] for key in predictor.conditions})
        continuation = continue_clip(predictor, clip, start, protocol.horizon, samples=1, temperature=0.0, seed=0)
        prediction = np.concatenate([continuation.one_step, continuation.futures[0]])
        rows += [
            Row(f"{label}: truth", continuation.truth),
            Row("prediction", prediction, 1, generated=True),
            Row("error", np.abs(prediction - continuation.truth[1:]), 1),
        ]
    return rows


def _names(paths: Sequence[Path]) -> list[str]:
    """Name the models after their folders, with a number in front if a name is not unique.

    Raises:
        UsageError: there is no model.
    """
    if not paths:
        raise UsageError("There is no model to evaluate; expected one or more run folders.")
    names, reserved = [path.resolve().name for path in paths], (*FLOORS, LINEAR, "reconstruction")
    numbered = [f"{i}-{name}" for i, name in enumerate(names, 1)]
    labels = [
        name if names.count(name) == 1 and name not in reserved else other
        for name, other in zip(names, numbered, strict=True)
    ]
    return labels if len(set(labels)) == len(labels) else numbered


def _dataset(
    data: str | Path,
    options: Mapping[str, Any] | None,
    artifacts: Sequence[Artifact],
    size: str | int | None,
    watcher: Watcher,
) -> Dataset:
    """Open DATA with the preprocessing of the models' training data.

    Raises:
        UsageError: the models need frames of different sizes, or different preprocessing.
        DataError: a model does not accept the frames of the data.
    """
    fixed = [artifact for artifact in artifacts if not takes_any_size(artifact)]
    sizes = {artifact.path.name: " x ".join(map(str, frame_shape(artifact))) for artifact in fixed}
    if len(set(sizes.values())) > 1:
        pairs = ", ".join(f"{name} {each}" for name, each in sizes.items())
        raise UsageError(
            f"The models need frames of different sizes (h x w x c): {pairs}. Expected one size. Evaluate the models "
            "separately."
        )
    first = (fixed or artifacts)[0]
    for other in artifacts if is_footage(data) else []:
        any_size = takes_any_size(other) and (fixed or size is not None)  # Then the size may differ.
        if any(
            v != other.preprocessing.get(k) for k, v in first.preprocessing.items() if k != "size" or not any_size
        ):
            raise UsageError(
                f"{first.path} and {other.path} need different preprocessing of files: {first.preprocessing} and "
                f"{other.preprocessing}. Evaluate the models separately, or on a folder of clips."
            )
    dataset = data_for(first, data, options, size=size, watcher=watcher)
    for artifact in artifacts:
        check_takes(artifact, dataset)
        if artifact is not first:
            say_differences(artifact, dataset, watcher, decoded=is_footage(data))
    return dataset
