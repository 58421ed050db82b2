"""Describe the content of a folder."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from latentseq.errors import DataError, count_of, join_names
from latentseq.storage.artifact import ARTIFACT, ENCODER, read_artifact, read_encoder
from latentseq.storage.folders import RUN
from latentseq.storage.inside import inside
from latentseq.storage.manifest import MANIFEST, read_manifest
from latentseq.storage.reading import Fields

LINES = 20
"""Maximum number of list items that are shown."""


def show(path: str | Path) -> dict[str, str]:
    """Describe the content of a run folder, or of a folder of clips or latents.

    Args:
        path: path of the folder.

    Returns:
        Descriptions by name, in the order in which to show them.

    Raises:
        DataError: the folder is neither, or is damaged.
    """
    folder = Path(path)
    if (folder / ARTIFACT).is_file():
        return _artifact(folder)
    if (folder / MANIFEST).is_file():
        return _rows(folder)
    parts = sorted(p.parent.name for p in folder.glob("*/*.json") if p.name in (ARTIFACT, MANIFEST))
    hint = " It holds a run that did not finish." if (folder / RUN).is_file() else ""
    hint = f" Look at {join_names(parts)} in it." if parts and parts != ["cache"] else hint
    raise DataError(
        f"{folder} holds neither a trained model ({ARTIFACT}) nor clips or latents ({MANIFEST}).{hint} "
        "Expected a folder that train-ae, train-lstm or encode wrote."
    )


def _artifact(folder: Path) -> dict[str, str]:
    """Describe a run folder."""
    artifact = read_artifact(folder)
    about = Fields(artifact.about, artifact.path / ARTIFACT)
    about.require("training", "versions")
    training = Fields(about.inner("training"), about.path, "training")
    training.require("seed", "best", "data")
    rows = {
        "plugin": f"{artifact.plugin} ({artifact.group})",
        **{f"  {key}": json.dumps(value) for key, value in artifact.config.items()},
        "preprocessing": _pairs(artifact.preprocessing),
        "seed": str(training.whole("seed", 0, 2**63)),
        "best epoch": _pairs(training.inner("best")),
        "trained on": f"data {training.text('data')[:12]}…",
        "fingerprint": artifact.fingerprint,
        "made with": _pairs(about.inner("versions")),
    }
    if inside(folder, ENCODER).is_dir():
        inner = read_encoder(folder)
        rows["encoder"] = f"{inner.plugin}, {inner.fingerprint[:12]}…"
    return rows


def _rows(folder: Path) -> dict[str, str]:
    """Describe a folder of clips or latents."""
    manifest = read_manifest(folder)
    runs, shards = manifest["clips"], manifest["shards"]
    count, frames = sum(r["count"] for r in runs), sum(s["rows"] for s in shards)
    lengths = [r["length"] for r in runs]
    splits = {
        name: sum(r["count"] for r in runs if r.get("split") == name) for name in ("train", "validation", "test")
    }
    shape = manifest.get("frame_shape") or manifest.get("latent_shape")
    size = sum((folder / s["file"]).stat().st_size for s in shards if (folder / s["file"]).is_file())
    rows = {
        "format": manifest["format"],
        "clips": f"{count}, of {min(lengths, default=0)} to {max(lengths, default=0)} frames",
        "frames": f"{frames} of {' x '.join(map(str, shape or []))}, {manifest['fps']:g} a second",
        "splits": _pairs(splits) if all(r.get("split") for r in runs) else "none of its own",
        "streams": _pairs(manifest["streams"]) or "none",
        "shards": f"{len(shards)}, {size / 1e6:.1f} MB",
    }
    if "hold_out" in manifest:
        rows["held out"] = manifest["hold_out"]
    if "encoder" in manifest:
        rows["encoder"] = f"{manifest['encoder'][:12]}…"
    if "source" in manifest:
        rows["source"] = json.dumps(manifest["source"])
    if manifest.get("sources"):
        rows["sources"] = _lines(_source(each) for each in manifest["sources"])
    if manifest.get("skipped"):
        rows["skipped"] = _lines(f"{each['path']}: {each['reason']}" for each in manifest["skipped"])
    return rows


def _source(source: dict[str, Any]) -> str:
    """Describe a source of clips in a line."""
    kind = ", ".join(filter(None, [source["kind"], source["detail"], source.get("reading")]))
    frames = f"{count_of(source['frames'], 'frame')} at {source['fps']:.6g} a second"
    return f"{source['path']}: {kind}, {frames}, {source['sha256'][:12]}…"


def _lines(items: Iterable[str]) -> str:
    """One line for each item, of which at most ``LINES`` are shown."""
    lines = list(items)
    rest = [f"and {len(lines) - LINES} more"] if len(lines) > LINES else []
    return "\n".join(lines[:LINES] + rest)


def _pairs(values: Mapping[str, Any]) -> str:
    """Names and values, separated by commas."""
    return ", ".join(f"{k} {v:.6g}" if isinstance(v, float) else f"{k} {v}" for k, v in values.items())
