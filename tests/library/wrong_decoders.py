"""Decoders with one flaw each."""

import itertools

import numpy as np
from honest_plugins import HonestDecoder, breaks

from latentseq.protocols import History


@breaks("K1")
class UnboundedPictures(HonestDecoder):
    def decode(self, z):
        return (self.rows(z) @ self.weights).reshape(-1, *self.output_shape)


@breaks("K2")
class Trembles(HonestDecoder):
    tremble = itertools.cycle([0, 3e-6])

    def decode(self, z):
        return (super().decode(z) * 0.9 + np.float32(next(self.tremble))).clip(0, 1)


@breaks("K3")
class DecodesTheWholeBatch(HonestDecoder):
    def decode(self, z):
        frames = super().decode(z)
        return (frames - 0.2 * frames.mean(0)).clip(0, 1)


@breaks("K4")
class TakesAnyLatent(HonestDecoder):
    def rows(self, z):
        z = np.asarray(z, np.float32)
        z = z.reshape(-1, len(self.weights) - 1) if z.size % (len(self.weights) - 1) == 0 else z
        return np.hstack([z, np.ones((len(z), 1), np.float32)])


@breaks("K5")
class LearnsNoPictures(HonestDecoder):
    def fit(self, source, trainer):
        return History()


@breaks("K6")
class ScalesInPlace(HonestDecoder):
    def decode(self, z):
        frames = super().decode(z)
        z *= 1
        return frames
