"""Convolutional networks that plugins share: encoder, decoder, and their training on squared error."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from latentseq.errors import UsageError
from latentseq.networks.components import Patches
from latentseq.networks.plugin import LossNetwork, swish
from latentseq_plugins.linear_path import Components
from latentseq_plugins.variational import bounded_start, log_variance

LATENTS = ("vector", "map")
"""Kinds of latents."""
SHIFT = 0.15
"""Largest random shift in training, as a share of the side of a frame."""


class SquaredErrorNetwork(LossNetwork):
    """A chain of networks that predicts ``x``, trained on the squared error summed over an item."""

    def __init__(self, name: str, parts: Sequence[keras.Model], *, source: str, augment: Sequence[layers.Layer] = ()):
        """Chain networks.

        Args:
            name: name of the network.
            parts: networks in order; each takes the output of the one before, and the last predicts ``x``.
            source: key of the array in a batch that is the input of the first network.
            augment: layers that change ``x`` randomly in training; only for ``source="x"``.
        """
        super().__init__(name=name)
        self.parts = list(parts)
        self.source = source
        self.augment = list(augment)
        self.squared_error = keras.metrics.Mean(name="squared_error")

    def build(self, *_: Any) -> None:
        """Do nothing: the parts are already built."""

    def call(self, batch: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Predict ``x``; the result also has the ``target``."""
        target = x = batch[self.source]
        if training:
            for layer in self.augment:
                target = x = layer(x, training=True)
        for part in self.parts:
            x = part(x, training=training)
        return {"target": target if self.source == "x" else batch["x"], "x": x}

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Squared error, summed over each item and averaged over the batch."""
        error = ops.square(ops.cast(results["x"], "float32") - results["target"])
        error = ops.sum(ops.reshape(error, (ops.shape(error)[0], -1)), axis=1)
        self.squared_error.update_state(error)
        return ops.mean(error)


def check_convolutional(
    name: str, input_shape: Sequence[int], latent: str, latent_dim: int | None, widths: Sequence[int]
) -> int:
    """Check the options of a convolutional encoder.

    Args:
        name: name of the plugin, for errors.
        input_shape: frame shape (h, w, c).
        latent: "vector" or "map".
        latent_dim: length of the vector, or channels of the map; None for the default.
        widths: channels of each layer.

    Returns:
        ``latent_dim``, or its default: 64 for a vector, 16 for a map.

    Raises:
        UsageError: an option is out of range.
    """
    if len(input_shape) != 3 or min(input_shape) < 1:
        raise UsageError(f"{name}: input_shape is {list(input_shape)}; expected (height, width, channels) of frames.")
    if input_shape[-1] not in (1, 3):
        raise UsageError(
            f"{name}: input_shape is {list(input_shape)}; expected frames with 1 or 3 channels. Use feature-vae or "
            "pca to encode a map of features."
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
    """(d,) for a vector; (h', w', d) for a map, whose sides every layer halves and rounds up."""
    return (latent_dim,) if latent == "vector" else (*padding(input_shape, widths)[2], latent_dim)


def augmentation(seed: int) -> list[layers.Layer]:
    """Layers that mirror and shift frames randomly."""
    shift = layers.RandomTranslation(SHIFT, SHIFT, fill_mode="reflect", seed=seed + 2001, name="shift")
    # Keras marks this layer as not compilable, but JAX can compile it; without, a step takes seconds.
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
    linear: bool = False,
) -> keras.Model:
    """Build a network from frames (n, h, w, c) to latents (n, *latent_shape).

    Args:
        input_shape: frame shape (h, w, c).
        latent: "vector" or "map".
        latent_dim: length of the vector, or channels of the map.
        widths: channels of each layer; every layer halves the resolution.
        seed: random seed of the initial weights.
        kernel: kernel size of the convolutions.
        posterior: whether the network has two outputs, mean and log variance.
        linear: whether there is a linear path, the layer ``linear``, which the network is added to. Its last layers
            then start at zero.
    """
    (top, bottom), (left, right), _ = padding(input_shape, widths)
    frames = x = keras.Input(input_shape, name="frames")
    x = layers.ZeroPadding2D(((top, bottom), (left, right)), name="pad")(x)
    for i, width in enumerate(widths):
        start = keras.initializers.HeNormal(seed + i)
        x = layers.Conv2D(width, kernel, 2, "same", activation=swish, kernel_initializer=start, name=f"conv_{i}")(x)
    start = keras.initializers.Zeros() if linear else keras.initializers.GlorotUniform(seed + 100)
    if latent == "vector":
        x = layers.LayerNormalization(name="norm")(layers.Flatten(name="flat")(x))
        mean = layers.Dense(latent_dim, kernel_initializer=start, name="mean")(x)
        raw_log_var = layers.Dense(latent_dim, **bounded_start(linear=linear)) if posterior else None
    else:
        mean = layers.Conv2D(latent_dim, 1, kernel_initializer=start, name="mean")(x)
        raw_log_var = layers.Conv2D(latent_dim, 1, **bounded_start(linear=linear)) if posterior else None
    if linear:
        path = Components(patches_of(input_shape, latent, widths), latent_dim, seed + 200, decode=False)
        mean = layers.Add(name="sum")([path(frames), mean])
    outputs = mean if raw_log_var is None else [mean, log_variance(x, raw_log_var, linear=linear)]
    return keras.Model(frames, outputs, name="encoder")


def decoder_network(
    latent_shape: tuple[int, ...],
    output_shape: tuple[int, ...],
    widths: tuple[int, ...],
    seed: int,
    *,
    linear: bool = False,
) -> keras.Model:
    """Build a network from latents (n, *latent_shape) to frames (n, h, w, c).

    The output is linear: after a sigmoid, dark frames would give almost no gradient, and training would stay at the
    mean frame for minutes.

    Args:
        latent_shape: (d,), or (h', w', d) with the positions of the smallest layer.
        output_shape: frame shape (h, w, c).
        widths: channels of each layer, from the highest resolution to the lowest; every layer doubles the resolution.
        seed: random seed of the initial weights.
        linear: whether there is a linear path, the layer ``linear``, which the network is added to. Its last layer
            then starts at zero.
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
        # The last layer starts near zero: a first frame that is far off would cost the first hundred steps.
        start = keras.initializers.RandomNormal(0, 0.0 if linear else 0.02, seed + i)
        start = start if last else keras.initializers.HeNormal(seed + i)
        x = layers.Conv2DTranspose(
            width, 4, 2, "same", activation=None if last else swish, kernel_initializer=start, name=f"conv_{i}"
        )(x)
    x = layers.Cropping2D(tuple(crop), name="crop")(x)
    if linear:
        patches = patches_of(output_shape, "vector" if len(latent_shape) == 1 else "map", widths)
        x = layers.Add(name="sum")([Components(patches, latent_shape[-1], seed + 200, decode=True)(z), x])
    return keras.Model(z, x, name="decoder")


def patches_of(shape: Sequence[int], latent: str, widths: Sequence[int]) -> Patches:
    """The pieces of a frame that its latents stand for: the whole frame for a vector, a patch for each position."""
    if latent == "vector":
        return Patches(tuple(shape))
    (top, _), (left, _), _ = padding(shape, widths)
    return Patches(tuple(shape), 2 ** len(widths), (top, left))


def padding(shape: Sequence[int], widths: Sequence[int]) -> tuple[Any, ...]:
    """Rows and columns of padding on each side, so that every layer can halve, and (h, w) of the smallest layer."""
    factor = 2 ** len(widths)
    missing = [-side % factor for side in shape[:2]]
    small = tuple((side + m) // factor for side, m in zip(shape, missing, strict=False))
    return *((m // 2, m - m // 2) for m in missing), small
