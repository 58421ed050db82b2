"""The linear floor of an evaluation: the last frame, plus what autoregression adds to it."""

import numpy as np
import pytest
from rows import Rows

from latentseq.arrays import Source
from latentseq.models.linear_floor import LinearFloor


def fading(n, t, seed=0, factor=0.8, shape=(16, 24, 3)):
    """Frames (n, t, h, w, c) whose difference from grey shrinks by a factor in each step."""
    start = np.random.default_rng(seed).uniform(-0.4, 0.4, (n, 1, 1, 1, shape[-1])) * np.ones((1, 1, *shape))
    return (0.5 + start * factor ** np.arange(t).reshape(-1, 1, 1, 1)).astype(np.float32)


def floor_of(train, validation):
    return LinearFloor(Source(Rows(frames=train), Rows(frames=validation)))


@pytest.mark.parametrize("shape", [(16, 24, 3), (13, 9, 1), (5, 6, 3)])
def test_it_continues_what_is_linear(shape):
    floor = floor_of(fading(40, 12, shape=shape), fading(10, 12, seed=1, shape=shape))
    frames = fading(6, 10, seed=2, shape=shape)
    found = floor.predict(frames[:, :5], 5)
    assert found.shape == (6, 5, *shape)
    assert found.dtype == np.float32
    error, copying = (np.square(each - frames[:, 5:]).mean() for each in (found, frames[:, 4:5]))
    assert error < 0.1 * copying


def test_still_frames_stay_to_the_last_detail():
    still = np.repeat(np.random.default_rng(0).uniform(size=(30, 1, 16, 16, 1)), 10, axis=1).astype(np.float32)
    found = floor_of(still, still[:5]).predict(still[:4, :3], 20)
    np.testing.assert_allclose(found, still[:4, :1].repeat(20, axis=1), atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_black_film_stays_black():
    black = np.zeros((5, 6, 16, 16, 3), np.float32)
    np.testing.assert_allclose(floor_of(black, black).predict(black[:, :2], 30), 0, atol=1e-6)
