"""What is wrong with latents, in words: encoders that are made up to do each of it."""

import numpy as np
import pytest
from honest_plugins import HonestEncoder

from latentseq.arrays import Latents
from latentseq.evaluation.latents import findings

RNG = np.random.default_rng(0)
X = RNG.uniform(size=(90, 4, 3, 1)).astype(np.float32)


class MadeUp(HonestEncoder):
    """Two axes of noise; ``scale`` of each dimension's mean, and a log variance."""

    def __init__(self, scale, log_var=None, uses_z=True, shape=None):
        super().__init__((4, 3, 1), latent_dim=len(scale))
        self.scale, self.log_var, self.uses_z = np.array(scale, np.float32), log_var, uses_z
        self.shape = shape or (len(scale),)

    @property
    def latent_shape(self):
        return self.shape

    def encode(self, x):
        mean = (x.reshape(len(x), -1)[:, : len(self.scale)] - 0.5) * self.scale
        mean = np.broadcast_to(mean.reshape(len(x), *[1] * (len(self.shape) - 1), -1), (len(x), *self.shape))
        if self.log_var is None:
            return Latents(mean)
        return Latents(mean, np.broadcast_to(np.array(self.log_var, np.float32), mean.shape))

    def decode(self, z):
        out = np.full((len(z), 12), 0.5, np.float32)
        if self.uses_z:
            scale = np.where(self.scale == 0, 1, self.scale)
            out[:, : len(self.scale)] += z.reshape(len(z), -1, len(self.scale))[:, 0] / scale
        return out.reshape(-1, 4, 3, 1)


def batches():
    return [X[:40], X[40:80], X[80:]]


COLLAPSED = (
    "The posterior collapsed: the KL divergence is below 0.01 nats in all 3 dimensions, so Z says nothing about the "
    "input. Try a lower beta, or free_bits above 0."
)
IGNORED = (
    "The decoder ignores Z: it reconstructs an input no better from its own latent than from that of another input. "
    "Train longer before you train a model on these latents."
)
IGNORED_POSTERIOR = IGNORED.replace("longer before", "longer, or with a lower beta, before")


@pytest.mark.parametrize(
    ("encoder", "wanted"),
    [
        (MadeUp([1, 2, 3]), []),
        (MadeUp([1, 2, 3], [-3, -3, -3]), []),
        # A mean of small spread around 0 under a variance of 1: a KL divergence of half its square.
        (MadeUp([0.01, 0.02, 0.03], [0, 0, 0]), [COLLAPSED]),
        (MadeUp([0, 0, 0], [0, 0, 0]), [COLLAPSED, IGNORED_POSTERIOR]),
        (MadeUp([1, 2, 3], uses_z=False), [IGNORED]),
        (MadeUp([1, 2, 3], [-3, -3, -3], uses_z=False), [IGNORED_POSTERIOR]),
        (
            MadeUp([1, 0, 3]),
            ["1 of 3 dimensions of Z is dead (1): the value is the same for every input. Use a smaller latent_dim."],
        ),
        (
            MadeUp([1, 0, 0], [-3, 0, 0]),
            [
                "2 of 3 dimensions of Z are dead (1, 2): the posterior equals the prior. Use a smaller "
                "latent_dim, or free_bits above 0."
            ],
        ),
        (
            MadeUp([0, 0]),
            [
                "2 of 2 dimensions of Z are dead (0, 1): the value is the same for every input. Use a smaller "
                "latent_dim.",
                IGNORED,
            ],
        ),
        (
            MadeUp([1] + [0] * 11),
            [
                "11 of 12 dimensions of Z are dead (1, 2, 3, 4, 5, 6, 7, 8 and 3 more): the value is the same for "
                "every input. Use a smaller latent_dim."
            ],
        ),
        (
            MadeUp([1, 0, 2], shape=(2, 2, 3)),
            ["1 of 3 dimensions of Z is dead (1): the value is the same for every input. Use a smaller latent_dim."],
        ),
    ],
)
def test_what_is_wrong_is_said(encoder, wanted):
    assert findings(encoder, batches()) == wanted


def test_a_channel_of_a_map_is_alive_where_it_is_alive_anywhere():
    class Corner(MadeUp):
        def encode(self, x):
            mean = np.zeros((len(x), 2, 2, 2), np.float32)
            mean[:, 1, 1] = x.reshape(len(x), -1)[:, :2]
            return Latents(mean)

        def decode(self, z):
            return np.concatenate([z[:, 1, 1], np.full((len(z), 10), 0.5, np.float32)], 1).reshape(-1, 4, 3, 1)

    assert findings(Corner([1, 1], shape=(2, 2, 2)), batches()) == []


def test_data_that_never_changes_says_nothing_about_the_latents():
    still = np.full((20, 4, 3, 1), 0.25, np.float32)
    assert findings(MadeUp([1, 2, 3]), [still, still]) == []
    assert findings(MadeUp([1, 2, 3]), [X[:1]]) == []


def test_batches_are_counted_by_their_items():
    """The same from one batch and from many: a dimension that only the last of them changes is alive."""

    class LateComer(MadeUp):
        def encode(self, x):
            mean = super().encode(x).mean.copy()
            mean[:, 1] = np.where(np.isin(x[:, 0, 0, 0], X[80:, 0, 0, 0]), 5, 0)
            return Latents(mean)

    assert findings(LateComer([1, 0, 3]), batches()) == findings(LateComer([1, 0, 3]), [X]) == []
