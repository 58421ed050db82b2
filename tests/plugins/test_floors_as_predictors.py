"""Predictors with nothing to train: the kit, and what they say."""

import numpy as np
import pytest

from latentseq.testing import PredictorPromises
from latentseq_plugins.predictors.floors import Black, CopyLast, Mean

SHAPE = [4, 6, 3]


class TestCopyLast(PredictorPromises):
    def make(self):
        return CopyLast(SHAPE)


class TestMean(PredictorPromises):
    def make(self):
        return Mean(SHAPE)


class TestBlack(PredictorPromises):
    def make(self):
        return Black(SHAPE)


@pytest.mark.parametrize("kind", [CopyLast, Mean, Black])
def test_what_they_say(kind):
    frames = np.random.default_rng(0).uniform(size=(2, 5, 7, 8, 3)).astype("float32")  # Of another size.
    said, state = kind(SHAPE).observe(frames)
    wanted = {
        CopyLast: frames,
        Mean: np.stack([frames[:, : i + 1].mean(axis=1) for i in range(5)], axis=1),
        Black: np.zeros_like(frames),
    }[kind]
    assert np.allclose(said, wanted, atol=1e-6)
    rollout, _ = kind(SHAPE).imagine(state, 3, seed=0)
    assert np.allclose(rollout, wanted[:, -1:], atol=1e-6)
    assert rollout.shape == (2, 3, 7, 8, 3)
