"""How far an imagined item may lie from the training latents, in NumPy."""

import numpy as np


def confined(network, item, last):
    """An item (b, 1, *latent_shape) in the encoder's units, drawn to where it may be after standardised ``last``."""
    offset, scale, low, high, radius = (
        np.asarray(getattr(network, k)) for k in ("offset", "scale", "low", "high", "radius")
    )
    z = np.clip((item[:, 0] - offset) / scale, np.minimum(low, last), np.maximum(high, last))
    most = np.maximum(radius, np.linalg.norm(last, axis=-1, keepdims=True))
    z = z / np.maximum(1, np.linalg.norm(z, axis=-1, keepdims=True) / most)
    return (z * scale + offset)[:, None].astype(np.float32)


def unconfined(model):
    """The model, whose imagined items may lie anywhere."""
    for name, far in (("low", -1e6), ("high", 1e6), ("radius", 1e6)):
        weight = getattr(model.network, name)
        weight.assign(np.full(weight.shape, far))
    return model
