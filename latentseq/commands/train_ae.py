"""Train an encoder on frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.commands.runs import Request, best_of, check_out, is_finished, training_folder
from latentseq.data.mismatch import traits_of
from latentseq.data.open import check_seed, resolve_options
from latentseq.data.windows import frame_source, validation_batches
from latentseq.evaluation.latents import findings
from latentseq.ingestion.prepare import prepare, preprocessing_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.models.run import write_cost
from latentseq.protocols import Encoder
from latentseq.storage.artifact import Artifact, allowing, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.training.budget import Budget
from latentseq.training.previews import reconstructions
from latentseq.training.trainer import RunTrainer
from latentseq.training.watch import Watcher


@dataclass(frozen=True, kw_only=True)
class TrainAeRequest(Request):
    """What ``train_ae`` was requested to do.

    Attributes:
        encoder: registered name of the encoder.
        preset: name of the preset of options.
        options: keywords of the encoder, complete with its defaults.
        preprocessing: how files are decoded.
    """

    command = "train-ae"
    encoder: str
    preset: str | None
    options: Mapping[str, Any]
    preprocessing: Preprocessing


def train_ae(
    data: str | Path,
    out: str | Path,
    *,
    encoder: str = "vae",
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    preprocessing: Preprocessing | None = None,
    allow_plugins: Sequence[str] = (),
    budget: Budget | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Train an encoder on frames.

    Args:
        data: DATA. A video or a folder of videos is decoded once into OUT/cache, as ``ingest`` does.
        out: folder of the run.
        encoder: registered name of the encoder.
        preset: preset of the encoder's options: tiny, cpu or gpu. None keeps the defaults.
        options: keywords of the encoder.
        data_options: keywords of the dataset. If files are decoded, they are the options of ``ingest``.
        preprocessing: how files are decoded. The default size is 64 x 64, or the size of the files if all of them
            have the same small size.
        allow_plugins: names of plugins to load from run folders that the options name, in addition to the built-in
            ones.
        budget: budget of the training.
        seed: random seed for weight initialisation, data order and sampling noise.
        resume: continue an interrupted run. With a limit of epochs or steps, the run ends in the same bytes
            as a run that was never interrupted. The limits and the learning rate may change. If there is no run to
            resume, a new one starts.
        overwrite: replace an earlier run.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        LatentseqError: data, options or the output do not fit.
    """
    out = Path(out)
    budget = budget or Budget()
    preprocessing = preprocessing or Preprocessing()
    check_seed(seed)
    check_out(out, RUN, overwrite, data, resume=resume)
    request = TrainAeRequest(
        data=data,
        encoder=encoder,
        preset=preset,
        options=registry.resolve("encoders", encoder, options, preset=preset, left=("seed",)),
        data_options=resolve_options(data, data_options),
        preprocessing=preprocessing,
        budget=budget,
        seed=seed,
    )

    def same_data(model: Artifact) -> bool:
        again = prepare(data, data_options, preprocessing=preprocessing, out=out)
        return again.is_same(out / CACHE, model.about["training"]["data"])

    content = request.to_json()
    if is_finished(out, content, resume=resume, overwrite=overwrite, same={"data": same_data}):
        return out
    prepared = prepare(data, data_options, preprocessing=preprocessing, out=out)
    shape = list(prepared.frame_shape)
    with allowing(allow_plugins):
        plugin: Encoder = registry.build("encoders", encoder, request.options, input_shape=shape, seed=seed)
    trainer = RunTrainer(out, **vars(budget), seed=seed, resume=resume, watcher=Watcher(encoder, quiet=quiet))
    with training_folder(out, content, resume=resume, overwrite=overwrite) as folder:
        dataset = prepared.open(folder / CACHE, quiet=quiet)
        trainer.data_fingerprint = dataset.fingerprint()
        trainer.preview = lambda: reconstructions(plugin, dataset)
        source = frame_source(dataset)
        history = plugin.fit(source, trainer)
        for line in findings(plugin, (batch["x"] for batch in validation_batches(source.validation, 64))):
            trainer.say(line)
        save_artifact(
            plugin,
            "encoders",
            folder,
            preprocessing=preprocessing_of(dataset).to_json(),
            training={
                "data": dataset.fingerprint(),
                "seed": seed,
                "best": best_of(history),
                "footage": traits_of(dataset),
            },
        )
        write_cost(folder, trainer.history)
    return out
