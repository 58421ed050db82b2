"""Which rows are which clip, as a manifest keeps it: a few runs of equal clips instead of a line for each."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

VARYING = ("start", "end")
"""What may differ from clip to clip inside a run, kept as lists: the second at which a clip starts, and ends."""


def pack(clips: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Runs of clips.

    Args:
        clips: in order; each says its first ``row``, its ``length`` in rows, and what else is known of it.

    Returns:
        Runs of ``count`` clips of one ``length``, the first at ``row``, each ``step`` rows after the one before.
    """
    runs: list[dict[str, Any]] = []
    shared: tuple[dict[str, Any], list[str]] = {}, []
    for clip in clips:
        varying = {key: clip[key] for key in VARYING if key in clip}
        alike = {key: value for key, value in clip.items() if key not in ("row", *VARYING)}
        same = alike, list(varying)
        run = runs[-1] if runs else None
        if run and run["count"] == 1:
            run["step"] = clip["row"] - run["row"]
        if run is None or same != shared or clip["row"] != run["row"] + run["count"] * run["step"]:
            if run and run["count"] == 1:
                run["step"] = run["length"]
            run, shared = {**alike, "count": 0, "row": clip["row"], "step": clip["length"]}, same
            run |= {key: [] for key in varying}
            runs.append(run)
        run["count"] += 1
        for key, value in varying.items():
            run[key].append(value)
    return runs


def first_rows(runs: Iterable[Mapping[str, Any]]) -> np.ndarray:
    """(n,) int64, the first row of each clip."""
    parts = [run["row"] + run["step"] * np.arange(run["count"]) for run in runs]
    return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)


def values(runs: Iterable[Mapping[str, Any]], key: str) -> list[Any]:
    """What is known of every clip under ``key``; None where nothing is."""
    return [
        value
        for run in runs
        for value in (run[key] if key in VARYING and key in run else [run.get(key)] * run["count"])
    ]
