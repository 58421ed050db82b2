"""Encoder, dynamics and decoder as one network, trained on the error of the frames that it imagines."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Batch, Source
from latentseq.errors import UsageError, listed
from latentseq.networks.plugin import LossNetwork, own_settings
from latentseq.networks.tunable import TunableDynamics, TunableEncoder
from latentseq.protocols import Dynamics, Encoder, History, Trainer

PARTS = ("dynamics", "decoder", "encoder")
"""What can be tuned."""
RECONSTRUCTED = 2
"""Number of true frames of a window that are reconstructed as well."""
BATCH = 8
LEARNING_RATE = 2e-3
CLIP_NORM = 1.0


class TuningNetwork(LossNetwork):
    """Frames to latents, forecasts of the next latents, and back to frames. Its loss is the error of those frames."""

    def __init__(self, encoder: TunableEncoder, dynamics: TunableDynamics):
        """Put the networks of two plugins together. The weights stay theirs."""
        super().__init__(name="tuning")
        self.encoder, self.decoder = (encoder.networks[name] for name in ("encoder", "decoder"))
        self.dynamics, self.forecasts, self.burn_in = dynamics.network, dynamics.forecasts, dynamics.burn_in
        # Conditions rule augmentation out: an action to the left is no action to the right.
        self.augmentation = [] if dynamics.conditions else list(encoder.augmentation)

    def build(self, *_: Any) -> None:
        """Its parts are built already."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Windows ``frames`` (b, t, h, w, c) and conditions -> predicted ``frames`` and their ``target``.

        Predicted are the frames of the closed loop, or all frames after the first where there is no closed loop.
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
        """Windows (b, t, h, w, c), each changed in its own way: all its frames alike, as if they were channels."""
        t, height, width, c = frames.shape[1:]
        x = ops.reshape(ops.moveaxis(frames, 1, 3), (-1, height, width, t * c))
        for layer in self.augmentation:
            x = layer(x, training=True)
        return ops.moveaxis(ops.reshape(x, (-1, height, width, t, c)), 3, 1)

    def encode(self, frames: Any, training: bool) -> Any:
        """Frames (b, t, h, w, c) to latents (b, t, *latent_shape), the mean where there is a posterior."""
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
    """Train parts of an encoder and its dynamics together. The standardisation of the latents stays as it is.

    Args:
        encoder: a ``TunableEncoder``.
        dynamics: a ``TunableDynamics`` of its latents.
        parts: which of ``PARTS`` are trained.
        source: windows ``frames`` (b, t, h, w, c), and the conditions.
        latents: the same windows as the encoder sees them at the time when they are taken.
        trainer: trainer of the run.

    Raises:
        UsageError: there is no such part, or it cannot be tuned.
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
        Encoder and dynamics, as what they are.

    Raises:
        UsageError: no such part, none, or one without networks.
    """
    if not parts or set(parts) - set(PARTS):
        raise UsageError(f"The parts to tune are {listed(parts) or 'none'}; expected some of {listed(PARTS)}.")
    why = "has no networks, and every part is tuned on frames that go through all of them."
    if not isinstance(encoder, TunableEncoder):
        raise UsageError(f"{encoder.name!r} {why} Choose an encoder that has, such as conv-ae, vae or stack.")
    if not isinstance(dynamics, TunableDynamics):
        raise UsageError(f"{dynamics.name!r} {why} Choose dynamics that have, such as lstm or conv-lstm.")
    return encoder, dynamics
