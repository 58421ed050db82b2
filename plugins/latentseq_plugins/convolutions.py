"""The convolutional networks that plugins share: frames to a latent and back, and their squared-error loss."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from latentseq.errors import UsageError
from latentseq.networks.plugin import LossNetwork, swish
from latentseq_plugins.variational import bounded_start, log_variance

LATENTS = ("vector", "map")
SHIFT = 0.15
"""Share of the side by which a frame is shifted in training, at most."""


class SquaredErrorNetwork(LossNetwork):
    """A network that makes ``x``, and the squared error of it, summed over an item."""

    def __init__(self, name: str, parts: Sequence[keras.Model], *, given: str, augment: Sequence[layers.Layer] = ()):
        """Put networks one after the other.

        Args:
            name: of the network.
            parts: each takes what the one before makes; the last makes ``x``.
            given: what of a batch the first one takes.
            augment: layers that change ``x`` at random in training, where that is what is given.
        """
        super().__init__(name=name)
        self.parts, self.given, self.augment = list(parts), given, list(augment)
        self.squared_error = keras.metrics.Mean(name="squared_error")

    def build(self, *_: Any) -> None:
        """Its parts are built already."""

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Make ``x``, beside the target that it should be."""
        target = made = batch[self.given]
        if training:
            for layer in self.augment:
                target = made = layer(made, training=True)
        for part in self.parts:
            made = part(made, training=training)
        return {"target": target if self.given == "x" else batch["x"], "x": made}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Squared error, summed over an item, mean over the batch."""
        error = ops.square(ops.cast(results["x"], "float32") - results["target"])
        error = ops.sum(ops.reshape(error, (ops.shape(error)[0], -1)), axis=1)
        self.squared_error.update_state(error)
        return ops.mean(error)


def check_convolutional(
    name: str, input_shape: Sequence[int], latent: str, latent_dim: int | None, widths: Sequence[int]
) -> int:
    """Refuse options that make no networks.

    Args:
        name: of the plugin.
        input_shape: (h, w, c) of a frame.
        latent: vector or map.
        latent_dim: length of the vector, or channels of the map.
        widths: channels of each layer.

    Returns:
        ``latent_dim``; 64 for a vector and 16 for a map where it is None.

    Raises:
        UsageError: saying what fits.
    """
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise UsageError(f"{name}: input_shape is {list(input_shape)}; expected (height, width, channels) of frames.")
    if input_shape[-1] not in (1, 3):
        raise UsageError(
            f"{name}: input_shape is {list(input_shape)}, of {input_shape[-1]} channels; expected frames, which have "
            "1 or 3. A map of features is encoded by feature-vae or pca."
        )
    if latent not in LATENTS:
        raise UsageError(f"{name}: latent is {latent!r}; expected 'vector' or 'map'.")
    d = latent_dim if latent_dim is not None else (64 if latent == "vector" else 16)
    if d < 1 or not widths or min(widths) < 1:
        raise UsageError(
            f"{name}: latent_dim is {d}, widths {list(widths)}; expected latent_dim of 1 or more, and at least one "
            "width, each 1 or more."
        )
    return d


def latent_shape(input_shape: Sequence[int], latent: str, latent_dim: int, widths: Sequence[int]) -> tuple[int, ...]:
    """(d,) of a vector; (h', w', d) of a map, each side halved by every layer and rounded up."""
    return (latent_dim,) if latent == "vector" else (*padding(input_shape, widths)[2], latent_dim)


def augmentation(seed: int) -> list[layers.Layer]:
    """Mirror and shift frames at random."""
    shift = layers.RandomTranslation(SHIFT, SHIFT, fill_mode="reflect", seed=seed + 2001, name="shift")
    # Keras says that it cannot be compiled, which is so on other backends; uncompiled, a step of JAX takes seconds.
    shift.supports_jit = keras.backend.backend() == "jax"
    return [layers.RandomFlip("horizontal", seed=seed + 2000, name="mirror"), shift]


def encoder_network(
    input_shape: tuple[int, ...],
    latent: str,
    latent_dim: int,
    widths: tuple[int, ...],
    seed: int,
    *,
    kernel: int,
    posterior: bool,
) -> keras.Model:
    """Frames (n, h, w, c) to latents (n, *latent_shape).

    Args:
        input_shape: (h, w, c).
        latent: vector or map.
        latent_dim: d.
        widths: channels of each layer; every layer halves the resolution.
        seed: of the initial weights.
        kernel: side of the convolutions' kernels.
        posterior: make two outputs, mean and log variance.
    """
    (top, bottom), (left, right), _ = padding(input_shape, widths)
    frames = x = keras.Input(input_shape, name="frames")
    x = layers.ZeroPadding2D(((top, bottom), (left, right)), name="pad")(x)
    for i, width in enumerate(widths):
        start = keras.initializers.HeNormal(seed + i)
        x = layers.Conv2D(width, kernel, 2, "same", activation=swish, kernel_initializer=start, name=f"conv_{i}")(x)
    start = keras.initializers.GlorotUniform(seed + 100)
    if latent == "vector":
        x = layers.LayerNormalization(name="norm")(layers.Flatten(name="flat")(x))
        mean = layers.Dense(latent_dim, kernel_initializer=start, name="mean")(x)
        spread = layers.Dense(latent_dim, **bounded_start()) if posterior else None
    else:
        mean = layers.Conv2D(latent_dim, 1, kernel_initializer=start, name="mean")(x)
        spread = layers.Conv2D(latent_dim, 1, **bounded_start()) if posterior else None
    return keras.Model(frames, mean if spread is None else [mean, log_variance(x, spread)], name="encoder")


def decoder_network(
    latent_shape: tuple[int, ...], output_shape: tuple[int, ...], widths: tuple[int, ...], seed: int
) -> keras.Model:
    """Latents (n, *latent_shape) to frames (n, h, w, c).

    The output is linear: behind a sigmoid, mostly black frames give almost no gradient, and training stays at the
    mean frame for minutes.

    Args:
        latent_shape: (d,), or (h', w', d) of as many positions as the smallest layer has.
        output_shape: (h, w, c).
        widths: channels of each layer, the largest picture's first; every layer doubles the resolution.
        seed: of the initial weights.
    """
    *crop, small = padding(output_shape, widths)
    z = x = keras.Input(latent_shape, name="z")
    start = keras.initializers.HeNormal(seed + 100)
    if len(latent_shape) == 1:
        x = layers.Dense(math.prod(small) * widths[-1], swish, kernel_initializer=start, name="dense")(x)
        x = layers.Reshape((*small, widths[-1]), name="map")(x)
    else:
        x = layers.Conv2D(widths[-1], 3, padding="same", activation=swish, kernel_initializer=start, name="map")(x)
    for i, width in enumerate((*reversed(widths[:-1]), output_shape[-1])):
        last = i + 1 == len(widths)
        # The last layer starts near nothing: a first picture far off costs the first hundred steps.
        start = keras.initializers.RandomNormal(0, 0.02, seed + i) if last else keras.initializers.HeNormal(seed + i)
        x = layers.Conv2DTranspose(
            width, 4, 2, "same", activation=None if last else swish, kernel_initializer=start, name=f"conv_{i}"
        )(x)
    return keras.Model(z, layers.Cropping2D(tuple(crop), name="crop")(x), name="decoder")


def padding(shape: Sequence[int], widths: Sequence[int]) -> tuple[Any, ...]:
    """Rows and columns to add on each side so that every layer can halve, and the (h, w) of the smallest layer."""
    factor = 2 ** len(widths)
    missing = [-side % factor for side in shape[:2]]
    small = tuple((side + m) // factor for side, m in zip(shape, missing, strict=False))
    return *((m // 2, m - m // 2) for m in missing), small
