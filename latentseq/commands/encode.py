"""Encode every clip of a dataset."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq.commands.runs import check_out
from latentseq.models.run import data_for
from latentseq.protocols import Encoder
from latentseq.storage.artifact import read_artifact
from latentseq.storage.folders import output_folder
from latentseq.storage.latents import write_latents
from latentseq.storage.shards import MANIFEST
from latentseq.training.watch import Watcher


def encode(
    data: str | Path,
    encoder: str | Path,
    out: str | Path,
    *,
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Encode every clip of DATA.

    The same command continues an interrupted one and gives the same bytes.

    Args:
        data: DATA. Files are decoded like the training data of the encoder.
        encoder: run folder of a trained encoder.
        out: folder of the latents.
        data_options: keywords of the dataset.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.
        overwrite: replace earlier latents.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        LatentseqError: data, encoder or the output do not fit.
    """
    out, artifact = Path(out), read_artifact(Path(encoder), "encoders").allow(allow_plugins)
    check_out(out, MANIFEST, overwrite, data, encoder)
    watcher = Watcher("encode", quiet=quiet)
    dataset = data_for(artifact, data, data_options, watcher=watcher)
    model: Encoder = artifact.load()
    with output_folder(out, MANIFEST, overwrite=overwrite, resumable=True) as folder:
        write_latents(dataset, model, artifact.fingerprint, folder, watcher)
    return out
