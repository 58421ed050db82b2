"""The one import of TensorFlow Probability: on TensorFlow, or its JAX substrate where Keras runs on JAX."""

from typing import Any

import keras

from latentseq.backend import check_backend

check_backend(keras.backend.backend())
if keras.backend.backend() == "jax":
    from tensorflow_probability.substrates import jax as tfp
else:
    import tensorflow_probability as tfp

tfd = tfp.distributions


def normal(loc: Any, scale: Any) -> Any:
    """Independent normals along the last axis: event (d,), batch the axes before it."""
    return tfd.Independent(tfd.Normal(loc, scale), reinterpreted_batch_ndims=1)


def mixture(logits: Any, loc: Any, scale: Any) -> Any:
    """A mixture of normals with diagonal covariance, joint over the last axis.

    Args:
        logits: (..., k).
        loc: (..., k, d).
        scale: (..., k, d), above 0.

    Returns:
        A TFP distribution of event (d,).

    References:
        Bishop, Mixture Density Networks, 1994; Graves, arXiv 1308.0850, section 4.
    """
    return tfd.MixtureSameFamily(tfd.Categorical(logits=logits), normal(loc, scale))


def kl_divergence(p: Any, q: Any) -> Any:
    """KL(p ‖ q) in nats, over the event."""
    return tfd.kl_divergence(p, q)
