"""Prime a model with frames of a clip and write the frames that it generates."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq.arrays import check_rolling
from latentseq.data.open import check_seed, check_streams, parse_frames
from latentseq.drawing.writers import check_suffix, write
from latentseq.errors import UsageError, count_of, join_names
from latentseq.models.continuation import continue_clip, first_clip
from latentseq.models.run import data_for, load_predictor
from latentseq.protocols import Dataset
from latentseq.storage.artifact import read_artifact
from latentseq.storage.folders import check_free
from latentseq.training.watch import Watcher

PRIME = 30
"""Default number of frames that prime the model."""


def sample(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    clip: int | None = None,
    start: str | int = 0,
    prime: str | int | None = None,
    steps: int = 30,
    samples: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    size: str | int | None = None,
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Show a model the start of a clip and write its continuation.

    Args:
        model: run folder of ``train_lstm`` or ``train``.
        data: path or name of the data; files are decoded as in the model's training.
        out: file to write; its suffix sets the format: .mp4, .gif, .webp, .png (contact sheet) or .npz (arrays).
        clip: number of the clip; None for the first test clip, or for clip 0 if the data has no splits of its own.
        start: first frame that the model sees, as a number or a time such as ``1.5s``.
        prime: number of frames (or seconds, ``1.5s``) that the model sees first; None for 30, or for half of the
            clip if that is less.
        steps: number of frames to generate.
        samples: number of different continuations to generate.
        temperature: sampling temperature: 0 for the most probable continuation, 1 for the model's own spread.
        seed: random seed of the sampling noise; the same seed writes the same bytes.
        size: height and width of frames decoded from files, for a model that accepts any size; None for the size in
            training.
        data_options: keyword arguments of the dataset.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.
        overwrite: replace an existing file.

    Returns:
        ``out``.

    Raises:
        LatentseqError: the model, the data, the range of frames or the output is not valid.
    """
    out = Path(out)
    check_suffix(out)
    check_free(out, None, overwrite=overwrite)
    check_seed(seed)
    check_rolling(steps=steps, samples=samples, temperature=temperature)
    artifact = read_artifact(Path(model)).allow(allow_plugins)
    dataset = data_for(artifact, data, data_options, size=size, watcher=Watcher("sample"))
    index = first_clip(dataset) if clip is None else clip
    first = parse_frames(start, dataset, index, "start")
    predictor = load_predictor(model, allow_plugins=allow_plugins)
    prime = _default_prime(dataset, index, first, predictor.context) if prime is None else prime
    context = parse_frames(prime, dataset, index, "prime", first=first)
    _check_priming(dataset, index, first, context)
    check_streams(dataset, predictor.conditions, f"The model in {model}")
    end = min(first + context + steps, int(dataset.lengths[index]))
    if predictor.conditions and end < first + context + steps:
        rest = end - first - context
        raise UsageError(
            f"The model in {model} needs {join_names(predictor.conditions)} for every step. After the first "
            f"{context} frames, clip {index} has {count_of(rest, 'more frame')}, but steps is {steps}. "
            "Use fewer steps, or a smaller --prime."
        )
    window = dataset.read(index, first, end)
    continuation = continue_clip(
        predictor, window, context, steps, samples=samples, temperature=temperature, seed=seed
    )
    write(out, continuation.rows(), border_at=context, fps=dataset.fps, arrays=continuation._asdict())
    return out


def _default_prime(dataset: Dataset, clip: int, start: int, context: int) -> int:
    dataset.check_range(clip, 0, None)
    rest = int(dataset.lengths[clip]) - start
    return max(1, min(PRIME, rest // 2), min(context, rest))


def _check_priming(dataset: Dataset, clip: int, start: int, prime: int) -> None:
    dataset.check_range(clip, 0, None)
    length = int(dataset.lengths[clip])
    if prime < 1:
        raise UsageError(f"--prime is {prime}; expected 1 frame or more.")
    if start + prime > length:
        raise UsageError(
            f"--start {start} and --prime {prime} need frames {start} to {start + prime - 1} of clip {clip}; it has "
            f"{length} frames, 0 to {length - 1}. Use a range inside the clip."
        )
