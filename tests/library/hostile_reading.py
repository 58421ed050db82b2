"""What the properties read in a child: whole folders and files that were changed anyhow."""

from pathlib import Path

import numpy as np
from hostile_models import EXPECTED

from latentseq.storage.frames import ClipFolder
from latentseq.storage.latents import LatentFolder
from latentseq.storage.shards import read_about
from latentseq.storage.tensors import load_tensors


def clips(path: str) -> str:
    """Read every clip; what comes of it is what the folder says of itself."""
    folder = ClipFolder(path)
    assert folder.split is None or set(folder.split) <= {"train", "validation", "test"}
    assert len(folder.lengths) <= 10_000_000
    assert 0 < folder.fps < np.inf
    for i in range(min(len(folder.lengths), 50)):
        frames, streams = folder.read(i)
        assert frames.shape == (folder.lengths[i], *folder.frame_shape)
        assert frames.dtype == np.uint8
        assert {k: s.shape for k, s in streams.items()} == {k: (len(frames), w) for k, w in folder.streams.items()}
    return "read"


def latents(path: str) -> str:
    """Read every latent."""
    folder = LatentFolder(Path(path))
    names = {"mean", *(["log_var"] if folder.has_posterior else []), *folder.streams}
    for i in range(min(len(folder.lengths), 50)):
        rows = folder.read(i, 0, int(folder.lengths[i]))
        assert rows.keys() == names
        assert rows["mean"].shape == (folder.lengths[i], *folder.latent_shape)
        assert rows["mean"].dtype.kind == "f"
    return "read"


def about(path: str) -> str:
    """Read what a shard says of itself."""
    assert isinstance(read_about(Path(path)), dict)
    return "read"


def tensors(path: str) -> str:
    """Read weights."""
    found = load_tensors(Path(path), EXPECTED)
    assert {k: (a.shape, str(a.dtype)) for k, a in found.items()} == EXPECTED
    return "read"
