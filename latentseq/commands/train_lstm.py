"""Train a dynamics model on latents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.commands.runs import Request, best_of, check_out, conditions_of, is_finished, training_folder
from latentseq.data.open import check_seed, resolve_options
from latentseq.data.windows import WindowOptions, latent_source
from latentseq.errors import DataError, UsageError, join_names
from latentseq.models.run import data_for, write_cost
from latentseq.protocols import Dynamics, Encoder
from latentseq.storage.artifact import ENCODER, Artifact, copy_artifact, read_artifact, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.storage.latents import FORMAT as LATENTS
from latentseq.storage.latents import LatentFolder, write_latents
from latentseq.storage.shards import folder_format
from latentseq.training.budget import Budget
from latentseq.training.previews import rollouts
from latentseq.training.trainer import RunTrainer
from latentseq.training.watch import Watcher


@dataclass(frozen=True, kw_only=True)
class TrainLstmRequest(Request):
    """What ``train_lstm`` was requested to do.

    Attributes:
        encoder: run folder of the encoder.
        dynamics: registered name of the dynamics.
        head: name of the head, or None for dynamics without heads.
        preset: name of the preset of options.
        options: keywords of the dynamics, complete with their defaults, without the head.
        conditions: names of the side streams that drive the model, as typed.
        windows: how training windows are cut out of the clips.
    """

    command = "train-lstm"
    encoder: str | Path
    dynamics: str
    head: str | None
    preset: str | None
    options: Mapping[str, Any]
    conditions: str | None
    windows: WindowOptions


def train_lstm(
    data: str | Path,
    encoder: str | Path,
    out: str | Path,
    *,
    dynamics: str = "lstm",
    head: str | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    conditions: str | None = None,
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    windows: WindowOptions | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a dynamics model on latents.

    Args:
        data: folder of latents, or DATA, which is encoded into OUT/cache.
        encoder: run folder of the encoder that made the latents.
        out: folder of the run. It gets a copy of the encoder, so that ``sample`` needs no other folder.
        dynamics: registered name of the dynamics.
        head: probability model of the next latent: mse, kl or mixture. None keeps the default of the dynamics.
        preset: preset of the options of the dynamics: tiny, cpu or gpu. None keeps the defaults.
        options: keywords of the dynamics.
        conditions: names of the side streams of the data that drive the model, separated by commas. None selects all
            streams for a model that requires conditions, and no stream for others.
        data_options: keywords of the dataset, if data is not a folder of latents.
        allow_plugins: names of plugins that the encoder may name, in addition to the built-in ones.
        windows: how training windows are cut out of the clips.
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
        LatentseqError: data, encoder, options or the output do not fit.
    """
    out = Path(out)
    budget = budget or Budget()
    windows = windows or WindowOptions()
    check_seed(seed)
    check_out(out, RUN, overwrite, data, encoder, resume=resume)
    artifact = read_artifact(Path(encoder), "encoders").allow(allow_plugins)
    typed = {**({"head": head} if head else {}), **(options or {})}
    resolved = registry.resolve("dynamics", dynamics, typed, preset=preset, left=("seed",))
    request = TrainLstmRequest(
        data=data,
        encoder=encoder,
        dynamics=dynamics,
        head=resolved.pop("head", None),
        preset=preset,
        options=resolved,
        conditions=conditions,
        data_options=resolve_options(data, data_options),
        windows=windows,
        budget=budget,
        seed=seed,
    )

    def same_data(model: Artifact) -> bool:
        if folder_format(Path(data)) == LATENTS:
            return LatentFolder(Path(data)).data == model.about["training"]["data"]
        again = data_for(artifact, data, data_options, watcher=Watcher(quiet=True))
        return again.fingerprint() == model.about["training"]["data"]

    def same_encoder(model: Artifact) -> bool:
        return read_artifact(model.path / ENCODER).fingerprint == artifact.fingerprint

    content, same = request.to_json(), {"data": same_data, "encoder": same_encoder}
    if is_finished(out, content, resume=resume, overwrite=overwrite, same=same):
        return out
    latents = _read_latents(Path(data), artifact, data_options)
    dataset = None if latents else data_for(artifact, data, data_options, watcher=Watcher("encode", quiet=quiet))
    model: Encoder = artifact.load()
    if latents and latents.latent_shape != tuple(model.latent_shape):
        raise DataError(
            f"The latents in {data} have shape {latents.latent_shape}; the encoder in {encoder} computes "
            f"{tuple(model.latent_shape)}. Encode the data again with this encoder."
        )
    streams = latents.streams if latents else dataset.streams if dataset else {}
    widths = conditions_of("dynamics", dynamics, conditions, streams, data)
    keywords = {**request.options, **({"head": request.head} if request.head else {})}
    if conditions is not None:
        keywords["conditions"] = widths
    filled_in: dict[str, Any] = {"latent_shape": list(model.latent_shape), "conditions": widths, "seed": seed}
    plugin: Dynamics = registry.build("dynamics", dynamics, keywords, **filled_in)
    trainer = RunTrainer(out, **vars(budget), seed=seed, resume=resume, watcher=Watcher(dynamics, quiet=quiet))
    with training_folder(out, content, resume=resume, overwrite=overwrite) as folder:
        if dataset:
            cache = folder / CACHE
            write_latents(dataset, model, artifact.fingerprint, cache, Watcher("encode", quiet=quiet))
            latents = LatentFolder(cache)
        assert latents is not None  # They were either read or written.
        trainer.data_fingerprint = latents.fingerprint()
        trainer.preview = lambda: rollouts(plugin, model, latents)
        source = latent_source(latents, windows.length, windows.stride, model.channel_gain)
        history = plugin.fit(source, trainer)
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


def _read_latents(data: Path, encoder: Artifact, options: Mapping[str, Any] | None) -> LatentFolder | None:
    """Open a folder of latents. Other data gives None.

    Raises:
        DataError: another encoder made the latents.
        UsageError: options, which latents do not take.
    """
    if folder_format(data) != LATENTS:
        return None
    latents = LatentFolder(data)
    if latents.encoder != encoder.fingerprint:
        raise DataError(
            f"The latents in {data} were made by another encoder (fingerprint {latents.encoder[:12]}…) than the one "
            f"in {encoder.path} ({encoder.fingerprint[:12]}…). Give the other encoder, or encode the data again "
            "with this one."
        )
    if options:
        raise UsageError(
            f"{data} is a folder of latents and takes no option {join_names(options)}. Leave --data-set out."
        )
    return latents
