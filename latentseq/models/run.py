"""Load the model of a run folder, prepare data for it, and record the cost of its training."""

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
from latentseq.protocols import Dataset, Encoder, Predictor
from latentseq.storage.artifact import Artifact, read_artifact, read_encoder
from latentseq.storage.atomic import read_json, write_json
from latentseq.storage.inside import inside
from latentseq.storage.reading import is_number
from latentseq.training.watch import Watcher

COST = "cost.json"
"""File with training time and peak memory. It is a separate file, since these numbers differ from run to run."""


def load_encoder(path: str | Path, *, allow_plugins: Sequence[str] = ()) -> Encoder:
    """Load the encoder of a run folder.

    Args:
        path: run folder of ``train_ae``, or of ``train_lstm``, which holds a copy of its encoder.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.

    Raises:
        DataError: the folder holds no trained encoder.
        UsageError: the encoder, or a part of it, is neither built in nor allowed.
    """
    folder = Path(path)
    artifact = read_artifact(folder)
    if artifact.group == "dynamics":
        artifact = read_encoder(folder)
    elif artifact.group != "encoders":
        raise DataError(
            f"{folder} holds the {artifact.plugin!r} of {artifact.group}, which is not an encoder. "
            "Expected the folder that train-ae or train-lstm wrote."
        )
    return artifact.allow(allow_plugins).load()


def load_predictor(path: str | Path, *, allow_plugins: Sequence[str] = ()) -> Predictor:
    """Load the predictor of a run folder. An encoder and dynamics are combined into one predictor of frames.

    Args:
        path: run folder of ``train_lstm`` or ``train``.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.

    Raises:
        DataError: the folder has no trained model that predicts.
        UsageError: the model, its encoder or one of their parts is neither a built-in nor an allowed plugin.
    """
    folder = Path(path)
    artifact = read_artifact(folder)
    if artifact.group == "predictors":
        return artifact.allow(allow_plugins).load()
    if artifact.group == "encoders":
        raise DataError(
            f"{folder} holds the encoder {artifact.plugin!r}, which does not predict. "
            "Expected a run folder of train-lstm or train."
        )
    if artifact.group != "dynamics":
        raise DataError(
            f"{folder} holds the plugin {artifact.plugin!r} of the group {artifact.group}; expected dynamics or a "
            "predictor."
        )
    parts = (read_encoder(folder), artifact)
    encoder, dynamics = (each.load() for each in [part.allow(allow_plugins) for part in parts])
    if tuple(dynamics.latent_shape) != tuple(encoder.latent_shape):
        raise DataError(
            f"The dynamics in {folder} expect latents of shape {tuple(dynamics.latent_shape)}, but those of the "
            f"encoder in it have shape {tuple(encoder.latent_shape)}. Copy the folder again, or train again."
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
    """Open DATA with the preprocessing of a model's training data.

    Tells the user how ambiguous files were read, and how the data differs from the training data.

    Args:
        artifact: the model's artifact.
        data: path or name of the data.
        options: keyword arguments of the dataset.
        size: height and width of frames decoded from files, for a model that accepts any size; None for the size in
            training.
        watcher: progress display that prints the messages; None to print nothing.

    Raises:
        UsageError: ``size`` is set, but the model accepts one size only or the data is not decoded from files.
        DataError: the model does not accept the frames of the data.
    """
    prepared, decoded = dict(artifact.preprocessing), is_footage(data)
    if size is not None and not takes_any_size(artifact):
        raise UsageError(
            f"The model in {artifact.path} accepts only frames of the size in its training, but --size is {size}. "
            "Leave out --size."
        )
    if size is not None and not decoded:
        raise UsageError(
            f"--size is the size of frames decoded from files, but the frames of {data} are not decoded and have a "
            "fixed size. Leave out --size."
        )
    if size is not None:
        prepared["size"] = list(Preprocessing(size).shape)
    sound = _sound(artifact) if decoded else {}
    dataset = open_data(data, options={**sound, **(options or {})}, preprocessing=Preprocessing.from_json(prepared))
    check_takes(artifact, dataset)
    if watcher is not None:
        for line in readings(dataset) if decoded else ():
            watcher.say(line)
        say_differences(artifact, dataset, watcher, decoded=decoded)
    return dataset


def say_differences(artifact: Artifact, dataset: Dataset, watcher: Watcher, *, decoded: bool) -> None:
    """Tell the user how the data differs from a model's training data, as far as the artifact describes it.

    Args:
        artifact: the model's artifact.
        dataset: dataset that ``data_for`` opened.
        watcher: progress display that prints the messages.
        decoded: whether the data is decoded from files.
    """
    prepared, traits = artifact.preprocessing, artifact.footage
    if takes_any_size(artifact):  # Then the aspect ratio does not matter.
        traits.pop("aspect", None)
    name = f"the {'encoder' if artifact.group == 'encoders' else 'model'} in {artifact.path}"
    fit, skip = prepared.get("fit", "crop"), prepared.get("skip", 1)
    for line in differences(name, traits, dataset, decoded=decoded, fit=fit, skip=skip):
        watcher.say(line)


def _sound(artifact: Artifact) -> dict[str, str]:
    """The dataset option for files that yields the kind of sound that a model was trained with."""
    from latentseq.media.audio import BANDS  # Imports a decoder.

    width = (artifact.config.get("conditions") or {}).get("audio")
    return {} if width is None else {"audio": "mel" if width == BANDS else "wave"}


def check_takes(artifact: Artifact, dataset: Dataset) -> None:
    """Check that a model accepts the frames of a dataset.

    Raises:
        DataError: the frames have another size or other channels.
    """
    expected, kind = frame_shape(artifact), "encoder" if artifact.group == "encoders" else "model"
    if takes_any_size(artifact):
        expected = (*dataset.frame_shape[:2], expected[-1])
    check_frame_shape(dataset, expected, f"the {kind} in {artifact.path}")


def takes_any_size(artifact: Artifact) -> bool:
    """Whether a model accepts frames of any height and width."""
    return artifact.group == "predictors" and artifact.plugin_class().any_size


def frame_shape(artifact: Artifact) -> tuple[int, ...]:
    """Shape (h, w, c) of the frames that a model was trained on.

    Raises:
        DataError: the artifact does not hold a shape, or its model has no frames as input.
    """
    if artifact.group == "decoders":
        raise DataError(
            f"{artifact.path} holds the decoder {artifact.plugin!r}; expected an encoder, dynamics or a predictor."
        )
    if artifact.group == "dynamics":
        artifact = read_encoder(artifact.path)
    return artifact.shape("input_shape")


def write_cost(folder: Path, history: Iterable[Mapping[str, Any]], *before: str | Path) -> None:
    """Write the cost of a training, including the costs of the runs that it started from.

    Args:
        folder: run folder.
        history: rows of its history.
        before: run folders of the trained parts that it started from.
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
    """Read the cost of the training of a run; empty if it was not recorded.

    Returns:
        ``training_seconds`` of the training loops, and ``peak_memory_bytes`` of the training processes.
    """
    path = inside(Path(folder), COST)
    if not path.is_file():
        return {}
    cost = read_json(path, "the cost of a training")
    return {k: float(v) for k, v in cost.items() if is_number(v)}
