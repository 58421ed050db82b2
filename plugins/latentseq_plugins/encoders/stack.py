"""An encoder of three parts: an encoder to features, an encoder to latents, and a decoder to frames."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from latentseq import registry
from latentseq.arrays import Latents, Source, as_items
from latentseq.configurable import PART_OPTIONS, Plugin, Presets
from latentseq.data.windows import validation_batches
from latentseq.errors import DataError, UsageError, join_names
from latentseq.evaluation.latents import findings
from latentseq.networks.plugin import KerasPlugin
from latentseq.networks.tunable import TunableEncoder
from latentseq.protocols import Decoder, Encoder, History, Trainer
from latentseq.storage.artifact import ARTIFACT, read_artifact

GROUPS = {"features": "encoders", "latents": "encoders", "decoder": "decoders"}
"""The parts in the order of training, with their registry groups."""
SHARES = {"features": 0.4, "latents": 0.3, "decoder": 0.3}
"""Shares of the budget when all three parts are trained."""


class Stack(TunableEncoder):
    """Encodes frames to features and features to latents; decodes latents to features and features to frames.

    Each part is a plugin and is trained in a stage of its own: the feature encoder on frames, the latent encoder on
    features, and the decoder on features that were decoded from latents, since these are its input later. The
    decoder of the feature encoder is not used.

    A part may be the folder of a trained run. The run is copied into the stack and is not trained: its name is added
    to ``frozen``. The folder of the stack is complete without the run.
    """

    name = "stack"
    description = "Three plugins in a row: features of frames, latents of features, and a decoder to frames."
    presets: ClassVar[Presets] = {"tiny": {"preset": "tiny"}, "cpu": {"preset": "cpu"}, "gpu": {"preset": "gpu"}}

    def __init__(
        self,
        input_shape: list[int],
        features: str = "conv-ae",
        latents: str = "feature-vae",
        decoder: str = "deconv",
        features_options: dict[str, Any] | None = None,
        latents_options: dict[str, Any] | None = None,
        decoder_options: dict[str, Any] | None = None,
        frozen: list[str] = (),  # type: ignore[assignment]
        seed: int = 0,
        preset: str | None = None,
    ):
        """Build the parts.

        Args:
            input_shape: frame shape (h, w, c).
            features: name or run folder of an encoder of frames (``./name`` for a folder with the name of a plugin).
                An encoder with the option ``latent`` makes a map, unless its options say otherwise.
            latents: name or run folder of an encoder of features.
            decoder: name or run folder of a decoder of features.
            features_options: options of the feature encoder; ``--set features.widths=[16,32]`` on the command line.
            latents_options: options of the latent encoder.
            decoder_options: options of the decoder.
            frozen: names of the parts that are not trained; a part from a run folder is added.
            seed: random seed of each part that takes one.
            preset: preset of each part; options of a part override it.

        Raises:
            UsageError: a part or an option is unknown, or the shapes of two parts do not match.
            DataError: a run folder has no matching plugin or is damaged.
        """
        unknown = [part for part in frozen if part not in GROUPS]
        if unknown:
            raise UsageError(f"stack: frozen names {join_names(unknown)}; its parts are {join_names(GROUPS)}.")
        self.input_shape = tuple(input_shape)
        self.seed = seed
        self.preset = preset
        self.frozen = [part for part in GROUPS if part in frozen]
        self._trained: set[str] = set()
        frame_shape = list(self.input_shape)
        first = self._part("features", features, features_options, input_shape=frame_shape, latent="map")
        feature_shape = list(first.latent_shape)
        second = self._part("latents", latents, latents_options, input_shape=feature_shape)
        last = self._part("decoder", decoder, decoder_options, latent_shape=feature_shape, output_shape=frame_shape)
        self._first: Encoder = first
        self._second: Encoder = second
        self._last: Decoder = last
        self.features = first.name
        self.latents = second.name
        self.decoder = last.name
        self.features_options = first.get_config()
        self.latents_options = second.get_config()
        self.decoder_options = last.get_config()
        self.preset = None  # Its values are now part of the options.
        self._composed: dict[str, keras.Model] = {}

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Configurable.complete``; it also completes the options of the parts that are not trained runs."""
        result = super().complete(options)
        for part, group in GROUPS.items():
            if _is_plugin(group, result[part]):
                part_options, left = result[part + PART_OPTIONS], ("seed", "latent")
                result[part + PART_OPTIONS] = registry.resolve(
                    group, result[part], part_options, preset=result["preset"], left=left
                )
        return result

    @classmethod
    def saved_keywords(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Configurable.saved_keywords``; it also completes the options of the parts."""
        result = super().saved_keywords(config)
        for part, group in GROUPS.items():
            key = part + PART_OPTIONS
            if key in result and _is_plugin(group, result[part]):
                result[key] = registry.load(group, result[part]).saved_keywords(result[key])
        return result

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The latent shape of the latent encoder."""
        return self._second.latent_shape

    @property
    def parts(self) -> dict[str, Plugin]:
        """The three plugins by name."""
        return {"features": self._first, "latents": self._second, "decoder": self._last}

    def count_parameters(self) -> int | None:
        """Sum over the parts, some of which may have no networks."""
        return Plugin.count_parameters(self)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """The encoder from frames to latents and the decoder from latents to frames, chained from the parts.

        Raises:
            UsageError: a part has no networks.
        """
        if not self._composed:
            features, latents, decoder = (self._networks(name) for name in GROUPS)
            self._composed = {
                "encoder": Chain("encoder", features["encoder"], latents["encoder"]),
                "decoder": Chain("decoder", latents["decoder"], decoder["decoder"]),
            }
        return self._composed

    @property
    def augmentation(self) -> Sequence[keras.layers.Layer]:
        """The augmentation of the feature encoder, whose input is frames."""
        features = self.parts["features"]
        return features.augmentation if isinstance(features, TunableEncoder) else ()

    @property
    def channel_gain(self) -> np.ndarray | None:
        """See ``Encoder.channel_gain``: the gain of the latent encoder, if that of the feature encoder is known."""
        if self._first.channel_gain is None or "latents" in self.frozen:
            return None
        return self._second.channel_gain

    def fit(self, source: Source, trainer: Trainer) -> History:
        """Train each part that is not frozen in turn, each with a share of the budget.

        Raises:
            UsageError: a frozen part is not trained.
        """
        for part in self.frozen:
            if part not in self._trained:
                raise UsageError(
                    f"stack: {part} is frozen, but not trained. Use the folder of a trained run, as in --set "
                    f"{part}=runs/{part}, or remove it from frozen."
                )
        whole = sum(SHARES[part] for part in GROUPS if part not in self.frozen)
        features = source.map(lambda batch: {"x": self._first.encode(batch["x"]).mean})
        sources = {
            "features": source,
            "latents": features,
            "decoder": source.map(lambda batch: {"z": self._decoded_features(batch["x"]), "x": batch["x"]}),
        }
        rows: list[dict[str, Any]] = []
        best: dict[str, Any] = {}
        for part, plugin in self.parts.items():
            if part in self.frozen:
                continue
            data = sources[part]
            if part == "latents":
                data = replace(data, gain=self._first.channel_gain)
            history = plugin.fit(data, trainer.part(part, SHARES[part] / whole))  # type: ignore[attr-defined]
            rows, best = rows + history.rows, history.best
            self._trained.add(part)
            if part == "features":
                for line in findings(self._first, (b["x"] for b in validation_batches(source.validation, 64))):
                    trainer.say(f"{part} · {line}")
        return History(rows, best)

    def encode(self, x: np.ndarray) -> Latents:
        """See ``Encoder.encode``."""
        return self._second.encode(self._first.encode(as_items(x, self.input_shape, "frames", frames=True)).mean)

    def decode(self, z: np.ndarray) -> np.ndarray:
        """See ``Encoder.decode``."""
        return np.clip(self._last.decode(self._second.decode(as_items(z, self.latent_shape, "z"))), 0, 1)

    def save_state(self, folder: Path) -> None:
        """Save each part in a folder of its own."""
        for name, part in self.parts.items():
            (folder / name).mkdir()
            part.save_state(folder / name)

    def load_state(self, folder: Path) -> None:
        """See ``Plugin.load_state``."""
        for name, part in self.parts.items():
            part.load_state(folder / name)
            self._trained.add(name)

    def _decoded_features(self, x: np.ndarray) -> np.ndarray:
        """Encode frames to latents, and decode these to features."""
        return self._second.decode(self.encode(x).mean)

    def _networks(self, part: str) -> dict[str, keras.Model]:
        plugin = self.parts[part]
        if not isinstance(plugin, KerasPlugin):
            raise UsageError(
                f"stack: {part} is {plugin.name!r}, which has no Keras networks. Use a part with networks, such as "
                "conv-ae, feature-vae or deconv."
            )
        return plugin.networks

    def _part(self, part: str, name: str, options: Mapping[str, Any] | None, latent: str = "", **shapes: Any) -> Any:
        """Build or load a part from its name or run folder, and check its shapes."""
        group = GROUPS[part]
        if not _is_plugin(group, name) and (Path(name) / ARTIFACT).is_file():
            plugin = self._load(part, name, options)
        else:
            more = {"latent": latent} if latent else {}
            plugin = registry.build(group, name, options, preset=self.preset, seed=self.seed, **more, **shapes)
        for key, expected in shapes.items():
            shape = list(plugin.get_config()[key])
            if shape != expected:
                what = "frames" if part == "features" or key == "output_shape" else "features"
                raise UsageError(
                    f"stack: {part} ({name}) has {key} {shape}; expected {expected}, the shape of the {what}. Use a "
                    "part with that shape, or leave out the option."
                )
        return plugin

    def _load(self, part: str, folder: str, options: Mapping[str, Any] | None) -> Any:
        if options:
            raise UsageError(
                f"stack: {part} is the trained run {folder}, which takes no options, but received "
                f"{join_names(options)}. Leave out the options, or use the name of a plugin."
            )
        try:
            artifact = read_artifact(Path(folder), GROUPS[part])
        except DataError as error:
            raise DataError(f"stack: {part}: {error}") from error
        plugin = artifact.load()
        self._trained.add(part)
        self.frozen = [name for name in GROUPS if name in (*self.frozen, part)]
        return plugin


class Chain(keras.Model):
    """Two networks in a row; if the first one outputs a posterior, the second one takes its mean."""

    def __init__(self, name: str, first: keras.Model, second: keras.Model):
        """Chain two networks, with shared weights."""
        super().__init__(name=name)
        self.first = first
        self.second = second

    def build(self, *_: Any) -> None:
        """Do nothing: the parts are already built."""

    def call(self, x: Any, training: bool = False) -> Any:
        """Apply the first network and then the second."""
        y = self.first(x, training=training)
        return self.second(y[0] if isinstance(y, (list, tuple)) else y, training=training)


def _is_plugin(group: str, name: str) -> bool:
    """Whether the name is that of a plugin; plugins take precedence over folders."""
    return name in {row.name for row in registry.installed(group)}
