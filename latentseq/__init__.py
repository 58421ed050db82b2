"""latentseq: encode video to latents, learn how they move, roll them forward.

Importing the package is cheap: the module of a public name is imported when the name is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseq.arrays import Batch, Clip, Latents, Source, State, Windows, as_items
    from latentseq.commands.encode import encode
    from latentseq.commands.evaluate import evaluate
    from latentseq.commands.export import export
    from latentseq.commands.ingest import ingest
    from latentseq.commands.interpolate import interpolate
    from latentseq.commands.preview import preview
    from latentseq.commands.record import record
    from latentseq.commands.sample import sample
    from latentseq.commands.surprise import surprise
    from latentseq.commands.train import train
    from latentseq.commands.train_ae import train_ae
    from latentseq.commands.train_lstm import train_lstm
    from latentseq.commands.tune import tune
    from latentseq.commands.verify import verify
    from latentseq.configurable import Plugin, Presets
    from latentseq.data.open import open_data
    from latentseq.data.windows import WindowOptions
    from latentseq.errors import DataError, LatentseqError, UsageError
    from latentseq.ingestion.recipe import IngestOptions
    from latentseq.media.preprocessing import Preprocessing
    from latentseq.models.run import load_encoder, load_predictor
    from latentseq.networks.dynamics import KerasDynamics
    from latentseq.networks.plugin import KerasPlugin, LossNetwork, in_chunks
    from latentseq.networks.tunable import TunableDynamics, TunableEncoder
    from latentseq.protocols import (
        Dataset,
        Decoder,
        Dynamics,
        Encoder,
        Forecast,
        History,
        LatentView,
        Predictor,
        Trainer,
    )
    from latentseq.training.budget import Budget

__version__ = "0.1.0"

_NAMES = {
    "arrays": ("Batch", "Clip", "Latents", "Source", "State", "Windows", "as_items"),
    "commands.encode": ("encode",),
    "commands.evaluate": ("evaluate",),
    "commands.export": ("export",),
    "commands.ingest": ("ingest",),
    "commands.interpolate": ("interpolate",),
    "commands.preview": ("preview",),
    "commands.record": ("record",),
    "commands.sample": ("sample",),
    "commands.surprise": ("surprise",),
    "commands.train": ("train",),
    "commands.train_ae": ("train_ae",),
    "commands.train_lstm": ("train_lstm",),
    "commands.tune": ("tune",),
    "commands.verify": ("verify",),
    "configurable": ("Plugin", "Presets"),
    "data.open": ("open_data",),
    "data.windows": ("WindowOptions",),
    "errors": ("DataError", "LatentseqError", "UsageError"),
    "ingestion.recipe": ("IngestOptions",),
    "media.preprocessing": ("Preprocessing",),
    "models.run": ("load_encoder", "load_predictor"),
    "networks.dynamics": ("KerasDynamics",),
    "networks.plugin": ("KerasPlugin", "LossNetwork", "in_chunks"),
    "networks.tunable": ("TunableDynamics", "TunableEncoder"),
    "protocols": (
        "Dataset",
        "Decoder",
        "Dynamics",
        "Encoder",
        "Forecast",
        "History",
        "LatentView",
        "Predictor",
        "Trainer",
    ),
    "training.budget": ("Budget",),
}
_HOME = {name: f"latentseq.{module}" for module, names in _NAMES.items() for name in names}

__all__ = [
    "Batch",
    "Budget",
    "Clip",
    "DataError",
    "Dataset",
    "Decoder",
    "Dynamics",
    "Encoder",
    "Forecast",
    "History",
    "IngestOptions",
    "KerasDynamics",
    "KerasPlugin",
    "LatentView",
    "Latents",
    "LatentseqError",
    "LossNetwork",
    "Plugin",
    "Predictor",
    "Preprocessing",
    "Presets",
    "Source",
    "State",
    "Trainer",
    "TunableDynamics",
    "TunableEncoder",
    "UsageError",
    "WindowOptions",
    "Windows",
    "as_items",
    "encode",
    "evaluate",
    "export",
    "in_chunks",
    "ingest",
    "interpolate",
    "load_encoder",
    "load_predictor",
    "open_data",
    "preview",
    "record",
    "sample",
    "surprise",
    "train",
    "train_ae",
    "train_lstm",
    "tune",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'latentseq' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
