"""Small NumPy plugins that keep every promise: what the wrong plugins are derived from."""

from typing import ClassVar

import numpy as np

from latentseq.arrays import Clip, Latents, as_items
from latentseq.configurable import Presets
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Dataset, Decoder, Dynamics, Encoder, Forecast, History, Predictor


def breaks(number):
    """Note that a plugin breaks this promise, and no other."""

    def note(plugin):
        plugin.broken = number
        return plugin

    return note


class Saved:
    """State: the arrays that ``arrays`` names, one .npy file each."""

    arrays: tuple[str, ...] = ()

    def save_state(self, folder):
        for key in self.arrays:
            np.save(folder / f"{key}.npy", getattr(self, key))

    def load_state(self, folder):
        try:
            for key in self.arrays:
                setattr(self, key, np.load(folder / f"{key}.npy"))
        except FileNotFoundError as cause:
            raise DataError(f"{folder} holds no {key}.npy.") from cause


class HonestEncoder(Saved, Encoder):
    name = "honest-encoder"
    description = "Principal components with a posterior."
    presets: ClassVar[Presets] = {"tiny": {"latent_dim": 2}, "cpu": {}}
    arrays = ("mean", "axes")

    def __init__(self, input_shape: tuple[int, ...], latent_dim: int = 4):
        self.input_shape, self.latent_dim = tuple(input_shape), latent_dim
        size = int(np.prod(self.input_shape))
        self.mean, self.axes = np.zeros(size, np.float32), np.eye(latent_dim, size, dtype=np.float32)

    @property
    def latent_shape(self):
        return (self.latent_dim,)

    def fit(self, source, trainer):
        x = np.concatenate([batch["x"] for batch in trainer.batches(source, epochs=1)])
        x = x.reshape(len(x), -1)
        self.mean = x.mean(0)
        self.axes = np.linalg.svd(x - self.mean, full_matrices=False)[2][: self.latent_dim]
        return History()

    def encode(self, x):
        x = as_items(x, self.input_shape, "x")
        mean = (x.reshape(len(x), -1) - self.mean) @ self.axes.T
        return Latents(mean, np.full_like(mean, -2))

    def decode(self, z):
        return (z @ self.axes + self.mean).clip(0, 1).reshape(-1, *self.input_shape).astype(np.float32)


class HonestForecast(Forecast):
    def __init__(self, mean, scale):
        self.mean, self.scale = mean, scale

    def log_prob(self, z):
        z = (z - self.mean) / self.scale
        return np.sum(-(z**2) / 2 - np.log(self.scale) - np.log(2 * np.pi) / 2, axis=-1)

    def sample(self, n, *, seed, temperature=1.0):
        shape = (self.mean.shape[0], n, *self.mean.shape[1:])
        noise = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
        return self.mean[:, None] + np.float32(temperature**0.5) * self.scale * noise


class Driven:
    """What the dynamics and the predictor share: conditions, noise by (seed, step), and the rollout."""

    conditions: dict

    def push(self, conditions, b, t):
        """(b, t) what the conditions add."""
        conditions = conditions or {}
        if set(conditions) != set(self.conditions):
            raise UsageError(f"The conditions are {sorted(conditions)}; expected {sorted(self.conditions)}.")
        for key, width in self.conditions.items():
            if conditions[key].shape != (b, t, width):
                raise DataError(f"{key} has shape {conditions[key].shape}; expected {(b, t, width)}.")
        return sum((0.01 * v.sum(-1) for v in conditions.values()), np.zeros((b, t), np.float32))

    def noise(self, seed, step, shape):
        return np.random.default_rng([seed, step]).normal(size=shape).astype(np.float32)

    def imagine(self, state, steps, *, seed, temperature=1.0, conditions=None):
        z, step, items = state["next"], state["step"].copy(), []
        push = self.push(conditions, len(z), steps)
        for j in range(steps):
            drawn = np.float32(temperature**0.5) * self.scale * self.noise(seed, int(step[0]), z.shape)
            items.append(self.bound(z + drawn))
            z = self.advance(items[-1], push[:, j])
            step += 1
        return np.stack(items, 1), {"next": z, "step": step}

    def advance(self, z, push):
        push = push.reshape(push.shape + (1,) * (z.ndim - push.ndim))
        return self.bound(self.gain * z + self.shift + push).astype(np.float32)

    def watch(self, x, state, conditions):
        forecast = self.advance(x, self.push(conditions, *x.shape[:2]))
        step = np.zeros(len(x), np.int64) if state is None else state["step"]
        return forecast, {"next": forecast[:, -1], "step": step + x.shape[1]}

    def regress(self, x):
        """Least squares of each item on the one before."""
        old, new = x[:, :-1].reshape(-1, x.shape[-1]), x[:, 1:].reshape(-1, x.shape[-1])
        self.gain = ((old - old.mean(0)) * (new - new.mean(0))).mean(0) / old.var(0)
        self.shift = new.mean(0) - self.gain * old.mean(0)
        self.scale = (new - self.gain * old - self.shift).std(0)
        return History()


class HonestDynamics(Saved, Driven, Dynamics):
    name = "honest-dynamics"
    description = "Every dimension regresses on its own past."
    arrays = ("gain", "shift", "scale")

    def __init__(self, latent_shape: tuple[int, ...], conditions: dict[str, int] | None = None):
        self.latent_shape, self.conditions = tuple(latent_shape), dict(conditions or {})
        self.gain, self.shift, self.scale = (np.full(latent_shape[-1], x, np.float32) for x in (0, 0, 1))

    def bound(self, z):
        return z

    def fit(self, source, trainer):
        return self.regress(np.concatenate([b["mean"] for b in trainer.batches(source, epochs=1)]))

    def observe(self, latents, state=None, *, conditions=None):
        mean, state = self.watch(as_items(latents.mean, self.latent_shape, "latents", axes=2), state, conditions)
        return HonestForecast(mean, self.scale), state


class HonestPredictor(Saved, Driven, Predictor):
    name = "honest-predictor"
    description = "The frame again, faded and a little noisy."
    arrays = ("gain", "shift", "scale")

    def __init__(self, input_shape: tuple[int, ...], conditions: dict[str, int] | None = None):
        self.input_shape, self.conditions = tuple(input_shape), dict(conditions or {})
        self.gain, self.shift, self.scale = (np.full(input_shape[-1], x, np.float32) for x in (0.5, 0, 0.1))

    def bound(self, z):
        return z.clip(0, 1)

    def fit(self, source, trainer):
        return self.regress(np.concatenate([b["frames"] for b in trainer.batches(source, epochs=1)]))

    def observe(self, frames, state=None, *, conditions=None):
        return self.watch(as_items(frames, self.input_shape, "frames", axes=2), state, conditions)


class HonestDataset(Dataset):
    name = "honest-dataset"
    description = "Gradients that drift, with their phase as a stream."
    streams = {"phase": 1}  # noqa: RUF012
    fps = 12.5

    def __init__(self, size: int = 8):
        self.size = size

    @property
    def split(self):
        return np.array(["train"] * 3 + ["validation", "test"])

    @property
    def lengths(self):
        return np.array([12, 9, 10, 7, 11])

    @property
    def frame_shape(self):
        return (self.size, self.size, 1)

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        phase = np.arange(start, stop, dtype=np.float32)[:, None] * (i + 1)
        row = (phase + np.arange(self.size)) * 5 % 256
        frames = np.repeat(row[:, None, :, None], self.size, axis=1).astype(np.uint8)
        return Clip(frames, {"phase": phase})


class FeatureEncoder(HonestEncoder):
    def decode(self, z):
        return (z @ self.axes + self.mean).astype(np.float32).reshape(-1, *self.input_shape)


class MapEncoder(HonestEncoder):
    """Two by two positions, each with principal components of its own quarter of the frame."""

    @property
    def latent_shape(self):
        return (2, 2, self.latent_dim)

    def quarters(self, x):
        n, h, w, c = x.shape
        return x.reshape(n, 2, h // 2, 2, w // 2, c).swapaxes(2, 3).reshape(n, 4, -1)

    def fit(self, source, trainer):
        x = self.quarters(np.concatenate([batch["x"] for batch in trainer.batches(source, epochs=1)]))
        self.mean = x.mean((0, 1))
        self.axes = np.linalg.svd(x.reshape(-1, x.shape[-1]) - self.mean, full_matrices=False)[2][: self.latent_dim]
        return History()

    def encode(self, x):
        x = self.quarters(as_items(x, self.input_shape, "x"))
        size = x.shape[-1]
        mean = (x - self.mean[:size]) @ self.axes[:, :size].T
        return Latents(mean.reshape(-1, *self.latent_shape))

    def decode(self, z):
        h, w, c = self.input_shape
        size = h * w * c // 4
        x = z.reshape(-1, 4, self.latent_dim) @ self.axes[:, :size] + self.mean[:size]
        x = x.reshape(-1, 2, 2, h // 2, w // 2, c).swapaxes(2, 3).reshape(-1, h, w, c)
        return x.clip(0, 1).astype(np.float32)


class HonestDecoder(Saved, Decoder):
    name = "honest-decoder"
    description = "Ridge regression of frames on latents."
    arrays = ("weights",)

    def __init__(self, latent_shape: tuple[int, ...], output_shape: tuple[int, ...]):
        self.latent_shape, self.output_shape = tuple(latent_shape), tuple(output_shape)
        self.weights = np.zeros((int(np.prod(latent_shape)) + 1, int(np.prod(output_shape))), np.float32)

    def rows(self, z):
        z = as_items(z, self.latent_shape, "z")
        return np.hstack([z.reshape(len(z), -1), np.ones((len(z), 1), np.float32)])

    def fit(self, source, trainer):
        batches = list(trainer.batches(source, epochs=1))
        z, x = (np.concatenate([batch[key] for batch in batches]) for key in ("z", "x"))
        a = self.rows(z).astype(np.float64)
        ridge = a.T @ a + 1e-3 * np.eye(a.shape[1])
        self.weights = np.linalg.solve(ridge, a.T @ x.reshape(len(x), -1)).astype(np.float32)
        return History()

    def decode(self, z):
        return (self.rows(z) @ self.weights).clip(0, 1).reshape(-1, *self.output_shape)


class MapForecast(HonestForecast):
    def log_prob(self, z):
        return super().log_prob(z).sum((-1, -2))


class MapDynamics(HonestDynamics):
    def observe(self, latents, state=None, *, conditions=None):
        forecast, state = super().observe(latents, state, conditions=conditions)
        return MapForecast(forecast.mean, self.scale), state


class MeanForecast(HonestForecast):
    def sample(self, n, *, seed, temperature=1.0):
        return super().sample(n, seed=seed, temperature=0.0)


class MeanDynamics(HonestDynamics):
    """Samples its mean, as a squared-error head does."""

    def observe(self, latents, state=None, *, conditions=None):
        forecast, state = super().observe(latents, state, conditions=conditions)
        return MeanForecast(forecast.mean, self.scale), state

    def noise(self, seed, step, shape):
        return np.zeros(shape, np.float32)
