"""A clip, and what a model makes of it."""

from typing import NamedTuple

import numpy as np

from latentseq.arrays import Clip, check_finite, to_float
from latentseq.drawing.picture import Row
from latentseq.protocols import Dataset, Predictor


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


def first_clip(dataset: Dataset) -> int:
    """The first test clip, or the first where the data has no splits of its own."""
    return 0 if dataset.split is None else int(np.argmax(dataset.split == "test"))
