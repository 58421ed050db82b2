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
    from latentseq.commands.verify import verify
    from latentseq.configurable import Plugin, Presets
    from latentseq.data.open import open_data
    from latentseq.errors import DataError, LatentseqError, UsageError
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

__version__ = "0.1.0"

_COMMANDS = (
    "encode",
    "evaluate",
    "export",
    "ingest",
    "interpolate",
    "preview",
    "record",
    "sample",
    "surprise",
    "train",
    "train_ae",
    "train_lstm",
    "verify",
)
_NAMES = {
    "arrays": ("Batch", "Clip", "Latents", "Source", "State", "Windows", "as_items"),
    "configurable": ("Plugin", "Presets"),
    "data.open": ("open_data",),
    "errors": ("DataError", "LatentseqError", "UsageError"),
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
    **{f"commands.{name}": (name,) for name in _COMMANDS},
}
_HOME = {name: f"latentseq.{module}" for module, names in _NAMES.items() for name in names}

__all__ = [
    "Batch",
    "Clip",
    "DataError",
    "Dataset",
    "Decoder",
    "Dynamics",
    "Encoder",
    "Forecast",
    "History",
    "KerasDynamics",
    "KerasPlugin",
    "LatentView",
    "Latents",
    "LatentseqError",
    "LossNetwork",
    "Plugin",
    "Predictor",
    "Presets",
    "Source",
    "State",
    "Trainer",
    "TunableDynamics",
    "TunableEncoder",
    "UsageError",
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
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'latentseq' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
