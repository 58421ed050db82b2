"""A clip and a model's continuation of it."""

from typing import NamedTuple

import numpy as np

from latentseq.arrays import Clip, check_finite, to_float
from latentseq.drawing.picture import Row
from latentseq.protocols import Dataset, Predictor


class Continuation(NamedTuple):
    """A clip and a model's continuation of it; all arrays are float32 in [0, 1].

    Attributes:
        truth: (t, h, w, c) frames of the clip, from the first one that the model sees.
        reconstruction: array of the same shape, the frames encoded and decoded.
        one_step: (prime - 1, h, w, c) forecasts of frames 1 to prime - 1, each from the frames before it.
        futures: (s, steps, h, w, c) sampled continuations.
    """

    truth: np.ndarray
    reconstruction: np.ndarray
    one_step: np.ndarray
    futures: np.ndarray

    def rows(self) -> list[Row]:
        """Labelled rows of a picture; the reconstruction is left out if it equals the truth."""
        names = ["model"] if len(self.futures) == 1 else [f"future {i + 1}" for i in range(len(self.futures))]
        model = [
            Row(name, np.concatenate([self.one_step, future]), start=1, generated=True)
            for name, future in zip(names, self.futures, strict=True)
        ]
        data = [Row("truth", self.truth), Row("reconstruction", self.reconstruction)]
        return [*(data[:1] if np.array_equal(self.truth, self.reconstruction) else data), *model]


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
    """Continue a clip with a model.

    Args:
        predictor: the model.
        clip: frames (t, h, w, c), with t >= ``prime``, and the streams that the model needs as conditions.
        prime: number of frames that the model observes first.
        steps: number of frames to generate.
        samples: number of continuations.
        temperature: sampling temperature; 0 for the most probable continuation.
        seed: random seed of the sampling noise.

    Raises:
        DataError: the model predicts values that are not finite.
    """
    truth = to_float(clip.frames)
    streams = {name: clip.streams[name][None, : prime + steps] for name in predictor.conditions}
    observed, later = ({k: v[:, part] for k, v in streams.items()} for part in (slice(prime), slice(prime, None)))
    one_step, state = predictor.observe(truth[None, :prime], conditions=observed)
    futures = predictor.futures(state, steps, samples=samples, seed=seed, temperature=temperature, conditions=later)
    reconstruction = predictor.reconstruct(truth[None])
    for what, frames in (("forecasts", one_step), ("reconstructs", reconstruction)):
        check_finite(frames, f"The model {predictor.name} {what}")
    return Continuation(truth, reconstruction[0], one_step[0, :-1], futures[0])


def first_clip(dataset: Dataset) -> int:
    """Number of the first test clip; 0 if the data has no splits of its own."""
    return 0 if dataset.split is None else int(np.argmax(dataset.split == "test"))
