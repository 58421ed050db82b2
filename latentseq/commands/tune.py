"""Tune an encoder and its dynamics together on frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentseq.commands.runs import Request, best_of, check_out, is_finished, names_in, training_folder
from latentseq.data.open import check_seed, check_streams, resolve_options
from latentseq.data.windows import WindowOptions, clip_source
from latentseq.errors import UsageError
from latentseq.ingestion.prepare import OpenedData
from latentseq.models.latent import LatentPredictor
from latentseq.models.run import data_for, load_predictor, write_cost
from latentseq.storage.artifact import ENCODER, Artifact, read_artifact, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.training.budget import Budget
from latentseq.training.previews import continuations
from latentseq.training.trainer import RunTrainer
from latentseq.training.watch import Watcher


@dataclass(frozen=True, kw_only=True)
class TuneRequest(Request):
    """What ``tune`` was requested to do.

    Attributes:
        run: run folder of the model to start from.
        parts: names of the parts to train, separated by commas.
        windows: how training windows are cut out of the clips.
    """

    command = "tune"
    run: str | Path
    parts: str
    windows: WindowOptions


def tune(
    run: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    parts: str = "dynamics,decoder,encoder",
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    windows: WindowOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Tune an encoder and its dynamics together, on the error of the frames that they predict.

    Args:
        run: run folder of ``train_lstm``, or of an earlier ``tune``.
        data: DATA. Files are decoded like the training data of the encoder.
        out: folder of the run.
        parts: names of the parts to train, separated by commas. The other parts do not change.
        data_options: keywords of the dataset.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.
        windows: how training windows are cut out of the clips.
        budget: budget of the training.
        seed: random seed for data order and sampling noise.
        resume: continue an interrupted run. With a limit of epochs or steps, the run ends in the same bytes
            as a run that was never interrupted. The limits and the learning rate may change. If there is no run to
            resume, a new one starts.
        overwrite: replace an earlier run.
        quiet: show no progress.

    Returns:
        ``out``, a run folder like that of ``train_lstm``.

    Raises:
        LatentseqError: run, data, parts or the output do not fit.
    """
    out = Path(out)
    budget = budget or Budget()
    windows = windows or WindowOptions()
    check_seed(seed)
    request = TuneRequest(
        run=run,
        data=data,
        data_options=resolve_options(data, data_options),
        parts=parts,
        windows=windows,
        budget=budget,
        seed=seed,
    )

    def same_data(model: Artifact) -> bool:
        again = data_for(model, data, data_options, watcher=Watcher(quiet=True))
        return again.fingerprint() == model.about["training"]["data"]

    def same_run(model: Artifact) -> bool:
        return model.about["training"].get("from") == read_artifact(Path(run)).fingerprint

    content, same = request.to_json(), {"data": same_data, "run": same_run}
    if is_finished(out, content, resume=resume, overwrite=overwrite, same=same):
        return out
    check_out(out, RUN, overwrite, run, data, resume=resume)
    watcher = Watcher("tune", quiet=quiet)
    start = read_artifact(Path(run)).allow(allow_plugins)
    opened = data_for(start, data, data_options, watcher=watcher)
    model = _load(run, parts, allow_plugins)
    check_streams(opened, model.conditions, f"The model in {run}")
    trainer = RunTrainer(out, **vars(budget), seed=seed, resume=resume, watcher=watcher)
    with training_folder(out, content, resume=resume, overwrite=overwrite) as folder:
        dataset = OpenedData(opened).open(folder / CACHE, quiet=quiet)
        trainer.data_fingerprint = dataset.fingerprint()
        trainer.preview = lambda: continuations(model, dataset)
        history = model.fit(clip_source(dataset, model.conditions, windows.length, windows.stride), trainer)
        about: dict[str, Any] = {
            "preprocessing": start.preprocessing,
            "training": {
                "data": dataset.fingerprint(),
                "seed": seed,
                "best": best_of(history),
                "from": start.fingerprint,
                "tuned": list(model.tune),
            },
        }
        if start.footage:
            about["training"]["footage"] = start.footage
        (folder / ENCODER).mkdir(exist_ok=True)
        save_artifact(model.encoder, "encoders", folder / ENCODER, **about)
        save_artifact(model.dynamics, "dynamics", folder, **about)
        write_cost(folder, trainer.history, run)
    return out


def _load(run: str | Path, parts: str, allow_plugins: Sequence[str]) -> LatentPredictor:
    """The encoder and dynamics in a run folder, with the parts to tune.

    Raises:
        UsageError: the folder holds another predictor, or a part does not exist or cannot be tuned.
    """
    predictor = load_predictor(run, allow_plugins=allow_plugins)
    if predictor.latent_view is None:
        raise UsageError(
            f"{run} holds the predictor {predictor.name!r}; expected an encoder and dynamics. Give the run folder "
            "of train-lstm."
        )
    model = LatentPredictor(*predictor.latent_view, tune=names_in(parts))
    model.check_tune()
    return model
