"""Which part of the data is for training, for validation and for test."""

import itertools

import numpy as np

SHARES = {"train": 0.8, "test": 0.1, "validation": 0.1}
"""Of data that has no split of its own, in this order: validation comes last."""


def split_ranges(lengths: np.ndarray, split: np.ndarray | None) -> dict[str, np.ndarray]:
    """Which frames are for training, validation and test.

    The data's own split where it has one; where that has no validation, the last tenth of the training clips. Else by
    clip, the last 10 % for validation and the 10 % before for test; with too few clips for that every clip is cut in
    time by the same shares.

    Args:
        lengths: (n,) frames of each clip.
        split: (n,) of 'train', 'validation', 'test', or None.

    Returns:
        For each of the three, (m, 3) int64 rows (clip, start, stop).
    """
    n = len(lengths)
    if split is None and n < 3:
        return _in_time(np.arange(n), lengths)
    if split is None:
        held = max(1, round(n * SHARES["validation"]))
        split = np.array(["train"] * (n - 2 * held) + ["test"] * held + ["validation"] * held)
    whole = np.stack([np.arange(n), np.zeros(n, np.int64), lengths], axis=1)
    ranges = {name: whole[split == name] for name in ("train", "validation", "test")}
    clips = ranges["train"]
    if len(ranges["validation"]) or not len(clips):
        return ranges
    if len(clips) == 1:
        cut = _in_time(clips[:, 0], clips[:, 2])
        test = {} if len(ranges["test"]) else {"test": cut["test"]}
        return {**ranges, "train": cut["train"], "validation": cut["validation"], **test}
    held = max(1, round(len(clips) * SHARES["validation"]))
    return {**ranges, "train": clips[:-held], "validation": clips[-held:]}


def split_by_share(start: float, end: float) -> str | None:
    """The split of a stretch from its place in all the data, as shares of the whole.

    Args:
        start: where it starts, in [0, 1].
        end: where it ends, in [0, 1].

    Returns:
        'train', 'test' or 'validation'; None where it lies across a border.
    """
    first = 0.0
    for name, share in SHARES.items():
        last = first + share
        if start >= first and end <= last + 1e-9:
            return name
        first = last
    return None


def _in_time(clips: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """The same shares of every clip, one after another."""
    shares = np.cumsum([0, *SHARES.values()])
    ends = [np.rint(lengths * share).astype(np.int64) for share in shares]
    parts = zip(SHARES, itertools.pairwise(ends), strict=True)
    return {name: np.stack([clips, start, stop], axis=1) for name, (start, stop) in parts}
