"""Every encoder with the dynamics that fit its latents, under every head that fits its posterior: one kit each."""

from functools import cache, partial

import numpy as np
import pytest

from latentseq import registry
from latentseq.errors import UsageError
from latentseq.models.latent import LatentPredictor
from latentseq.networks.heads import head_names, load_head
from latentseq.testing import PredictorPromises
from latentseq.testing.generated import blobs, generated
from latentseq.training.trainer import RunTrainer

pytestmark = pytest.mark.slow

SHAPE = [16, 16, 1]
STEPS = 600
"""Of encoders and dynamics: after 150 the forecasts of some are no nearer than the last frame."""
SMALL = {"widths": [8, 16]}
MAP = {**SMALL, "latent": "map", "latent_dim": 2}
ENCODERS = {
    "vae-vector": ("vae", {**SMALL, "latent_dim": 4}),
    "vae-map": ("vae", MAP),
    "conv-ae-vector": ("conv-ae", {**SMALL, "latent_dim": 4}),
    "conv-ae-map": ("conv-ae", MAP),
    "feature-vae": ("feature-vae", {"widths": [16], "latent_dim": 4}),
    "pca": ("pca", {"latent_dim": 4}),
    "stack": (
        "stack",
        {
            "features_options": {"widths": [8, 16], "latent_dim": 4},
            "latents_options": {"widths": [16], "latent_dim": 4},
            "decoder_options": {"widths": [8, 16]},
        },
    ),
}
POSTERIOR = ("vae-vector", "vae-map", "feature-vae", "stack")
HEADS_THAT_FIT = [
    (name, head)
    for name in ENCODERS
    for head in head_names()
    if name in POSTERIOR or not load_head(head).needs_posterior
]


@cache
def encoder(which):
    """One that has learned a little."""
    name, options = ENCODERS[which]
    plugin = registry.build("encoders", name, options, input_shape=SHAPE, seed=0)
    source = generated(lambda rows: {"x": blobs(rows, 8, tuple(SHAPE))[np.arange(len(rows)), rows % 8]})
    plugin.fit(source, RunTrainer(steps=STEPS, learning_rate=3e-3))
    return plugin


def predictor(which, head):
    """An encoder and untrained dynamics of its latents."""
    plugin = encoder(which)
    vector = len(plugin.latent_shape) == 1
    options = {"head": head, "layers": 1, "units": 8, "readout": [8], "free_steps": 3}
    latent_shape = list(plugin.latent_shape)
    dynamics = registry.build("dynamics", "lstm" if vector else "conv-lstm", options, latent_shape=latent_shape)
    return LatentPredictor(plugin, dynamics)


def kit(which, head):
    """The promises of a predictor, for one combination."""
    body = {"make": lambda self: predictor(which, head), "steps": STEPS, "far": 200}
    return type(f"Test{which.title()}{head.title()}".replace("-", ""), (PredictorPromises,), body)


for _which, _head in HEADS_THAT_FIT:
    _kit = kit(_which, _head)
    globals()[_kit.__name__] = _kit
del _kit


@pytest.mark.parametrize("which", [name for name in ENCODERS if name not in POSTERIOR])
def test_kl_without_a_posterior_names_the_heads_that_fit(which):
    model = predictor(which, "kl")
    source = generated(lambda rows: {"frames": blobs(rows, 8, tuple(SHAPE))})
    with pytest.raises(UsageError, match=r"Heads that work with it: mixture and mse\.$"):
        model.fit(source, RunTrainer(steps=1))


@pytest.mark.parametrize("which", ENCODERS)
def test_dynamics_of_the_other_kind_name_the_ones_that_fit(which):
    shape = list(encoder(which).latent_shape)
    wrong, fitting = ("conv-lstm", "lstm") if len(shape) == 1 else ("lstm", "conv-lstm")
    make = partial(registry.build, "dynamics", wrong, {}, latent_shape=shape)
    with pytest.raises(UsageError, match=f"choose --dynamics {fitting}"):
        make()
