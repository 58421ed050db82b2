"""An encoder of three parts: frames to features, features to latents, and features back to frames."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np

from latentseq import registry
from latentseq.arrays import Latents, Source, as_items
from latentseq.configurable import PART_OPTIONS, Plugin, Presets
from latentseq.data.windows import validation_batches
from latentseq.errors import DataError, UsageError, listed
from latentseq.evaluation.latents import findings
from latentseq.networks.plugin import KerasPlugin
from latentseq.networks.tunable import TunableEncoder
from latentseq.protocols import Decoder, Encoder, History, Trainer
from latentseq.storage.artifact import ARTIFACT, read_artifact

GROUPS = {"features": "encoders", "latents": "encoders", "decoder": "decoders"}
"""The parts, in the order in which they are trained, and where each is registered."""
SHARES = {"features": 0.4, "latents": 0.3, "decoder": 0.3}
"""Of the budget, where all three are trained."""


class Stack(TunableEncoder):
    """Frames to features to latents, and back by way of features that a decoder makes frames of.

    Each part is a plugin and a stage of its own: the features are trained on frames, the latents on features, and
    the decoder on the features that come back from the latents, which is what it will be given. What the feature
    encoder has to go back to frames by itself is not used.

    A part may be the folder of a trained run. It is copied into the stack and not trained: ``frozen`` names it, and
    the stack's own files are all that is needed afterwards.
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
            input_shape: (h, w, c) of a frame.
            features: an encoder of frames, by its registered name or the run folder it was trained in (``./name``
                where a folder is called like a plugin). One that can have maps has them, unless its options say
                otherwise.
            latents: an encoder of the features, in the same way.
            decoder: a decoder of the features, in the same way.
            features_options: keywords of that part; ``--set features.widths=[16,32]`` on the command line.
            latents_options: keywords of that part.
            decoder_options: keywords of that part.
            frozen: parts that are not trained, as they come with the stack's own state; a part from a run folder is
                added to them.
            seed: of each part that takes one.
            preset: of each part; its options are beneath those that a part is given.

        Raises:
            UsageError: an unknown part, an option that it does not take, or parts that do not fit each other.
            DataError: a run folder that holds something else or is damaged.
        """
        unknown = [part for part in frozen if part not in GROUPS]
        if unknown:
            raise UsageError(f"stack: frozen names {listed(unknown)}; its parts are {listed(GROUPS)}.")
        self.input_shape, self.seed, self.preset = tuple(input_shape), seed, preset
        self.frozen = [part for part in GROUPS if part in frozen]
        self._trained: set[str] = set()
        h_w_c = list(self.input_shape)
        first = self._part("features", features, features_options, input_shape=h_w_c, latent="map")
        between = list(first.latent_shape)
        second = self._part("latents", latents, latents_options, input_shape=between)
        last = self._part("decoder", decoder, decoder_options, latent_shape=between, output_shape=h_w_c)
        self._first: Encoder = first
        self._second: Encoder = second
        self._last: Decoder = last
        self.features, self.latents, self.decoder = first.name, second.name, last.name
        self.features_options, self.latents_options = first.get_config(), second.get_config()
        self.decoder_options = last.get_config()
        self.preset = None  # Which the options hold now.
        self._composed: dict[str, keras.Model] = {}

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Configurable.complete``; with the options of the parts, but of those that are trained runs."""
        found = super().complete(options)
        for part, group in GROUPS.items():
            if _is_plugin(group, found[part]):
                given, left = found[part + PART_OPTIONS], ("seed", "latent")
                found[part + PART_OPTIONS] = registry.resolve(
                    group, found[part], given, preset=found["preset"], left=left
                )
        return found

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """That of the latents."""
        return self._second.latent_shape

    @property
    def parts(self) -> dict[str, Plugin]:
        """The three plugins by name."""
        return {"features": self._first, "latents": self._second, "decoder": self._last}

    def count_parameters(self) -> int | None:
        """Those of the parts, of which some may have no networks."""
        return Plugin.count_parameters(self)

    @property
    def networks(self) -> dict[str, keras.Model]:
        """Encoder, frames to latents, and decoder, latents to frames: the parts' networks, one after the other.

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
        """Those of its features, which are what sees frames."""
        features = self.parts["features"]
        return features.augmentation if isinstance(features, TunableEncoder) else ()

    def fit(self, source: Source, trainer: Trainer) -> History:
        """Train each part that is not frozen, in turn, under its own name and a share of the budget.

        Raises:
            UsageError: a part is frozen and has nothing learned.
        """
        for part in self.frozen:
            if part not in self._trained:
                raise UsageError(
                    f"stack: {part} is frozen and has learned nothing. Give the folder of a trained run, as in --set "
                    f"{part}=runs/{part}, or leave it out of frozen."
                )
        whole = sum(SHARES[part] for part in GROUPS if part not in self.frozen)
        features = source.map(lambda batch: {"x": self._first.encode(batch["x"]).mean})
        sources = {
            "features": source,
            "latents": features,
            "decoder": source.map(lambda batch: {"z": self._rebuilt(batch["x"]), "x": batch["x"]}),
        }
        rows: list[dict[str, Any]] = []
        best: dict[str, Any] = {}
        for part, plugin in self.parts.items():
            if part in self.frozen:
                continue
            history = plugin.fit(sources[part], trainer.part(part, SHARES[part] / whole))  # type: ignore[attr-defined]
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
        """Each part in a folder of its own."""
        for name, part in self.parts.items():
            (folder / name).mkdir()
            part.save_state(folder / name)

    def load_state(self, folder: Path) -> None:
        """See ``Plugin.load_state``."""
        for name, part in self.parts.items():
            part.load_state(folder / name)
            self._trained.add(name)

    def _rebuilt(self, x: np.ndarray) -> np.ndarray:
        """The features that come back from the latents of frames."""
        return self._second.decode(self.encode(x).mean)

    def _networks(self, part: str) -> dict[str, keras.Model]:
        plugin = self.parts[part]
        if not isinstance(plugin, KerasPlugin):
            raise UsageError(
                f"stack: {part} is {plugin.name!r}, which has no networks. Choose a part that has, such as conv-ae, "
                "feature-vae or deconv."
            )
        return plugin.networks

    def _part(self, part: str, given: str, options: Mapping[str, Any] | None, latent: str = "", **shapes: Any) -> Any:
        """A part by its name or its run folder, checked against what is before it."""
        group = GROUPS[part]
        if not _is_plugin(group, given) and (Path(given) / ARTIFACT).is_file():
            plugin = self._load(part, given, options)
        else:
            more = {"latent": latent} if latent else {}
            plugin = registry.build(group, given, options, preset=self.preset, seed=self.seed, **more, **shapes)
        for key, wanted in shapes.items():
            found = list(plugin.get_config()[key])
            if found != wanted:
                raise UsageError(
                    f"stack: {part} ({given}) has {key} {found}; {_before(key)} {wanted}. Give a part that was made "
                    "for that, or leave the option out."
                )
        return plugin

    def _load(self, part: str, given: str, options: Mapping[str, Any] | None) -> Any:
        if options:
            raise UsageError(
                f"stack: {part} comes from {given}, trained, and takes no options; it was given {listed(options)}. "
                "Leave them out, or give a plugin's name."
            )
        try:
            artifact = read_artifact(Path(given), GROUPS[part])
        except DataError as error:
            raise DataError(f"stack: {part}: {error}") from error
        plugin = artifact.load()
        self._trained.add(part)
        self.frozen = [name for name in GROUPS if name in (*self.frozen, part)]
        return plugin


class Chain(keras.Model):
    """Two networks, the second on what the first makes; of a posterior, on its mean."""

    def __init__(self, name: str, first: keras.Model, second: keras.Model):
        """Put them together; the weights are theirs."""
        super().__init__(name=name)
        self.first, self.second = first, second

    def build(self, *_: Any) -> None:
        """Its parts are built already."""

    def call(self, x: Any, training: bool = False) -> Any:
        """What the second makes of it."""
        between = self.first(x, training=training)
        return self.second(between[0] if isinstance(between, (list, tuple)) else between, training=training)


def _is_plugin(group: str, name: str) -> bool:
    """Whether a part is named by a plugin's name, which comes before a folder's."""
    return name in {row.name for row in registry.installed(group)}


def _before(key: str) -> str:
    """What says how a part's shape has to be."""
    return "the frames have" if key in ("output_shape",) else "what comes before it has"
