"""Train an encoder on frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.commands.runs import asked_for, best_of, check_out, is_finished, training_folder
from latentseq.data.mismatch import traits_of
from latentseq.data.open import check_seed
from latentseq.data.windows import frame_source, validation_batches
from latentseq.evaluation.latents import findings
from latentseq.ingestion.prepare import TrainingData, preprocessing_of
from latentseq.models.run import write_cost
from latentseq.protocols import Encoder
from latentseq.storage.artifact import Artifact, allowing, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.training.previews import reconstructions
from latentseq.training.trainer import RunTrainer
from latentseq.training.watch import Watcher


def train_ae(
    data: str | Path,
    out: str | Path,
    *,
    encoder: str = "vae",
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    size: str | int | None = None,
    fit: str = "crop",
    gray: bool = False,
    fps: float | None = None,
    skip: int = 1,
    allow_plugins: Sequence[str] = (),
    epochs: int | None = None,
    steps: int | None = None,
    max_minutes: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Train an encoder on frames.

    Args:
        data: DATA; a video or a folder of them is decoded once into OUT/cache, as ``ingest`` does.
        out: folder of the run.
        encoder: registered name.
        preset: tiny, cpu or gpu: options of the encoder's own choice; its defaults where None.
        options: the encoder's keywords.
        data_options: the dataset's keywords; those of ``ingest`` where files are decoded.
        size: of the frames that are decoded from files, ``64`` or ``48x64`` (h x w); 64 where None.
        fit: crop, pad or stretch.
        gray: one channel.
        fps: frames a second, by presentation time.
        skip: keep every n-th frame.
        allow_plugins: names of plugins that run folders among the options may be of, beside the built-in ones.
        epochs: budget in epochs.
        steps: budget in batches.
        max_minutes: budget in wall time of the training loop; 10 where no budget is given.
        batch_size: in place of the encoder's own.
        learning_rate: in place of the encoder's own.
        seed: of weights, order and noise.
        resume: go on with a run that was interrupted; a run of ``epochs`` or ``steps`` ends in the same bytes as one
            that never was. The budget and the learning rate may be others. Where there is nothing to go on with, it
            starts afresh.
        overwrite: replace an earlier run.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        LatentseqError: data, options or the output do not fit.
    """
    arguments, out = locals(), Path(out)
    check_seed(seed)
    check_out(out, RUN, overwrite, data, resume=resume)
    asked = asked_for("train-ae", arguments, group="encoders", plugin=encoder)
    decoding = {"size": size, "fit": fit, "gray": gray, "fps": fps, "skip": skip}

    def same_data(model: Artifact) -> bool:
        found = TrainingData(data, out, data_options, decoding)
        return found.is_same(out / CACHE, model.about["training"]["data"])

    if is_finished(out, asked, resume=resume, overwrite=overwrite, same={"data": same_data}):
        return out
    given = TrainingData(data, out, data_options, decoding)
    shape = list(given.frame_shape)
    with allowing(allow_plugins):
        plugin: Encoder = registry.build("encoders", encoder, asked["options"], input_shape=shape, seed=seed)
    trainer = RunTrainer(
        out,
        epochs=epochs,
        steps=steps,
        max_minutes=max_minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        resume=resume,
        watcher=Watcher(encoder, quiet=quiet),
    )
    with training_folder(out, asked, resume=resume, overwrite=overwrite) as folder:
        dataset = given.open(folder / CACHE, quiet=quiet)
        trainer.of = dataset.fingerprint()
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
