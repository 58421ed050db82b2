"""latentseq: encode video to latents, learn how they move, roll them forward.

Importing the package costs nothing: a public name is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseq.arrays import Batch, Clip, Latents, Source, State, Windows
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
    from latentseq.configurable import Plugin
    from latentseq.data.open import open_data
    from latentseq.data.windows import WindowOptions
    from latentseq.ingestion.recipe import IngestOptions
    from latentseq.media.preprocessing import Preprocessing
    from latentseq.models.run import load_predictor
    from latentseq.protocols import Dataset, Decoder, Dynamics, Encoder, Forecast, History, Predictor
    from latentseq.training.budget import Budget

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(("Batch", "Clip", "Latents", "State"), "latentseq.arrays"),
    **dict.fromkeys(
        (
            "Dataset",
            "Decoder",
            "Dynamics",
            "Encoder",
            "Forecast",
            "History",
            "Plugin",
            "Predictor",
            "Source",
            "Windows",
        ),
        "latentseq.protocols",
    ),
    "Budget": "latentseq.training.budget",
    "IngestOptions": "latentseq.ingestion.recipe",
    "Preprocessing": "latentseq.media.preprocessing",
    "WindowOptions": "latentseq.data.windows",
    "open_data": "latentseq.data.open",
    "load_predictor": "latentseq.models.run",
    "KerasDynamics": "latentseq.networks.dynamics",
    "KerasPlugin": "latentseq.networks.plugin",
    "TunableEncoder": "latentseq.networks.tunable",
    "TunableDynamics": "latentseq.networks.tunable",
    "LossNetwork": "latentseq.networks.plugin",
    "encode": "latentseq.commands.encode",
    "evaluate": "latentseq.commands.evaluate",
    "export": "latentseq.commands.export",
    "ingest": "latentseq.commands.ingest",
    "interpolate": "latentseq.commands.interpolate",
    "preview": "latentseq.commands.preview",
    "record": "latentseq.commands.record",
    "sample": "latentseq.commands.sample",
    "surprise": "latentseq.commands.surprise",
    "train": "latentseq.commands.train",
    "train_ae": "latentseq.commands.train_ae",
    "train_lstm": "latentseq.commands.train_lstm",
    "tune": "latentseq.commands.tune",
    "verify": "latentseq.commands.verify",
}

__all__ = [
    "Batch",
    "Budget",
    "Clip",
    "Dataset",
    "Decoder",
    "Dynamics",
    "Encoder",
    "Forecast",
    "History",
    "IngestOptions",
    "Latents",
    "Plugin",
    "Predictor",
    "Preprocessing",
    "Source",
    "State",
    "WindowOptions",
    "Windows",
    "encode",
    "evaluate",
    "export",
    "ingest",
    "interpolate",
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
