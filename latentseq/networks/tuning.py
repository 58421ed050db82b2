"""Encoder, dynamics and decoder as one network, trained on the error of the frames that it imagines."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Batch, Source
from latentseq.errors import UsageError, join_names
from latentseq.networks.plugin import LossNetwork, own_settings
from latentseq.networks.tunable import TunableDynamics, TunableEncoder
from latentseq.protocols import Dynamics, Encoder, History, Trainer

PARTS = ("dynamics", "decoder", "encoder")
"""Names of the parts that can be tuned."""
RECONSTRUCTED = 2
"""Number of true frames of a window that are reconstructed as well."""
BATCH = 8
"""Windows of a training batch, unless the user chooses another number."""
LEARNING_RATE = 2e-3
CLIP_NORM = 1.0


class TuningNetwork(LossNetwork):
    """Frames to latents, forecasts of the next latents, and back to frames. Its loss is the error of those frames."""

    def __init__(self, encoder: TunableEncoder, dynamics: TunableDynamics):
        """Connect the networks of two plugins. The weights stay those of the plugins."""
        super().__init__(name="tuning")
        self.encoder = encoder.networks["encoder"]
        self.decoder = encoder.networks["decoder"]
        self.dynamics = dynamics.network
        self.forecasts = dynamics.forecasts
        self.burn_in = dynamics.burn_in
        # Conditions rule augmentation out: in a mirrored frame, an action to the left is one to the right.
        self.augmentation = [] if dynamics.conditions else list(encoder.augmentation)

    def build(self, *_: Any) -> None:
        """Do nothing, since the parts are built already."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Predict ``frames`` of windows (b, t, h, w, c) with their conditions, beside their ``target``.

        The predicted frames are those of the closed loop, or all frames after the first if there is no closed loop.
        ``RECONSTRUCTED`` true frames are reconstructed as well, so that the encoder keeps reconstructing well.
        """
        frames, rest = batch["frames"], {k: v for k, v in batch.items() if k != "frames"}
        if training and self.augmentation:
            frames = self.augment(frames)
        t = frames.shape[1]
        burn_in = self.burn_in(t)
        z = self.encode(frames[:, :burn_in], training)
        # Items after the burn-in are targets of the dynamics' own loss, which is not computed here.
        unseen = ops.zeros((ops.shape(z)[0], t - burn_in, *z.shape[2:]))
        skip = burn_in - 1 if burn_in < t else 0
        forecasts = self.forecasts({"mean": ops.concatenate([z, unseen], axis=1), **rest}, skip, training)
        shown = ops.concatenate([forecasts, z[:, -RECONSTRUCTED:]], axis=1)
        seen = frames[:, max(0, burn_in - RECONSTRUCTED) : burn_in]
        target = ops.concatenate([frames[:, skip + 1 :], seen], axis=1)
        pictures = self.decoder(ops.reshape(shown, (-1, *shown.shape[2:])), training=training)
        return {"frames": ops.reshape(pictures, (-1, *target.shape[1:])), "target": target}

    def augment(self, frames: Any) -> Any:
        """Change windows (b, t, h, w, c) at random; all frames of a window alike, as if they were channels."""
        t, height, width, c = frames.shape[1:]
        x = ops.reshape(ops.moveaxis(frames, 1, 3), (-1, height, width, t * c))
        for layer in self.augmentation:
            x = layer(x, training=True)
        return ops.moveaxis(ops.reshape(x, (-1, height, width, t, c)), 3, 1)

    def encode(self, frames: Any, training: bool) -> Any:
        """Frames (b, t, h, w, c) to latents (b, t, *latent_shape): the mean, if there is a posterior."""
        latents = self.encoder(ops.reshape(frames, (-1, *frames.shape[2:])), training=training)
        z = latents[0] if isinstance(latents, (list, tuple)) else latents
        return ops.reshape(z, (-1, frames.shape[1], *z.shape[1:]))

    def loss_of(self, results: Any, training: bool = True) -> Any:
        """Squared error of a frame, summed over it, mean over windows and time."""
        error = ops.square(results["frames"] - results["target"])
        return ops.mean(ops.sum(error, axis=(2, 3, 4)))


@own_settings()
def tune(
    encoder: Encoder, dynamics: Dynamics, parts: Sequence[str], source: Source, latents: Source, trainer: Trainer
) -> History:
    """Train parts of an encoder and its dynamics together. The standardisation of the latents is not changed.

    Args:
        encoder: a ``TunableEncoder``.
        dynamics: a ``TunableDynamics`` of its latents.
        parts: which of ``PARTS`` are trained.
        source: windows ``frames`` (b, t, h, w, c), and the conditions.
        latents: the same windows as latents, encoded whenever they are read.
        trainer: trainer of the run.

    Returns:
        The history of the training.

    Raises:
        UsageError: ``parts`` is empty or holds an unknown name, or a plugin cannot be tuned.
    """
    tunable_encoder, tunable_dynamics = check_tunable(encoder, dynamics, parts)
    network = TuningNetwork(tunable_encoder, tunable_dynamics)
    network({k: v[:1] for k, v in source.train.take(np.arange(1)).items()})
    networks: dict[str, keras.Model] = {
        "dynamics": network.dynamics,
        "decoder": network.decoder,
        "encoder": network.encoder,
    }
    try:
        for name, part in networks.items():
            part.trainable = name in parts
        history = trainer.fit(
            network, source, stage="tune", batch_size=BATCH, learning_rate=LEARNING_RATE, clip_norm=CLIP_NORM
        )
    finally:
        for part in networks.values():
            part.trainable = True
    tunable_dynamics.calibrate(latents)
    return history


def check_tunable(
    encoder: Encoder, dynamics: Dynamics, parts: Sequence[str]
) -> tuple[TunableEncoder, TunableDynamics]:
    """Refuse parts that cannot be tuned.

    Returns:
        The encoder and the dynamics, with the types that tuning needs.

    Raises:
        UsageError: ``parts`` is empty or holds an unknown name, or a plugin has no networks to tune.
    """
    if not parts or set(parts) - set(PARTS):
        raise UsageError(
            f"The parts to tune are {join_names(parts) or 'none'}; expected some of {join_names(PARTS)}."
        )
    why = "has no networks, and every part is tuned on frames that go through all of them."
    if not isinstance(encoder, TunableEncoder):
        raise UsageError(f"{encoder.name!r} {why} Choose an encoder with networks, such as conv-ae, vae or stack.")
    if not isinstance(dynamics, TunableDynamics):
        raise UsageError(f"{dynamics.name!r} {why} Choose dynamics with networks, such as lstm or conv-lstm.")
    return encoder, dynamics
