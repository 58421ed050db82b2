"""What a model that is broken imagines is refused, and nothing is written."""

import numpy as np
import pytest
from honest_plugins import HonestPredictor

from latentseq.arrays import Clip
from latentseq.errors import DataError
from latentseq.models.continuation import continue_clip

SHAPE = (8, 8, 1)


class Broken(HonestPredictor):
    """Everything is fine but one verb's last answer."""

    def __init__(self, verb):
        super().__init__(SHAPE)
        self.verb = verb

    def spoil(self, verb, frames):
        if verb == self.verb:
            frames = frames.copy()
            frames[0, -2:, 3, 3] = np.nan
        return frames

    def observe(self, frames, state=None, *, conditions=None):
        forecast, state = super().observe(frames, state, conditions=conditions)
        return self.spoil("forecasts", forecast), state

    def imagine(self, state, steps, **options):
        frames, state = super().imagine(state, steps, **options)
        return self.spoil("imagines", frames), state

    def reconstruct(self, frames):
        return self.spoil("reconstructs", frames)


CLIP = Clip(np.random.default_rng(0).integers(0, 256, (12, *SHAPE), np.uint8), {})


@pytest.mark.parametrize("verb", ["forecasts", "imagines", "reconstructs"])
def test_a_continuation_of_what_is_not_finite(verb):
    with pytest.raises(DataError) as caught:
        continue_clip(Broken(verb), CLIP, 6, 4, samples=2, temperature=1.0, seed=0)
    told = f"The model honest-predictor {verb} frames with values that are not finite. Train it again."
    assert str(caught.value) == told


def test_a_prediction_of_what_is_not_finite():
    frames = CLIP.frames[None] / np.float32(255)
    with pytest.raises(DataError) as caught:
        Broken("imagines").predict(frames, 3, temperature=0.0)
    told = "The model honest-predictor imagines frames with values that are not finite. Train it again."
    assert str(caught.value) == told
    assert Broken("reconstructs").predict(frames, 3).shape == (1, 1, 3, *SHAPE)
