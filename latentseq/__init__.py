"""latentseq: encode video to latents, learn how they move, roll them forward.

Importing the package costs nothing: a public name is imported when it is first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latentseq.arrays import Batch, Clip, Latents, State
    from latentseq.data import open_data
    from latentseq.evaluating import evaluate
    from latentseq.exporting import export, preview
    from latentseq.ingestion.run import ingest
    from latentseq.interpolation import interpolate
    from latentseq.models import load_predictor
    from latentseq.prediction import train
    from latentseq.protocols import (
        Dataset,
        Decoder,
        Dynamics,
        Encoder,
        Forecast,
        History,
        Plugin,
        Predictor,
        Source,
        Windows,
    )
    from latentseq.recording import record
    from latentseq.sampling import sample
    from latentseq.surprisal import surprise
    from latentseq.verification import verify
    from latentseq.workflow import encode, train_ae, train_lstm

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
    "open_data": "latentseq.data",
    "evaluate": "latentseq.evaluating",
    "export": "latentseq.exporting",
    "ingest": "latentseq.ingestion.run",
    "interpolate": "latentseq.interpolation",
    "preview": "latentseq.exporting",
    "record": "latentseq.recording",
    "sample": "latentseq.sampling",
    "train": "latentseq.prediction",
    "surprise": "latentseq.surprisal",
    "verify": "latentseq.verification",
    **dict.fromkeys(("encode", "train_ae", "train_lstm"), "latentseq.workflow"),
    "load_predictor": "latentseq.models",
}

__all__ = [
    "Batch",
    "Clip",
    "Dataset",
    "Decoder",
    "Dynamics",
    "Encoder",
    "Forecast",
    "History",
    "Latents",
    "Plugin",
    "Predictor",
    "Source",
    "State",
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
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'latentseq' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
