"""Train a dynamics model on latents."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.commands.runs import asked_for, best_of, check_out, is_finished, training_folder
from latentseq.data.open import check_seed
from latentseq.data.windows import check_windows, latent_source
from latentseq.errors import DataError, UsageError, listed
from latentseq.models.run import data_for, write_cost
from latentseq.protocols import Dynamics, Encoder
from latentseq.storage.artifact import ENCODER, Artifact, copy_artifact, read_artifact, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.storage.latents import FORMAT as LATENTS
from latentseq.storage.latents import LatentFolder, write_latents
from latentseq.storage.shards import folder_format
from latentseq.training.previews import rollouts
from latentseq.training.trainer import RunTrainer
from latentseq.training.watch import Watcher


def train_lstm(
    data: str | Path,
    encoder: str | Path,
    out: str | Path,
    *,
    dynamics: str = "lstm",
    head: str | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    length: int | None = None,
    stride: int = 1,
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
    """Train a dynamics model on latents.

    Args:
        data: a folder of latents, or DATA, which is encoded into OUT/cache.
        encoder: run folder of the encoder that the latents are of.
        out: folder of the run; a copy of the encoder goes into it, so that it is all that ``sample`` needs.
        dynamics: registered name.
        head: mse, kl or mixture; the dynamics' own where None.
        preset: tiny, cpu or gpu: options of the dynamics' own choice; their defaults where None.
        options: the dynamics' keywords.
        data_options: the dataset's keywords, where data is not a folder of latents.
        allow_plugins: names of plugins that the encoder may be, beside the built-in ones.
        length: items of a training window; 30 where None, or as many as the clips have.
        stride: items from one window's start to the next.
        epochs: budget in epochs.
        steps: budget in batches.
        max_minutes: budget in wall time of the training loop; 10 where no budget is given.
        batch_size: in place of the dynamics' own.
        learning_rate: in place of the dynamics' own.
        seed: of weights, order and noise.
        resume: go on with a run that was interrupted; a run of ``epochs`` or ``steps`` ends in the same bytes as one
            that never was. The budget and the learning rate may be others. Where there is nothing to go on with, it
            starts afresh.
        overwrite: replace an earlier run.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        LatentseqError: data, encoder, options or the output do not fit.
    """
    arguments, out = locals(), Path(out)
    check_seed(seed)
    check_windows(length, stride)
    check_out(out, RUN, overwrite, data, encoder, resume=resume)
    artifact = read_artifact(Path(encoder), "encoders").allow(allow_plugins)
    asked = asked_for("train-lstm", arguments, group="dynamics", plugin=dynamics)

    def same_data(model: Artifact) -> bool:
        if folder_format(Path(data)) == LATENTS:
            return LatentFolder(Path(data)).data == model.about["training"]["data"]
        again = data_for(artifact, data, data_options, watcher=Watcher(quiet=True))
        return again.fingerprint() == model.about["training"]["data"]

    def same_encoder(model: Artifact) -> bool:
        return read_artifact(model.path / ENCODER).fingerprint == artifact.fingerprint

    same = {"data": same_data, "encoder": same_encoder}
    if is_finished(out, asked, resume=resume, overwrite=overwrite, same=same):
        return out
    latents = LatentFolder(Path(data)) if folder_format(Path(data)) == LATENTS else None
    if latents and latents.encoder != artifact.fingerprint:
        raise DataError(
            f"The latents in {data} were made by another encoder (fingerprint {latents.encoder[:12]}…) than the one "
            f"in {encoder} ({artifact.fingerprint[:12]}…). Give that encoder, or encode the data again with this one."
        )
    if latents and data_options:
        raise UsageError(
            f"{data} is a folder of latents and takes no option {listed(data_options)}. Leave --data-set out."
        )
    dataset = None if latents else data_for(artifact, data, data_options, watcher=Watcher("encode", quiet=quiet))
    model: Encoder = artifact.load()
    if latents and latents.latent_shape != tuple(model.latent_shape):
        raise DataError(
            f"The latents in {data} are said to be of shape {latents.latent_shape}; the encoder in {encoder} makes "
            f"{tuple(model.latent_shape)}. Encode the data again with this one."
        )
    chosen = {**asked["options"], **({"head": asked["head"]} if asked["head"] else {})}
    plugin: Dynamics = registry.build("dynamics", dynamics, chosen, latent_shape=list(model.latent_shape), seed=seed)
    trainer = RunTrainer(
        out,
        epochs=epochs,
        steps=steps,
        max_minutes=max_minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        resume=resume,
        watcher=Watcher(dynamics, quiet=quiet),
    )
    with training_folder(out, asked, resume=resume, overwrite=overwrite) as folder:
        if dataset:
            cache = folder / CACHE
            write_latents(dataset, model, artifact.fingerprint, cache, Watcher("encode", quiet=quiet))
            latents = LatentFolder(cache)
        assert latents is not None  # One of the two it is.
        trainer.of = latents.fingerprint()
        trainer.preview = lambda: rollouts(plugin, model, latents)
        history = plugin.fit(latent_source(latents, length, stride), trainer)
        copy_artifact(artifact, folder / ENCODER)
        save_artifact(
            plugin,
            "dynamics",
            folder,
            preprocessing=artifact.preprocessing,
            training={
                "data": latents.data,
                "seed": seed,
                "best": best_of(history),
                "footage": {**artifact.footage, "fps": latents.fps},
            },
        )
        write_cost(folder, trainer.history, encoder)
    return out
