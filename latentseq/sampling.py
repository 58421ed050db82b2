"""Prime a model with frames, let it go on, and write what it imagined."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latentseq.arrays import Clip, check_finite, check_rolling, to_float
from latentseq.data import check_seed, check_streams, parse_frames
from latentseq.errors import UsageError, listed
from latentseq.media.picture import Row
from latentseq.media.writers import check_suffix, write
from latentseq.models import data_for, load_predictor
from latentseq.protocols import Dataset, Predictor
from latentseq.storage.artifact import read_artifact
from latentseq.storage.folders import check_free
from latentseq.training.watch import Watcher

PRIME = 30


class Continuation(NamedTuple):
    """A clip and what a model makes of it, float32 in [0, 1].

    Attributes:
        truth: (t, h, w, c), the frames that there are, from the first that primes on.
        reconstruction: the same shape, through the encoder.
        one_step: (prime - 1, h, w, c), forecasts of frames 1 to prime - 1, each from the frames before it.
        futures: (s, steps, h, w, c).
    """

    truth: np.ndarray
    reconstruction: np.ndarray
    one_step: np.ndarray
    futures: np.ndarray

    def rows(self) -> list[Row]:
        """The labelled rows of a picture; a model without an encoder has no reconstruction to show."""
        names = ["model"] if len(self.futures) == 1 else [f"future {i + 1}" for i in range(len(self.futures))]
        model = [
            Row(name, np.concatenate([self.one_step, future]), start=1, generated=True)
            for name, future in zip(names, self.futures, strict=True)
        ]
        seen = [Row("truth", self.truth), Row("reconstruction", self.reconstruction)]
        return [*(seen[:1] if np.array_equal(self.truth, self.reconstruction) else seen), *model]


def continue_clip(
    predictor: Predictor,
    clip: Clip,
    prime: int,
    steps: int,
    *,
    samples: int,
    temperature: float,
    seed: int,
) -> Continuation:
    """What a model makes of a clip.

    Args:
        predictor: the model.
        clip: frames (t, h, w, c), t of ``prime`` or more, and the streams that drive the model.
        prime: frames that the model is shown.
        steps: frames to go on.
        samples: futures.
        temperature: 0 for the most probable path.
        seed: of the noise.

    Raises:
        DataError: the model makes values that are not finite.
    """
    truth = to_float(clip.frames)
    streams = {name: clip.streams[name][None, : prime + steps] for name in predictor.conditions}
    known, later = ({k: v[:, part] for k, v in streams.items()} for part in (slice(prime), slice(prime, None)))
    one_step, state = predictor.observe(truth[None, :prime], conditions=known)
    futures = predictor.futures(state, steps, samples=samples, seed=seed, temperature=temperature, conditions=later)
    reconstruction = predictor.reconstruct(truth[None])
    for what, frames in (("forecasts", one_step), ("reconstructs", reconstruction)):
        check_finite(frames, f"The model {predictor.name} {what}")
    return Continuation(truth, reconstruction[0], one_step[0, :-1], futures[0])


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


def first_clip(dataset: Dataset) -> int:
    """The first test clip, or the first where the data has no splits of its own."""
    return 0 if dataset.split is None else int(np.argmax(dataset.split == "test"))


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
