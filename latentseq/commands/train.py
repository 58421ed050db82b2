"""Train a predictor on frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.commands.runs import Request, best_of, check_out, conditions_of, is_finished, training_folder
from latentseq.data.crops import Crops
from latentseq.data.mismatch import traits_of
from latentseq.data.open import check_seed, check_streams, resolve_options
from latentseq.data.windows import WindowOptions, clip_source
from latentseq.errors import UsageError, join_names
from latentseq.ingestion.prepare import prepare, preprocessing_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.models.run import write_cost
from latentseq.protocols import Predictor
from latentseq.storage.artifact import Artifact, allowing, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.training.budget import Budget
from latentseq.training.previews import continuations
from latentseq.training.trainer import RunTrainer
from latentseq.training.watch import Watcher

LATENT = "latent"
"""Name of the predictor that consists of an encoder and dynamics, which have commands of their own."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest(Request):
    """What ``train`` was requested to do.

    Attributes:
        predictor: registered name of the predictor.
        preset: name of the preset of options.
        options: keywords of the predictor, complete with its defaults.
        conditions: names of the side streams that drive the model, as typed.
        preprocessing: how files are decoded.
        windows: how training windows are cut out of the clips.
    """

    command = "train"
    predictor: str
    preset: str | None
    options: Mapping[str, Any]
    conditions: str | None
    preprocessing: Preprocessing
    windows: WindowOptions


def train(
    data: str | Path,
    out: str | Path,
    *,
    predictor: str | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    conditions: str | None = None,
    data_options: Mapping[str, Any] | None = None,
    preprocessing: Preprocessing | None = None,
    allow_plugins: Sequence[str] = (),
    windows: WindowOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a predictor on frames.

    Args:
        data: DATA. A video or a folder of videos is decoded once into OUT/cache, as ``ingest`` does.
        out: folder of the run.
        predictor: registered name of the predictor. It is required.
        preset: preset of the predictor's options: tiny, cpu or gpu. None keeps the defaults.
        options: keywords of the predictor.
        conditions: names of the side streams of the data that drive the model, separated by commas. None selects all
            streams for a model that requires conditions, and no stream for others.
        data_options: keywords of the dataset. If files are decoded, they are the options of ``ingest``.
        preprocessing: how files are decoded. The default size is 64 x 64, or the size of the files if all of them
            have the same small size.
        allow_plugins: names of plugins to load from run folders that the options name, in addition to the built-in
            ones.
        windows: how training windows are cut out of the clips.
        budget: budget of the training.
        seed: random seed for weight initialisation, data order and sampling noise.
        resume: continue an interrupted run. With a limit of epochs or steps, the run ends in the same bytes
            as a run that was never interrupted. The limits and the learning rate may change. If there is no run to
            resume, a new one starts.
        overwrite: replace an earlier run.
        quiet: show no progress.

    Returns:
        ``out``, which is all that ``sample`` and ``evaluate`` need.

    Raises:
        LatentseqError: data, model, options or the output do not fit.
    """
    out = Path(out)
    budget = budget or Budget()
    windows = windows or WindowOptions()
    preprocessing = preprocessing or Preprocessing()
    check_seed(seed)
    predictor = _checked(predictor)
    request = TrainRequest(
        data=data,
        predictor=predictor,
        preset=preset,
        options=registry.resolve("predictors", predictor, options, preset=preset, left=("seed",)),
        conditions=conditions,
        data_options=resolve_options(data, data_options),
        preprocessing=preprocessing,
        windows=windows,
        budget=budget,
        seed=seed,
    )

    def same_data(model: Artifact) -> bool:
        again = prepare(data, data_options, preprocessing=preprocessing, out=out)
        return again.is_same(out / CACHE, model.about["training"]["data"])

    content = request.to_json()
    if is_finished(out, content, resume=resume, overwrite=overwrite, same={"data": same_data}):
        return out
    check_out(out, RUN, overwrite, data, resume=resume)
    prepared = prepare(data, data_options, preprocessing=preprocessing, out=out)
    widths = conditions_of("predictors", predictor, conditions, prepared.streams, data)
    filled_in: dict[str, Any] = {"input_shape": list(prepared.frame_shape), "conditions": widths, "seed": seed}
    keywords = request.options if conditions is None else {**request.options, "conditions": widths}
    with allowing(allow_plugins):
        model: Predictor = registry.build("predictors", predictor, keywords, **filled_in)
    trainer = RunTrainer(out, **vars(budget), seed=seed, resume=resume, watcher=Watcher(predictor, quiet=quiet))
    with training_folder(out, content, resume=resume, overwrite=overwrite) as folder:
        dataset = prepared.open(folder / CACHE, quiet=quiet)
        check_streams(dataset, model.conditions, f"The predictor {predictor}")
        trainer.data_fingerprint = dataset.fingerprint()
        trainer.preview = lambda: continuations(model, dataset)
        history = model.fit(clip_source(dataset, model.conditions, windows.length, windows.stride), trainer)
        # A model of any size that was trained on crops predicts whole frames.
        seen = dataset.dataset if model.any_size and isinstance(dataset, Crops) else dataset
        save_artifact(
            model,
            "predictors",
            folder,
            preprocessing=preprocessing_of(seen).to_json(),
            training={
                "data": dataset.fingerprint(),
                "seed": seed,
                "best": best_of(history),
                "footage": traits_of(dataset),
            },
        )
        write_cost(folder, trainer.history)
    return out


def _checked(predictor: str | None) -> str:
    """The name of the predictor.

    Raises:
        UsageError: there is no name, or the predictor has commands of its own.
    """
    if predictor is None:
        names = [row.name for row in registry.installed("predictors") if row.name != LATENT]
        raise UsageError(f"No predictor was chosen. Choose one of {join_names(names)} with --predictor.")
    if predictor == LATENT:
        raise UsageError(
            "The predictor latent consists of an encoder and dynamics. Train them with train-ae and train-lstm, and "
            "tune them together on frames with tune."
        )
    return predictor
