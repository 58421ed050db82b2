"""Measure trained models on data, against floors, and draw what they predict."""

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
from latentseq.evaluation.floors import FLOORS
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
SPEED_WINDOWS = 8
"""Windows that speed is measured on."""


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
    """Measure models on the same clips: how wrong they are, against which floors, and where the error comes from.

    Args:
        models: run folders, of models for frames of one size, or of any.
        data: DATA; files are decoded as those that the models were trained on.
        data_options: the dataset's keywords.
        context: frames that a model sees.
        horizon: frames that it predicts.
        split: test, validation or train. Choose a model on validation, and report it on test.
        clips: measure on so many windows of ``context + horizon`` frames at most, evenly spread.
        samples: futures of each window; with 2 or more, stochastic measures are taken too.
        temperature: of the samples. What is measured else is the rollout at temperature 0.
        seed: of the samples; the same seed writes the same bytes.
        size: of the frames that are decoded from files, for models that take any; as they were trained where None.
        out: a folder.
        allow_plugins: names of plugins that the models or their parts may be, beside the built-in ones.
        overwrite: replace an earlier evaluation.
        quiet: show no progress.

    Returns:
        ``out``: metrics.json, costs.json (which differs from run to run), horizon.png, and for each model
        strips-NAME.png.

    Raises:
        LatentseqError: models, data, options or output do not fit.
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
        lighter = [name for name in lines if name not in names]
        write_bytes(folder / "horizon.png", error_by_horizon(lines, ylabel="squared error per frame", floors=lighter))
        costs = {
            name: {**read_cost(path), "frames_per_second": speed(predictors[name], measured.windows, protocol)}
            for name, path in zip(names, paths, strict=True)
        }
        write_json(folder / COSTS, costs)
        write_json(folder / METRICS, measured.metrics)
    return out


def table(out: str | Path) -> str:
    """The numbers of an evaluation as tables.

    Args:
        out: the folder that ``evaluate`` wrote.

    Raises:
        DataError: it holds no metrics, or they were changed.
    """
    costs = read_json(Path(out) / COSTS, "the costs of an evaluation")
    metrics = read_json(Path(out) / METRICS, "the metrics of an evaluation")
    with as_written(Path(out)):
        return text(metrics, costs)


def speed(predictor: Predictor, windows: Windows, protocol: Protocol) -> float:
    """Frames a second that a model predicts, with what it takes to see the context, a few windows at a time."""
    batch = windows.take(np.arange(min(SPEED_WINDOWS, len(windows))))
    frames, streams = batch["frames"], {name: batch[name] for name in predictor.conditions}
    seconds = []
    for _ in range(2):  # The first time it is compiled.
        began = time.perf_counter()
        predictor.predict(
            frames[:, : protocol.context], protocol.horizon, temperature=protocol.temperature, conditions=streams
        )
        seconds.append(time.perf_counter() - began)
    return float(f"{len(frames) * protocol.horizon / seconds[1]:.3g}")


def strips(predictor: Predictor, measured: Measured, name: str, protocol: Protocol) -> list[Row]:
    """Truth, prediction and error of the best, the median and the worst window, as rows of a picture.

    In the context a prediction is one step from the true frames; after it, from the model's own.

    Args:
        predictor: the model.
        measured: what ``measure`` found of it.
        name: of the model.
        protocol: of the measurement.
    """
    order = np.argsort(measured.errors[name], kind="stable")
    chosen = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    if len(order) < 3:
        chosen = {f"window {i + 1}": row for i, row in enumerate(order)}
    batch, start, rows = measured.windows.take(np.array(list(chosen.values()))), protocol.context, []
    for i, label in enumerate(chosen):
        clip = Clip(batch["frames"][i], {key: batch[key][i] for key in predictor.conditions})
        made = continue_clip(predictor, clip, start, protocol.horizon, samples=1, temperature=0.0, seed=0)
        prediction = np.concatenate([made.one_step, made.futures[0]])
        rows += [
            Row(f"{label}: truth", made.truth),
            Row("prediction", prediction, 1, generated=True),
            Row("error", np.abs(prediction - made.truth[1:]), 1),
        ]
    return rows


def _names(paths: Sequence[Path]) -> list[str]:
    """What the models are called: by their folders, numbered where that is not enough.

    Raises:
        UsageError: no model.
    """
    if not paths:
        raise UsageError("There is no model to evaluate; expected one run folder or more.")
    names, taken = [path.resolve().name for path in paths], (*FLOORS, "reconstruction")
    numbered = [f"{i}-{name}" for i, name in enumerate(names, 1)]
    made = [
        name if names.count(name) == 1 and name not in taken else other
        for name, other in zip(names, numbered, strict=True)
    ]
    return made if len(set(made)) == len(made) else numbered


def _dataset(
    data: str | Path,
    options: Mapping[str, Any] | None,
    artifacts: Sequence[Artifact],
    size: str | int | None,
    watcher: Watcher,
) -> Dataset:
    """DATA, prepared as the models' training data was.

    Raises:
        UsageError: the models take frames of different sizes, or files prepared in different ways.
        DataError: a model does not take these frames.
    """
    fixed = [artifact for artifact in artifacts if not takes_any_size(artifact)]
    sizes = {artifact.path.name: " x ".join(map(str, frame_shape(artifact))) for artifact in fixed}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {each}" for name, each in sizes.items())
        raise UsageError(
            f"The models take frames of different sizes (h x w x c): {told}. Expected one size. Evaluate them apart."
        )
    first = (fixed or artifacts)[0]
    for other in artifacts if is_footage(data) else []:
        given = takes_any_size(other) and (fixed or size is not None)  # Its own size is not asked for.
        if any(v != other.preprocessing.get(k) for k, v in first.preprocessing.items() if k != "size" or not given):
            raise UsageError(
                f"{first.path} and {other.path} take files prepared in different ways: {first.preprocessing} and "
                f"{other.preprocessing}. Evaluate them apart, or on a folder of clips."
            )
    dataset = data_for(first, data, options, size=size, watcher=watcher)
    for artifact in artifacts:
        check_takes(artifact, dataset)
        if artifact is not first:
            say_differences(artifact, dataset, watcher, decoded=is_footage(data))
    return dataset
