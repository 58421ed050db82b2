"""The table of clips in a manifest: runs of similar clips instead of one entry per clip."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

VARYING = ("start", "end")
"""Keys that may differ between the clips of a run and are stored as lists: start and end of a clip in seconds."""


def pack(clips: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Combine clips into runs.

    Args:
        clips: clips in order. Each has its first ``row``, its ``length`` in rows, and any other values.

    Returns:
        Runs of ``count`` clips of one ``length``. The first starts at ``row``, each next one ``step`` rows later.
    """
    runs: list[dict[str, Any]] = []
    shared: tuple[dict[str, Any], list[str]] = {}, []
    for clip in clips:
        varying = {key: clip[key] for key in VARYING if key in clip}
        constant = {key: value for key, value in clip.items() if key not in ("row", *VARYING)}
        signature = constant, list(varying)
        run = runs[-1] if runs else None
        if run and run["count"] == 1:
            run["step"] = clip["row"] - run["row"]
        if run is None or signature != shared or clip["row"] != run["row"] + run["count"] * run["step"]:
            if run and run["count"] == 1:
                run["step"] = run["length"]
            run = {**constant, "count": 0, "row": clip["row"], "step": clip["length"]}
            shared = signature
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
    """The value of ``key`` for every clip; None for clips without one."""
    return [
        value
        for run in runs
        for value in (run[key] if key in VARYING and key in run else [run.get(key)] * run["count"])
    ]
