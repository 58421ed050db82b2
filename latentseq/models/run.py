"""The model in a run folder, data prepared as it wants it, and what its training cost."""

import resource
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq.data.mismatch import differences, readings
from latentseq.data.open import check_frame_shape, is_footage, open_data
from latentseq.errors import DataError, UsageError
from latentseq.media.preprocessing import Preprocessing
from latentseq.models.latent import LatentPredictor
from latentseq.protocols import Dataset, Predictor
from latentseq.storage.artifact import Artifact, read_artifact, read_encoder
from latentseq.storage.atomic import read_json, write_json
from latentseq.storage.inside import inside
from latentseq.storage.reading import is_number
from latentseq.training.watch import Watcher

COST = "cost.json"
"""Seconds of training and peak memory: in a file of its own, since they differ from run to run."""


def load_predictor(path: str | Path, *, allow_plugins: Sequence[str] = ()) -> Predictor:
    """The model in a run folder, as something that predicts frames.

    Args:
        path: run folder of ``train_lstm`` or ``train``.
        allow_plugins: names of plugins that it or its parts may be, beside the built-in ones.

    Raises:
        DataError: it holds no trained model that predicts.
        UsageError: it, its encoder, or a part that either names is neither built in nor allowed.
    """
    folder = Path(path)
    artifact = read_artifact(folder)
    if artifact.group == "predictors":
        return artifact.allow(allow_plugins).load()
    if artifact.group == "encoders":
        raise DataError(
            f"{folder} holds the encoder {artifact.plugin!r}, which does not predict. "
            "Expected the folder that train-lstm or train wrote."
        )
    if artifact.group != "dynamics":
        raise DataError(
            f"{folder} holds the {artifact.plugin!r} of {artifact.group}; expected one of dynamics or predictors."
        )
    parts = (read_encoder(folder), artifact)
    encoder, dynamics = (each.load() for each in [part.allow(allow_plugins) for part in parts])
    if tuple(dynamics.latent_shape) != tuple(encoder.latent_shape):
        raise DataError(
            f"The dynamics in {folder} are of latents {tuple(dynamics.latent_shape)}, and the encoder beside them "
            f"makes {tuple(encoder.latent_shape)}. Copy the folder again, or train again."
        )
    return LatentPredictor(encoder, dynamics)


def data_for(
    artifact: Artifact,
    data: str | Path,
    options: Mapping[str, Any] | None = None,
    *,
    size: str | int | None = None,
    watcher: Watcher | None = None,
) -> Dataset:
    """DATA, prepared as a model's training data was.

    How files were read where that had to be decided, and what differs from the data that the model was trained on, is
    said.

    Args:
        artifact: of the model.
        data: DATA.
        options: the dataset's keywords.
        size: of the frames that are decoded from files, for a model that takes any; as it was trained where None.
        watcher: what it is said by; nothing is said where None.

    Raises:
        UsageError: a size, and a model that takes only its own, or data that is not decoded.
        DataError: the data's frames are not what the model takes.
    """
    prepared, decoded = dict(artifact.preprocessing), is_footage(data)
    if size is not None and not takes_any_size(artifact):
        raise UsageError(
            f"The model in {artifact.path} takes frames of the size that it was trained on, and --size is {size}. "
            "Leave --size out."
        )
    if size is not None and not decoded:
        raise UsageError(
            f"--size is about decoding files, and {data} is not decoded: its frames have a size. Leave it out."
        )
    if size is not None:
        prepared["size"] = list(Preprocessing(size).shape)
    heard = _sound(artifact) if decoded else {}
    dataset = open_data(data, options={**heard, **(options or {})}, preprocessing=Preprocessing.from_json(prepared))
    check_takes(artifact, dataset)
    if watcher is not None:
        for line in readings(dataset) if decoded else ():
            watcher.say(line)
        say_differences(artifact, dataset, watcher, decoded=decoded)
    return dataset


def say_differences(artifact: Artifact, dataset: Dataset, watcher: Watcher, *, decoded: bool) -> None:
    """Say what differs from the data that a model was trained on, as far as the model knows it.

    Args:
        artifact: of the model.
        dataset: as ``data_for`` opened it.
        watcher: what it is said by.
        decoded: whether the data is decoded from files.
    """
    prepared, traits = artifact.preprocessing, artifact.footage
    if takes_any_size(artifact):  # Then no picture has to be of its shape.
        traits.pop("aspect", None)
    whose = f"the {'encoder' if artifact.group == 'encoders' else 'model'} in {artifact.path}"
    fit, skip = prepared.get("fit", "crop"), prepared.get("skip", 1)
    for line in differences(whose, traits, dataset, decoded=decoded, fit=fit, skip=skip):
        watcher.say(line)


def _sound(artifact: Artifact) -> dict[str, str]:
    """The option of files that gives a model the sound it was trained with."""
    from latentseq.media.audio import BANDS  # Which imports a decoder.

    width = (artifact.config.get("conditions") or {}).get("audio")
    return {} if width is None else {"audio": "mel" if width == BANDS else "wave"}


def check_takes(artifact: Artifact, dataset: Dataset) -> None:
    """Refuse frames that a model does not take.

    Raises:
        DataError: they are of another size or of other channels.
    """
    wanted, whose = frame_shape(artifact), "the encoder" if artifact.group == "encoders" else "the model"
    if takes_any_size(artifact):
        wanted = (*dataset.frame_shape[:2], wanted[-1])
    check_frame_shape(dataset, wanted, f"{whose} in {artifact.path}")


def takes_any_size(artifact: Artifact) -> bool:
    """Whether a model takes frames of another height and width than those it was trained on."""
    return artifact.group == "predictors" and artifact.plugin_class().any_size


def frame_shape(artifact: Artifact) -> tuple[int, ...]:
    """(h, w, c) of the frames that a model was trained on.

    Raises:
        DataError: it does not say, or it takes no frames.
    """
    if artifact.group == "decoders":
        raise DataError(
            f"{artifact.path} holds the {artifact.plugin!r} of decoders; expected one of encoders, dynamics or "
            "predictors."
        )
    if artifact.group == "dynamics":
        artifact = read_encoder(artifact.path)
    return artifact.shape("input_shape")


def write_cost(folder: Path, history: Iterable[Mapping[str, Any]], *before: str | Path) -> None:
    """Keep what a training cost, together with the runs that it went on from.

    Args:
        folder: of the run.
        history: rows of its stages.
        before: run folders of the parts that it started with.
    """
    stages = {row["stage"]: float(row["seconds"]) for row in history}
    # Linux counts in kibibytes, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    cost = {"training_seconds": sum(stages.values()), "peak_memory_bytes": peak}
    for earlier in map(read_cost, before):
        cost["training_seconds"] += earlier.get("training_seconds", 0)
        cost["peak_memory_bytes"] = max(cost["peak_memory_bytes"], earlier.get("peak_memory_bytes", 0))
    write_json(folder / COST, cost)


def read_cost(folder: str | Path) -> dict[str, float]:
    """What the training of a run cost; nothing where it was not kept.

    Returns:
        ``training_seconds`` of the training loops, and ``peak_memory_bytes`` of the processes that trained.
    """
    path = inside(Path(folder), COST)
    if not path.is_file():
        return {}
    found = read_json(path, "what a training cost")
    return {k: float(v) for k, v in found.items() if is_number(v)}
