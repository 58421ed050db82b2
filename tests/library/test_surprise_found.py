"""What nobody could foresee is found: a ball that turns where there is no wall, and a cut. Areas under ROC curves."""

from functools import cache

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from latentseq.arrays import Clip, Source
from latentseq.commands.surprise import surprisal
from latentseq.models.latent import LatentPredictor
from latentseq.protocols import Dataset
from latentseq.testing.generated import Generated
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.encoders.pca import PCA

SIZE, RADIUS, LENGTH, CLIPS = 16, 3, 24, 100
LOW, HIGH = RADIUS, SIZE - 1 - RADIUS
TRAIN, VALIDATION = 1000, 64


def balls(seed, clips, turns=None):
    """Balls of a pixel a frame that bounce off the walls and, at frame ``turns`` (b,), by 60 to 180 degrees.

    Returns:
        (b, t, h, w, 1) uint8; and (b,) whether the ball turned with no wall there.
    """
    random = np.random.default_rng(seed)
    at, angle = random.uniform(LOW, HIGH, (clips, 2)), random.uniform(0, 2 * np.pi, clips)
    turn = random.uniform(np.pi / 3, np.pi, clips) * random.choice([-1, 1], clips)
    speed = np.stack([np.cos(angle), np.sin(angle)], -1)
    path, free = [at], np.ones(clips, bool)
    for t in range(1, LENGTH):
        if turns is not None:
            (x, y), (c, s) = speed.T, (np.cos(turn), np.sin(turn))
            speed = np.where((turns == t)[:, None], np.stack([c * x - s * y, s * x + c * y], -1), speed)
        at = at + speed
        beyond = (at < LOW) | (at > HIGH)
        if turns is not None:
            free &= ~(beyond.any(-1) & (turns == t))
        at = np.where(at < LOW, 2 * LOW - at, np.where(at > HIGH, 2 * HIGH - at, at))
        speed = np.where(beyond, -speed, speed)
        path.append(at)
    y, x = (np.arange(SIZE) - np.stack(path, 1)[..., i, None] for i in (0, 1))
    distance = np.hypot(y[..., :, None], x[..., None, :])
    return (255 * np.clip(RADIUS - distance, 0, 1)[..., None]).astype(np.uint8), free


class Clips(Dataset):
    """Clips in memory."""

    name = "clips"
    frame_shape = (SIZE, SIZE, 1)
    lengths = property(lambda self: np.full(len(self.frames), LENGTH))

    def __init__(self, frames):
        self.frames = frames

    def read(self, i, start=0, stop=None):
        return Clip(self.frames[i, start:stop], {})


@cache
def learnt():
    """Principal components and a small LSTM, trained for some seconds on balls that turn at walls only."""
    frames = balls(0, TRAIN + VALIDATION)[0].astype(np.float32) / 255

    def source(make):
        return Source(Generated(make, 0, TRAIN), Generated(make, TRAIN, VALIDATION))

    encoder = PCA([SIZE, SIZE, 1], latent_dim=16)
    encoder.fit(source(lambda rows: {"x": frames[rows, rows % LENGTH]}), RunTrainer(epochs=1))
    model = LatentPredictor(encoder, LSTM([16], head="mse", layers=1, units=64, free_steps=0))
    model.fit(source(lambda rows: {"frames": frames[rows]}), RunTrainer(steps=120, learning_rate=1e-2))
    return model


@pytest.fixture(scope="module")
def turns():
    return np.random.default_rng(1).integers(6, LENGTH - 2, CLIPS)


def area(frames, when):
    """Of all frames of all clips, those of ``when`` (b,) against the others, by plain -log p."""
    values = np.stack([surprisal(learnt(), Clips(frames), i)[1:] for i in range(len(frames))])
    return roc_auc_score((np.arange(1, LENGTH) == when[:, None]).ravel(), values.ravel())


def test_a_ball_that_turns_without_a_wall_is_found(turns):
    frames, free = balls(2, CLIPS, turns)
    assert 50 < free.sum() < CLIPS
    assert area(frames[free], turns[free]) >= 0.95


def test_a_cut_is_found(turns):
    after = np.arange(LENGTH) >= turns[:, None]
    frames = np.where(after[..., None, None, None], balls(3, CLIPS)[0], balls(4, CLIPS)[0])
    assert area(frames, turns) >= 0.95


def test_where_nothing_happens_nothing_is_found(turns):
    assert 0.3 < area(balls(5, CLIPS)[0], turns) < 0.7
