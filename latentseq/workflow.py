"""What users call to train: an encoder, its latents, dynamics on them. Each is a command of the CLI."""

import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.configurable import check_names, check_types
from latentseq.crops import Crops
from latentseq.data import check_frame_shape, check_seed, is_footage, open_data
from latentseq.errors import DataError, UsageError, listed
from latentseq.evaluation.latents import findings
from latentseq.ingestion.plan import Plan
from latentseq.ingestion.report import summary
from latentseq.ingestion.run import is_done, make_clips, plan_clips
from latentseq.latent_predictor import LatentPredictor
from latentseq.media.preprocessing import Preprocessing
from latentseq.previews import reconstructions, rollouts
from latentseq.protocols import Dataset, Dynamics, Encoder, History
from latentseq.runs import asked_for, check_out, is_finished, training_folder
from latentseq.storage.artifact import Artifact, copy_artifact, read_artifact, save_artifact
from latentseq.storage.folders import CACHE, RUN, output_folder
from latentseq.storage.frames import ClipFolder, write_clips
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
    if is_finished(out, asked, resume=resume, overwrite=overwrite):
        return out
    decoding = {"size": size, "fit": fit, "gray": gray, "fps": fps, "skip": skip}
    defaults = {"size": None, "fit": "crop", "gray": False, "fps": None, "skip": 1}
    given = {key: value for key, value in decoding.items() if value != defaults[key]}
    plan, dataset = None, None
    if is_footage(data):
        plan = _decoding(data, out, {**given, **(data_options or {})})
        frame_shape = plan.frame_shape
    else:
        dataset = open_data(data, options=data_options)
        frame_shape = dataset.frame_shape
        if given:
            raise UsageError(
                f"{listed(f'--{key}' for key in given)} is about decoding files, and {dataset.name} is not decoded. "
                "Leave it out; a dataset has options of its own, given by --data-set."
            )
    plugin: Encoder = registry.build("encoders", encoder, asked["options"], input_shape=list(frame_shape), seed=seed)
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
        cache = folder / CACHE
        if dataset is None:
            assert plan is not None  # One of the two it is.
            watcher = Watcher("decode", quiet=quiet)
            if not is_done(cache, plan):
                make_clips(plan, cache, os.cpu_count() or 1, watcher)
            dataset = ClipFolder(str(cache))
            if dataset.about()["skipped"]:
                for line in summary(dataset.about(), plan):
                    watcher.say(line)
        elif dataset.slow:
            write_clips(dataset, cache, Watcher("decode", quiet=quiet))
            dataset = ClipFolder(str(cache))
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
            preprocessing=_preprocessing(dataset).to_json(),
            training={"data": dataset.fingerprint(), "seed": seed, "best": best_of(history)},
        )
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
    dataset = _prepared(data, data_options, artifact)
    model: Encoder = artifact.load()
    with output_folder(out, MANIFEST, overwrite=overwrite, goes_on=True) as folder:
        write_latents(dataset, model, artifact.fingerprint, folder, Watcher("encode", quiet=quiet))
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
    if is_finished(out, asked, resume=resume, overwrite=overwrite):
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
    dataset = None if latents else _prepared(data, data_options, artifact)
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
        copy_artifact(artifact, folder / "encoder")
        save_artifact(
            plugin,
            "dynamics",
            folder,
            preprocessing=artifact.preprocessing,
            training={"data": latents.data, "seed": seed, "best": best_of(history)},
        )
    return out


def load_predictor(path: str | Path, *, allow_plugins: Sequence[str] = ()) -> LatentPredictor:
    """The model in a run folder, as something that predicts frames.

    Args:
        path: run folder of ``train_lstm`` or ``train``.
        allow_plugins: names of plugins that its parts may be, beside the built-in ones.

    Raises:
        DataError: it holds no trained model that predicts.
        UsageError: a part of it is neither built in nor allowed.
    """
    folder = Path(path)
    artifact = read_artifact(folder)
    if artifact.group == "encoders":
        raise DataError(
            f"{folder} holds the encoder {artifact.plugin!r}, which does not predict. "
            "Expected the folder that train-lstm wrote."
        )
    if artifact.group != "dynamics":
        raise DataError(f"{folder} holds the {artifact.plugin!r} of {artifact.group}; expected one of dynamics.")
    parts = (read_artifact(folder / "encoder", "encoders"), artifact)
    encoder, dynamics = (each.load() for each in [part.allow(allow_plugins) for part in parts])
    if tuple(dynamics.latent_shape) != tuple(encoder.latent_shape):
        raise DataError(
            f"The dynamics in {folder} are of latents {tuple(dynamics.latent_shape)}, and the encoder beside them "
            f"makes {tuple(encoder.latent_shape)}. Copy the folder again, or train again."
        )
    return LatentPredictor(encoder, dynamics)


def _decoding(data: str | Path, out: Path, options: Mapping[str, Any]) -> Plan:
    """The plan of decoding files into the cache of a run."""
    keywords = inspect.signature(plan_clips).parameters.values()
    check_names("ingest", [each.name for each in keywords if each.kind is each.KEYWORD_ONLY], options)
    check_types("ingest", plan_clips, options)
    return plan_clips([data], out, os.cpu_count() or 1, **options)


def _preprocessing(dataset: Dataset) -> Preprocessing:
    """How files are to be decoded to look like a dataset's frames."""
    whole = dataset.dataset if isinstance(dataset, Crops) else dataset
    made = whole.about()["source"]["config"] if isinstance(whole, ClipFolder) else {}
    h, w, c = dataset.frame_shape
    return Preprocessing((h, w), made.get("fit", "crop"), c == 1, made.get("skip", 1), made.get("fps"))


def _prepared(data: str | Path, options: Mapping[str, Any] | None, artifact: Artifact) -> Dataset:
    """DATA, prepared as the encoder's training data was."""
    dataset = open_data(data, options=options, preprocessing=Preprocessing.from_json(artifact.preprocessing))
    check_frame_shape(dataset, artifact.shape("input_shape"), f"the encoder in {artifact.path}")
    return dataset


def best_of(history: History) -> dict[str, Any]:
    """The best row of a history, without what differs from run to run."""
    return {k: v for k, v in history.best.items() if k != "seconds"}
