"""Measure trained models on data, against floors, and draw what they predict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.arrays import Clip
from latentseq.data import check_frame_shape, check_seed, is_footage, open_data
from latentseq.errors import UsageError
from latentseq.evaluation.floors import FLOORS
from latentseq.evaluation.protocol import Protocol
from latentseq.evaluation.report import curves, text
from latentseq.measuring import Measured, measure
from latentseq.media.picture import Row, sheet
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.writers import encode_png
from latentseq.models import load_predictor
from latentseq.protocols import Dataset, Predictor
from latentseq.runs import check_out
from latentseq.sampling import continue_clip
from latentseq.storage.artifact import Artifact, read_artifact
from latentseq.storage.atomic import read_json, write_bytes, write_json
from latentseq.storage.folders import output_folder
from latentseq.training.watch import Watcher

METRICS = "metrics.json"


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
    out: str | Path = "evaluation",
    allow_plugins: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Measure models on the same clips: how wrong they are, against which floors, and where the error comes from.

    Args:
        models: run folders, of models for frames of one size.
        data: DATA; files are decoded as those that the models were trained on.
        data_options: the dataset's keywords.
        context: frames that a model sees.
        horizon: frames that it predicts.
        split: test, validation or train. Choose a model on validation, and report it on test.
        clips: measure on so many windows of ``context + horizon`` frames at most, evenly spread.
        samples: futures of each window; with 2 or more, stochastic measures are taken too.
        temperature: of the samples. What is measured else is the rollout at temperature 0.
        seed: of the samples; the same seed writes the same bytes.
        out: a folder.
        allow_plugins: names of plugins that the models' parts may be, beside the built-in ones.
        overwrite: replace an earlier evaluation.
        quiet: show no progress.

    Returns:
        ``out``: metrics.json, horizon.png, and for each model strips-NAME.png.

    Raises:
        LatentseqError: models, data, options or output do not fit.
    """
    from latentseq.media.charts import error_by_horizon  # Matplotlib takes a third of a second to import.

    out, paths = Path(out), [Path(model) for model in models]
    check_seed(seed)
    protocol = Protocol(context, horizon, split, clips, samples, temperature, seed)
    check_out(out, METRICS, overwrite, data, *paths)
    names = _names(paths)
    artifacts = [read_artifact(path).allow(allow_plugins) for path in paths]
    dataset = _dataset(data, data_options, artifacts)
    predictors = {
        name: load_predictor(path, allow_plugins=allow_plugins) for name, path in zip(names, paths, strict=True)
    }
    _check_sizes(predictors)
    check_frame_shape(dataset, predictors[names[0]].input_shape, f"the model in {paths[0]}")
    with output_folder(out, METRICS, overwrite=overwrite) as folder:
        measured = measure(predictors, dataset, protocol, Watcher("evaluate", quiet=quiet))
        for name, path, artifact in zip(names, paths, artifacts, strict=True):
            measured.metrics["models"][name] |= {"path": str(path), "fingerprint": artifact.fingerprint}
            rows = strips(predictors[name], measured, name, protocol)
            write_bytes(folder / f"strips-{name}.png", encode_png(sheet(rows, border_at=context)))
        lines = curves(measured.metrics)
        lighter = [name for name in lines if name not in names]
        write_bytes(folder / "horizon.png", error_by_horizon(lines, ylabel="squared error per frame", floors=lighter))
        write_json(folder / METRICS, measured.metrics)
    return out


def table(out: str | Path) -> str:
    """The numbers of an evaluation as tables.

    Args:
        out: the folder that ``evaluate`` wrote.

    Raises:
        DataError: it holds no metrics.
    """
    return text(read_json(Path(out) / METRICS, "the metrics of an evaluation"))


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
    return [
        name if names.count(name) == 1 and name not in taken else f"{i}-{name}" for i, name in enumerate(names, 1)
    ]


def _dataset(data: str | Path, options: Mapping[str, Any] | None, artifacts: Sequence[Artifact]) -> Dataset:
    """DATA, prepared as the models' training data was.

    Raises:
        UsageError: files, and models that want them prepared in different ways.
    """
    first = artifacts[0]
    for other in artifacts[1:]:
        if is_footage(data) and other.preprocessing != first.preprocessing:
            raise UsageError(
                f"{first.path} and {other.path} take files prepared in different ways: {first.preprocessing} and "
                f"{other.preprocessing}. Evaluate them apart, or on a folder of clips."
            )
    return open_data(data, options=options, preprocessing=Preprocessing.from_json(first.preprocessing))


def _check_sizes(predictors: Mapping[str, Predictor]) -> None:
    """Refuse models that cannot be measured on the same frames.

    Raises:
        UsageError: they take frames of different sizes.
    """
    sizes = {name: " x ".join(map(str, predictor.input_shape)) for name, predictor in predictors.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UsageError(
            f"The models take frames of different sizes (h x w x c): {told}. Expected one size. Evaluate them apart."
        )
