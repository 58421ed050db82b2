"""Plugins with one flaw each: dynamics and predictors."""

import itertools

import numpy as np
from honest_plugins import HonestDynamics, HonestForecast, HonestPredictor, breaks

from latentseq.arrays import Latents
from latentseq.protocols import History


def forecasting(forecast):
    """An ``observe`` that answers with another forecast."""

    def observe(self, latents, state=None, *, conditions=None):
        honest, state = HonestDynamics.observe(self, latents, state, conditions=conditions)
        return forecast(honest.mean, honest.scale), state

    return observe


class DoublePrecisionMean(HonestForecast):
    def sample(self, n, *, seed, temperature=1.0):
        return super().sample(n, seed=seed, temperature=temperature).astype(np.float32)


@breaks("R1")
class DoublePrecisionForecast(HonestDynamics):
    observe = forecasting(lambda mean, scale: DoublePrecisionMean(mean.astype(np.float64), scale))


@breaks("R1")
class UnboundedForecast(HonestPredictor):
    def observe(self, frames, state=None, *, conditions=None):
        forecast, state = super().observe(frames, state, conditions=conditions)
        return forecast - np.float32(0.01), state


@breaks("R2")
class ForgetsItsState(HonestDynamics):
    def observe(self, latents, state=None, *, conditions=None):
        return super().observe(latents, None, conditions=conditions)


@breaks("R3")
class ClockWithoutBatch(HonestDynamics):
    def observe(self, latents, state=None, *, conditions=None):
        forecast, after = super().observe(latents, state, conditions=conditions)
        return forecast, {**after, "clock": np.array(after["step"][0])}

    def imagine(self, state, steps, **options):
        items, after = super().imagine(state, steps, **options)
        return items, {**after, "clock": state["clock"] + steps}


@breaks("R4")
class CountsInPlace(HonestPredictor):
    def imagine(self, state, steps, **options):
        result = super().imagine(state, steps, **options)
        state["step"] += steps
        return result


@breaks("R4")
class ReusesTheDict(HonestDynamics):
    def observe(self, latents, state=None, *, conditions=None):
        forecast, after = super().observe(latents, state, conditions=conditions)
        if state is not None:
            state.update(after)
        return forecast, after


@breaks("R5")
class PeeksOnce(HonestDynamics):
    """Forecast 2 sees item 3 where one call holds both, and pieces of 1, 4 and 3 do not show it."""

    def observe(self, latents, state=None, *, conditions=None):
        forecast, after = super().observe(latents, state, conditions=conditions)
        here = 2 - (0 if state is None else int(state["step"][0]))
        if 0 <= here < latents.mean.shape[1] - 1:
            forecast.mean[:, here] += 0.1 * latents.mean[:, here + 1]
        return forecast, after


@breaks("R6")
class SharesTheBatch(HonestPredictor):
    def watch(self, x, state, conditions):
        return super().watch(0.9 * x + 0.1 * x.mean(0), state, conditions)


@breaks("R7")
class DoublePrecisionRollout(HonestDynamics):
    def imagine(self, state, steps, **options):
        items, after = super().imagine(state, steps, **options)
        return items.astype(np.float64), after


@breaks("R8")
class NoiseByCall(HonestDynamics):
    def imagine(self, state, steps, **options):
        items, after = super().imagine({**state, "step": state["step"] * 0}, steps, **options)
        return items, {**after, "step": state["step"] + steps}


@breaks("R9")
class TrembleInImagine(HonestDynamics):
    tremble = itertools.cycle([0, 3e-6])

    def imagine(self, state, steps, **options):
        items, after = super().imagine(state, steps, **options)
        return items + np.float32(next(self.tremble)), after


@breaks("R10")
class NeverCold(HonestDynamics):
    def imagine(self, state, steps, *, seed, **options):
        items, after = super().imagine(state, steps, seed=seed, **options)
        return items + np.float32(0.01 * seed), after


@breaks("R11")
class OneNoiseForAllRows(HonestPredictor):
    def noise(self, seed, step, shape):
        return super().noise(seed, step, (1, *shape[1:]))


@breaks("R11")
class IgnoresTheSeed(HonestDynamics):
    def noise(self, seed, step, shape):
        return super().noise(0, step, shape)


@breaks("R12")
class TakesAnyWidth(HonestDynamics):
    def observe(self, latents, state=None, *, conditions=None):
        latents = Latents(latents.mean[..., : self.latent_shape[-1]])
        return super().observe(latents, state, conditions=conditions)


@breaks("R13")
class HearsTheFuture(HonestDynamics):
    def push(self, conditions, b, t):
        pushed = super().push(conditions, b, t)
        return np.concatenate([pushed[:, 1:], pushed[:, -1:]], axis=1)


@breaks("R14")
class DeafToMistakes(HonestPredictor):
    def push(self, conditions, b, t):
        return sum((0.01 * v.sum(-1) for v in (conditions or {}).values()), np.zeros((b, t), np.float32))


@breaks("R15")
class LeavesTheData(HonestDynamics):
    """Every step goes a little farther from 0; a few of them are as good as any."""

    def fit(self, source, trainer):
        history = super().fit(source, trainer)
        self.gain = np.full_like(self.gain, 1.03)
        return history


@breaks("R15")
class WearsOut(HonestPredictor):
    """Plays well, until a counter of its own is full."""

    def imagine(self, state, steps, **options):
        items, after = super().imagine(state, steps, **options)
        worn = state["step"][:, None] + np.arange(steps) > 150
        items[worn] = np.nan
        return items, after


class Quacks:
    """Does all that a Forecast does and is none."""

    bound = False

    def __init__(self, mean, scale):
        self.mean, self.scale = mean, scale

    log_prob, sample = HonestForecast.log_prob, HonestForecast.sample


class MeanOverDimensions(HonestForecast):
    def log_prob(self, z):
        return super().log_prob(z) / z.shape[-1]


class StandardisedUnits(HonestForecast):
    def log_prob(self, z):
        return super().log_prob(z) + np.log(self.scale).sum() + z.shape[-1]


class DoublePrecisionSample(HonestForecast):
    def sample(self, n, *, seed, temperature=1.0):
        return super().sample(n, seed=seed, temperature=temperature).astype(np.float64)


class Biased(HonestForecast):
    def sample(self, n, *, seed, temperature=1.0):
        return super().sample(n, seed=seed, temperature=temperature) + self.scale * np.float32(
            0.5 * (temperature > 0)
        )


@breaks("D1")
class NoForecast(HonestDynamics):
    observe = forecasting(Quacks)


@breaks("D2")
class LikelihoodPerDimension(HonestDynamics):
    observe = forecasting(MeanOverDimensions)


@breaks("D2")
class LikelihoodInOtherUnits(HonestDynamics):
    observe = forecasting(StandardisedUnits)


@breaks("D3")
class SamplesInDouble(HonestDynamics):
    observe = forecasting(DoublePrecisionSample)


@breaks("D4")
class SamplesAside(HonestDynamics):
    observe = forecasting(Biased)


@breaks("D5")
class OneStepLate(HonestDynamics):
    def watch(self, x, state, conditions):
        forecast, state = super().watch(x, state, conditions)
        return forecast, {**state, "next": forecast[:, -2:][:, 0]}


@breaks("D6")
class LearnsNoMotion(HonestDynamics):
    def fit(self, source, trainer):
        return History()


@breaks("P1")
class SamplesFirst(HonestPredictor):
    def predict(self, frames, steps, **options):
        return super().predict(frames, steps, **options).swapaxes(0, 1)


@breaks("P2")
class ReconstructsBytes(HonestPredictor):
    def reconstruct(self, frames):
        return np.rint(frames * 255).astype(np.uint8)


@breaks("P3")
class GetsWorse(HonestPredictor):
    def fit(self, source, trainer):
        self.gain = self.gain * 5
        return History()
