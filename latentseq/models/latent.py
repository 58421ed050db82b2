"""An encoder and a dynamics model together: a predictor of frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from latentseq import registry
from latentseq.arrays import Batch, Latents, Source, State, as_items
from latentseq.configurable import Plugin
from latentseq.protocols import Dynamics, Encoder, History, LatentView, Predictor, Trainer

_PARTS = (("encoder", "encoders"), ("dynamics", "dynamics"))


class LatentPredictor(Predictor):
    """Encodes the observed frames, predicts further latents with the dynamics, and decodes them."""

    name: ClassVar[str] = "latent"
    description: ClassVar[str] = "An encoder and a dynamics model together."

    def __init__(self, encoder: Encoder, dynamics: Dynamics, tune: Sequence[str] = ()):
        """Combine two plugins.

        Args:
            encoder: trained encoder.
            dynamics: dynamics for the encoder's latents.
            tune: parts that ``fit`` trains on the error of frames: "dynamics", "decoder" and "encoder", or some of
                them. If empty, ``fit`` trains the dynamics on latents.
        """
        self.encoder = encoder
        self.dynamics = dynamics
        self.tune = tuple(tune)
        self.input_shape = encoder.input_shape
        self.conditions = dynamics.conditions
        self.context = dynamics.context

    @property
    def parts(self) -> dict[str, Plugin]:
        """Encoder and dynamics."""
        return {"encoder": self.encoder, "dynamics": self.dynamics}

    @property
    def latent_view(self) -> LatentView:
        """See ``Predictor.latent_view``."""
        return LatentView(self.encoder, self.dynamics)

    def get_config(self) -> dict[str, Any]:
        """Names and configurations of both parts, and the parts to tune."""
        return {
            "tune": list(self.tune),
            "encoder": {"plugin": self.encoder.name, "config": self.encoder.get_config()},
            "dynamics": {"plugin": self.dynamics.name, "config": self.dynamics.get_config()},
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build both parts from their names in the registry."""
        cls.check_keywords(config)
        encoder, dynamics = (
            registry.load(group, config[k]["plugin"]).from_config(config[k]["config"]) for k, group in _PARTS
        )
        return cls(encoder, dynamics, config.get("tune", ()))

    def save_state(self, folder: Path) -> None:
        """Save each part in a folder of its own."""
        for name, part in self.parts.items():
            (folder / name).mkdir()
            part.save_state(folder / name)

    def load_state(self, folder: Path) -> None:
        """See ``Plugin.load_state``."""
        for name, part in self.parts.items():
            part.load_state(folder / name)

    def fit(self, source: Source, trainer: Trainer) -> History:
        """Tune the parts in ``tune``; if there are none, train the dynamics and leave the encoder unchanged.

        Raises:
            UsageError: a part to tune does not exist, or has no networks.
        """
        latents = source.map(self._encoded)
        if not self.tune:
            return self.dynamics.fit(latents, trainer)
        from latentseq.networks.tuning import tune  # Imports Keras, which not every plugin needs.

        return tune(self.encoder, self.dynamics, self.tune, source, latents, trainer)

    def check_tune(self) -> None:
        """Check that all parts in ``tune`` can be tuned.

        Raises:
            UsageError: a part to tune does not exist, or has no networks.
        """
        from latentseq.networks.tuning import check_tunable

        check_tunable(self.encoder, self.dynamics, self.tune)

    def observe(
        self,
        frames: np.ndarray,
        state: State | None = None,
        *,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.observe``."""
        frames = as_items(frames, self.input_shape, "frames", axes=2, frames=True)
        forecast, state = self.dynamics.observe(encode_windows(self.encoder, frames), state, conditions=conditions)
        return self._decode(forecast.mean), state

    def imagine(
        self,
        state: State,
        steps: int,
        *,
        seed: int,
        temperature: float = 1.0,
        conditions: Mapping[str, np.ndarray] | None = None,
    ) -> tuple[np.ndarray, State]:
        """See ``Predictor.imagine``."""
        z, state = self.dynamics.imagine(state, steps, seed=seed, temperature=temperature, conditions=conditions)
        return self._decode(z), state

    def reconstruct(self, frames: np.ndarray) -> np.ndarray:
        """See ``Predictor.reconstruct``."""
        return self._decode(
            encode_windows(self.encoder, as_items(frames, self.input_shape, "frames", axes=2, frames=True)).mean
        )

    def _encoded(self, batch: Batch) -> Batch:
        """Replace the ``frames`` of a batch with their latents."""
        rest = {name: rows for name, rows in batch.items() if name != "frames"}
        latents = encode_windows(self.encoder, batch["frames"])
        return rest | {name: rows for name, rows in latents._asdict().items() if rows is not None}

    def _decode(self, z: np.ndarray) -> np.ndarray:
        b, t = z.shape[:2]
        return self.encoder.decode(z.reshape(b * t, *z.shape[2:])).reshape(b, t, *self.input_shape)


def encode_windows(encoder: Encoder, frames: np.ndarray) -> Latents:
    """Encode frames (b, t, h, w, c) to latents (b, t, *latent_shape)."""
    b, t = frames.shape[:2]
    latents = encoder.encode(frames.reshape(b * t, *frames.shape[2:]))
    return Latents(*(None if a is None else a.reshape(b, t, *a.shape[1:]) for a in latents))  # type: ignore[arg-type]
