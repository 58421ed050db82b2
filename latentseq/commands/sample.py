"""Prime a model with frames, let it go on, and write what it imagined."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq.arrays import check_rolling
from latentseq.data.open import check_seed, check_streams, parse_frames
from latentseq.drawing.writers import check_suffix, write
from latentseq.errors import UsageError, listed
from latentseq.models.continuation import continue_clip, first_clip
from latentseq.models.run import data_for, load_predictor
from latentseq.protocols import Dataset
from latentseq.storage.artifact import read_artifact
from latentseq.storage.folders import check_free
from latentseq.training.watch import Watcher

PRIME = 30


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
    """Show a model the start of a clip and write what it imagines after it.

    Args:
        model: run folder of ``train_lstm`` or ``train``.
        data: DATA; files are decoded as those that the model was trained on.
        out: a file; its suffix says what is written: .mp4, .gif, .webp, .png (contact sheet) or .npz (arrays).
        clip: which clip; the first test clip where None, or the first where the data has no splits of its own.
        start: the first frame shown to the model, a number or a time such as ``1.5s``.
        prime: frames shown, a number or a time; 30 where None, or half of the clip where that is less.
        steps: frames to go on.
        samples: futures.
        temperature: 0 for the most probable path, 1 for the model's own spread.
        seed: of the noise; the same seed writes the same bytes.
        size: of the frames that are decoded from files, for a model that takes any; as it was trained where None.
        data_options: the dataset's keywords.
        allow_plugins: names of plugins that the model's parts may be, beside the built-in ones.
        overwrite: replace an earlier file.

    Returns:
        ``out``.

    Raises:
        LatentseqError: model, data, range or output do not fit.
    """
    out = Path(out)
    check_suffix(out)
    check_free(out, None, overwrite=overwrite)
    check_seed(seed)
    check_rolling(steps=steps, samples=samples, temperature=temperature)
    artifact = read_artifact(Path(model)).allow(allow_plugins)
    dataset = data_for(artifact, data, data_options, size=size, watcher=Watcher("sample"))
    chosen = first_clip(dataset) if clip is None else clip
    first = parse_frames(start, dataset, chosen, "start")
    predictor = load_predictor(model, allow_plugins=allow_plugins)
    usual = _default_prime(dataset, chosen, first, predictor.context) if prime is None else prime
    shown = parse_frames(usual, dataset, chosen, "prime", first=first)
    _check_priming(dataset, chosen, first, shown)
    check_streams(dataset, predictor.conditions, f"The model in {model}")
    end = min(first + shown + steps, int(dataset.lengths[chosen]))
    if predictor.conditions and end < first + shown + steps:
        raise UsageError(
            f"The model in {model} is driven by {listed(predictor.conditions)}, which clip {chosen} has for "
            f"{end - first - shown} frames after the {shown} that are shown; steps is {steps}. Ask for fewer "
            "steps, or show fewer frames with --prime."
        )
    shown_clip = dataset.read(chosen, first, end)
    made = continue_clip(predictor, shown_clip, shown, steps, samples=samples, temperature=temperature, seed=seed)
    write(out, made.rows(), border_at=shown, fps=dataset.fps, arrays=made._asdict())
    return out


def _default_prime(dataset: Dataset, clip: int, start: int, context: int) -> int:
    dataset.check_range(clip, 0, None)
    there = int(dataset.lengths[clip]) - start
    return max(1, min(PRIME, there // 2), min(context, there))


def _check_priming(dataset: Dataset, clip: int, start: int, prime: int) -> None:
    dataset.check_range(clip, 0, None)
    length = int(dataset.lengths[clip])
    if prime < 1:
        raise UsageError(f"--prime is {prime}; expected 1 frame or more, for the model to start from.")
    if start + prime > length:
        raise UsageError(
            f"--start {start} and --prime {prime} need frames {start} to {start + prime - 1} of clip {clip}; it "
            f"has {length} frames, 0 to {length - 1}. Choose a range inside it."
        )
