"""Plugins with one flaw each: configuration, state and encoders."""

import itertools
import pickle
from typing import Any, ClassVar

import numpy as np
from honest_plugins import HonestDataset, HonestDynamics, HonestEncoder, HonestPredictor, breaks

from latentseq.arrays import Latents
from latentseq.configurable import Presets
from latentseq.protocols import History


@breaks("C1")
class NoDescription(HonestDataset):
    description = " "


@breaks("C2")
class NumPyOption(HonestEncoder):
    presets: ClassVar[Presets] = {}

    def __init__(self, input_shape: tuple[int, ...], rate: Any = None):
        super().__init__(input_shape)
        self.rate = np.float32(0.1)


@breaks("C3")
class OptionRoundedUp(HonestEncoder):
    presets: ClassVar[Presets] = {}

    def __init__(self, input_shape: tuple[int, ...], margin: int = 1):
        super().__init__(input_shape)
        self.margin = margin + 1


@breaks("C4")
class TakesAnyOption(HonestPredictor):
    @classmethod
    def from_config(cls, config):
        return super().from_config({k: v for k, v in config.items() if k in cls.keywords()})


@breaks("C5")
class ForgetsTheMean(HonestEncoder):
    def load_state(self, folder):
        super().load_state(folder)
        self.mean = self.mean * 0


@breaks("C6")
class CountsItsSaves(HonestDynamics):
    saves = itertools.count()

    def save_state(self, folder):
        super().save_state(folder)
        (folder / "saves.txt").write_text(str(next(self.saves)))


@breaks("C7")
class Pickles(HonestEncoder):
    def save_state(self, folder):
        super().save_state(folder)
        (folder / "extra.bin").write_bytes(pickle.dumps({"latent_dim": self.latent_dim}))


@breaks("C7")
class SavesObjects(HonestPredictor):
    def save_state(self, folder):
        super().save_state(folder)
        np.savez(folder / "extra.npz", extra=np.array([None, "x"], object))


@breaks("C8")
class StaysUntrainedInSilence(HonestDynamics):
    def load_state(self, folder):
        if any(folder.iterdir()):
            super().load_state(folder)


@breaks("C9")
class PresetOfAnOptionThatThereIsNot(HonestEncoder):
    presets: ClassVar[Presets] = {"tiny": {"latent_dims": 2}}


@breaks("C9")
class PresetOfWhatIsNoJSON(HonestEncoder):
    presets: ClassVar[Presets] = {"tiny": {"latent_dim": (2,)}}


@breaks("E1")
class ShapeIsAList(HonestEncoder):
    @property
    def latent_shape(self):
        return [self.latent_dim]


@breaks("E2")
class DoublePrecision(HonestEncoder):
    def encode(self, x):
        return Latents(super().encode(x).mean.astype(np.float64))


@breaks("E3")
class OneVarianceForAll(HonestEncoder):
    def encode(self, x):
        mean, log_var = super().encode(x)
        return Latents(mean, log_var[:, :1])


@breaks("E4")
class TrembleInEncode(HonestEncoder):
    tremble = itertools.cycle([0, 3e-6])

    def encode(self, x):
        return Latents(super().encode(x).mean + np.float32(next(self.tremble)))


@breaks("E5")
class BatchStatistics(HonestEncoder):
    def encode(self, x):
        mean = super().encode(x).mean
        return Latents(mean - mean.mean(0))


@breaks("E6")
class UnboundedFrames(HonestEncoder):
    def decode(self, z):
        return (z @ self.axes + self.mean).reshape(-1, *self.input_shape).astype(np.float32)


@breaks("E7")
class DecodesTheBatch(HonestEncoder):
    def decode(self, z):
        return super().decode(z - 0.2 * z.mean(0))


@breaks("E8")
class Squeezes(HonestEncoder):
    def encode(self, x):
        return Latents(super().encode(x).mean.squeeze())


@breaks("E8")
class FixedBuffer(HonestEncoder):
    def decode(self, z):
        return super().decode(z[:256])


@breaks("E9")
class TakesAnyShape(HonestEncoder):
    def encode(self, x):
        x = np.asarray(x, np.float32).reshape(-1, self.mean.size)
        return Latents((x - self.mean) @ self.axes.T)


@breaks("E10")
class WidthComesWithTraining(HonestEncoder):
    def encode(self, x):
        mean = super().encode(x).mean
        return Latents(mean if self.mean.any() else mean[:, :2])

    def decode(self, z):
        return super().decode(np.pad(z, ((0, 0), (0, self.latent_dim - z.shape[1]))))


@breaks("E11")
class LearnsNothing(HonestEncoder):
    def fit(self, source, trainer):
        return History()


@breaks("E11")
class ReturnsNoHistory(HonestEncoder):
    def fit(self, source, trainer):
        super().fit(source, trainer)


@breaks("E12")
class CentresInPlace(HonestEncoder):
    def encode(self, x):
        latents = super().encode(x)
        x -= 0.5
        return latents


@breaks("E13")
class GainOfAnotherShape(HonestEncoder):
    @property
    def channel_gain(self):
        return np.ones(self.latent_dim + 1, np.float32)


@breaks("E13")
class NegativeGain(HonestEncoder):
    @property
    def channel_gain(self):
        return -np.ones(self.latent_dim, np.float32)
