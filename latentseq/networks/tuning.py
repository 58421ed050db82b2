"""Encoder, dynamics and decoder as one network, trained on the error of the frames that it imagines."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from latentseq.arrays import Batch
from latentseq.errors import UsageError, listed
from latentseq.networks.plugin import KerasDynamics, KerasPlugin, own_settings
from latentseq.protocols import Dynamics, Encoder, History, Source, Trainer

PARTS = ("dynamics", "decoder", "encoder")
"""What can be tuned."""
RECONSTRUCTED = 2
"""Known frames of a window that are reconstructed as well."""
BATCH = 8
LEARNING_RATE = 2e-3
CLIP_NORM = 1.0


class TuningNetwork(keras.Model):
    """Frames to latents, forecasts of the next latents, and back to frames; its loss is the error of those."""

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        dynamics: keras.Model,
        augmentation: Sequence[keras.layers.Layer] = (),
    ):
        """Put networks together; the weights are theirs.

        Args:
            encoder: frames (n, h, w, c) to latents, or to their mean and log variance.
            decoder: latents to frames.
            dynamics: as ``KerasDynamics`` says.
            augmentation: layers that change frames at random in training, all of a window alike. Where there are
                conditions they are left out: an action to the left is none to the right.
        """
        super().__init__(name="tuning")
        self.encoder, self.decoder, self.dynamics = encoder, decoder, dynamics
        self.augmentation = list(augmentation)

    def build(self, *_: Any) -> None:
        """Its parts are built already."""

    def call(self, batch: Batch, training: bool = False) -> dict[str, Any]:
        """Windows ``frames`` (b, t, h, w, c) and conditions -> frames made, and what they should be.

        They are the frames that it forecasts in a closed loop, or all that it forecasts where it has none; and
        ``RECONSTRUCTED`` of the true ones, so that the encoder goes on to be one.
        """
        frames, rest = batch["frames"], {k: v for k, v in batch.items() if k != "frames"}
        if training and self.augmentation and not rest:
            frames = self.augment(frames)
        t = frames.shape[1]
        known = self.dynamics.known(t)
        z = self.encode(frames[:, :known], training)
        # The items after the known ones are targets of the dynamics' own loss, which is not asked for.
        later = ops.zeros((ops.shape(z)[0], t - known, *z.shape[2:]))
        first = known - 1 if known < t else 0
        given = {"mean": ops.concatenate([z, later], axis=1), **rest}
        forecast = self.dynamics(given, training=training, skip=first)["z"]
        shown = ops.concatenate([forecast, z[:, -RECONSTRUCTED:]], axis=1)
        target = ops.concatenate([frames[:, first + 1 :], frames[:, max(0, known - RECONSTRUCTED) : known]], axis=1)
        pictures = self.decoder(ops.reshape(shown, (-1, *shown.shape[2:])), training=training)
        return {"frames": ops.reshape(pictures, (-1, *target.shape[1:])), "target": target}

    def augment(self, frames: Any) -> Any:
        """Windows (b, t, h, w, c), each changed in a way of its own: its frames are channels meanwhile."""
        t, height, width, c = frames.shape[1:]
        x = ops.reshape(ops.moveaxis(frames, 1, 3), (-1, height, width, t * c))
        for layer in self.augmentation:
            x = layer(x, training=True)
        return ops.moveaxis(ops.reshape(x, (-1, height, width, t, c)), 3, 1)

    def encode(self, frames: Any, training: bool) -> Any:
        """Frames (b, t, h, w, c) to latents (b, t, *latent_shape), the mean where there is a posterior."""
        made = self.encoder(ops.reshape(frames, (-1, *frames.shape[2:])), training=training)
        z = made[0] if isinstance(made, (list, tuple)) else made
        return ops.reshape(z, (-1, frames.shape[1], *z.shape[1:]))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Squared error of a frame, summed over it, mean over windows and time."""
        error = ops.square(y_pred["frames"] - y_pred["target"])
        return ops.mean(ops.sum(error, axis=(2, 3, 4)))


@own_settings()
def tune(
    encoder: Encoder, dynamics: Dynamics, parts: Sequence[str], source: Source, latents: Source, trainer: Trainer
) -> History:
    """Train parts of an encoder and its dynamics together; the standardisation of the latents stays as it is.

    Args:
        encoder: an encoder with networks.
        dynamics: of its latents, with a network.
        parts: which of ``PARTS`` are trained.
        source: windows ``frames`` (b, t, h, w, c), and the conditions.
        latents: the same windows as the encoder sees them when they are taken.
        trainer: of the run.

    Raises:
        UsageError: no such part, or one without networks.
    """
    frames, latent = tunable(encoder, dynamics, parts)
    made = frames.networks
    network = TuningNetwork(made["encoder"], made["decoder"], latent.network, frames.augmentation)
    network({k: v[:1] for k, v in source.train.take(np.arange(1)).items()})
    networks = {name: getattr(network, name) for name in PARTS}
    try:
        for name, part in networks.items():
            part.trainable = name in parts
        history = trainer.fit(
            network, source, stage="tune", batch_size=BATCH, learning_rate=LEARNING_RATE, clip_norm=CLIP_NORM
        )
    finally:
        for part in networks.values():
            part.trainable = True
    latent.calibrate(latents)
    return history


def tunable(encoder: Encoder, dynamics: Dynamics, parts: Sequence[str]) -> tuple[KerasPlugin, KerasDynamics]:
    """Refuse parts that cannot be tuned.

    Returns:
        Encoder and dynamics, as what they are.

    Raises:
        UsageError: no such part, none, or one without networks.
    """
    if not parts or set(parts) - set(PARTS):
        raise UsageError(f"The parts to tune are {listed(parts) or 'none'}; expected some of {listed(PARTS)}.")
    why = "has no networks, and every part is tuned on frames that go through all of them."
    if not isinstance(encoder, KerasPlugin):
        raise UsageError(f"{encoder.name!r} {why} Choose an encoder that has, such as conv-ae, vae or stack.")
    if not isinstance(dynamics, KerasDynamics):
        raise UsageError(f"{dynamics.name!r} {why} Choose dynamics that have, such as lstm or conv-lstm.")
    return encoder, dynamics
