"""The linear path of an encoder: principal components beside its networks, fitted in closed form before training."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from latentseq.arrays import Source
from latentseq.networks.autoregression import Regression
from latentseq.networks.components import ITEMS, Patches, PrincipalAxesFit
from latentseq.protocols import Trainer
from latentseq_plugins.variational import LEAST_LOG_VAR, MIN_SIGMA

RIDGE = 1e-3
"""Strength of the ridge penalty in a regression of items on latents, as a share of the mean variance of a latent."""


class Components(layers.Layer):
    """A linear map between pieces of items and latents; it is not trained."""

    def __init__(self, patches: Patches, d: int, seed: int, *, decode: bool):
        """Set the shapes.

        Args:
            patches: the pieces.
            d: channels of a latent.
            seed: random seed of the matrix until it is fitted.
            decode: map latents to items; otherwise items to latents.
        """
        super().__init__(name="linear", trainable=False)
        self.patches = patches
        self.d = d
        self.seed = seed
        self.decode = decode

    def build(self, *_: Any) -> None:
        """Add the matrix and the mean piece."""
        size = self.patches.size
        shape = (self.d, size) if self.decode else (size, self.d)
        start = keras.initializers.RandomNormal(0, size**-0.5, self.seed)  # Axes of a length of about one.
        self.kernel = self.add_weight(shape=shape, initializer=start, trainable=False, name="kernel")
        self.mean = self.add_weight(shape=(size,), initializer="zeros", trainable=False, name="mean")

    def call(self, x: Any) -> Any:
        """Items (n, *item_shape) to latents (n, *grid, d), or back."""
        if self.decode:
            return self.patches.join(ops.matmul(x, self.kernel) + self.mean, ops)
        return ops.matmul(self.patches.cut(x, ops) - self.mean, self.kernel)


def start_from_components(
    encoder: keras.Model,
    decoder: keras.Model,
    source: Source,
    trainer: Trainer,
    *,
    noise: float | None = None,
    prepare: Callable[[np.ndarray], Any] = np.asarray,
) -> None:
    """Fit the linear paths of an encoder and its decoder to the principal components of training items.

    Without noise, latents are coordinates along orthonormal axes, so a squared error of latents is one of items.
    With noise, the model is probabilistic PCA with its maximum-likelihood variance and posterior, so latents have a
    variance of one, and the networks start as the best linear variational autoencoder.

    Args:
        encoder: network with the layer ``linear``, and ``log_var_start`` for a posterior.
        decoder: network with the layer ``linear``.
        source: training items ``x``.
        trainer: trainer of the run; a small share of its budget is used.
        noise: weight of the KL divergence, which the variance of the noise is multiplied by; None for no posterior.
        prepare: function from items of a batch to what the encoder's path takes.

    References:
        Tipping & Bishop, Probabilistic Principal Component Analysis, 1999, section 3.2.
        Lucas et al., Don't Blame the ELBO!, arXiv 1911.02469 (the linear VAE).
    """
    path, back = encoder.get_layer("linear"), decoder.get_layer("linear")
    patches = path.patches
    fit = PrincipalAxesFit(patches.size, path.d)
    for batch in trainer.one_pass(source, ITEMS):
        fit.add(_pieces(patches, prepare(batch["x"])))
        if fit.is_full:
            break
    mean, axes, variances, rest = fit.result()
    to_latents = gain = np.ones(path.d)
    if noise is not None:
        noise_variance = max(rest * noise, MIN_SIGMA**2)
        gain = np.sqrt(np.maximum(variances - noise_variance, 0))
        to_latents = gain / np.maximum(variances, noise_variance)
        log_var = np.log(noise_variance / np.maximum(variances, noise_variance))
        encoder.get_layer("log_var_start").summand.assign(np.maximum(log_var, LEAST_LOG_VAR))
    for layer, kernel in ((path, axes.T * to_latents), (back, axes * gain[:, None])):
        layer.kernel.assign(kernel)
        layer.mean.assign(mean)


def channel_gain(decoder: keras.Model) -> np.ndarray:
    """The ``channel_gain`` of an encoder whose decoder has a linear path."""
    return np.linalg.norm(ops.convert_to_numpy(decoder.get_layer("linear").kernel), axis=1)


def start_from_regression(
    decoder: keras.Model, source: Source, trainer: Trainer, prepare: Callable[[np.ndarray], Any]
) -> None:
    """Fit the linear path of a decoder by regression of training items on their latents.

    Args:
        decoder: network with the layer ``linear``.
        source: training latents ``z`` and items ``x``.
        trainer: trainer of the run; a small share of its budget is used.
        prepare: function from latents to what the decoder's path takes.
    """
    path = decoder.get_layer("linear")
    fit = Regression(path.d, path.patches.size)
    for batch in trainer.one_pass(source, ITEMS):
        z = ops.convert_to_numpy(prepare(batch["z"])).reshape(-1, path.d)
        fit.add(z, _pieces(path.patches, batch["x"]))
    ((weights, bias),) = fit.solve(RIDGE)
    path.kernel.assign(weights)
    path.mean.assign(bias)


def _pieces(patches: Patches, x: Any) -> np.ndarray:
    """The pieces of items (n, *item_shape), as rows (m, size)."""
    return patches.cut(ops.convert_to_numpy(x)).reshape(-1, patches.size)
