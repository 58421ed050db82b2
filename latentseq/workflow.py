"""What users call to train: an encoder, its latents, dynamics on them. Each is a command of the CLI."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.data import check_seed
from latentseq.decoding import TrainingData, preprocessing_of
from latentseq.errors import DataError, UsageError, listed
from latentseq.evaluation.latents import findings
from latentseq.mismatch import traits_of
from latentseq.models import data_for, write_cost
from latentseq.previews import reconstructions, rollouts
from latentseq.protocols import Dynamics, Encoder, History
from latentseq.runs import asked_for, check_out, is_finished, training_folder
from latentseq.storage.artifact import ENCODER, Artifact, allowing, copy_artifact, read_artifact, save_artifact
from latentseq.storage.folders import CACHE, RUN, output_folder
from latentseq.storage.latents import FORMAT as LATENTS
from latentseq.storage.latents import LatentFolder, write_latents
from latentseq.storage.shards import MANIFEST, folder_format
from latentseq.training.batches import check_windows, frame_source, latent_source, validation_batches
from latentseq.training.trainer import Trainer
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
    trainer = Trainer(
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
            trainer.watcher.say(f"{encoder} · {line}")
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


def encode(
    data: str | Path,
    encoder: str | Path,
    out: str | Path,
    *,
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Encode every clip of DATA.

    The same command again goes on where an earlier one was stopped, and gives the same bytes.

    Args:
        data: DATA; files are decoded as those that the encoder was trained on.
        encoder: run folder of a trained encoder.
        out: folder of latents.
        data_options: the dataset's keywords.
        allow_plugins: names of plugins that the encoder may be, beside the built-in ones.
        overwrite: replace earlier latents.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        LatentseqError: data, encoder or the output do not fit.
    """
    out, artifact = Path(out), read_artifact(Path(encoder), "encoders").allow(allow_plugins)
    check_out(out, MANIFEST, overwrite, data, encoder)
    watcher = Watcher("encode", quiet=quiet)
    dataset = data_for(artifact, data, data_options, watcher=watcher)
    model: Encoder = artifact.load()
    with output_folder(out, MANIFEST, overwrite=overwrite, goes_on=True) as folder:
        write_latents(dataset, model, artifact.fingerprint, folder, watcher)
    return out


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
    trainer = Trainer(
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


def best_of(history: History) -> dict[str, Any]:
    """The best row of a history, without what differs from run to run."""
    return {k: v for k, v in history.best.items() if k != "seconds"}
