"""Splits of the data into training, validation and test."""

import itertools
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

from latentseq.errors import UsageError

HOLD_OUT = ("clips", "ends")
"""What may be held out of data without splits of its own: whole clips, or the end of every clip."""
FEW_CLIPS = 20
"""Number of clips from which on whole clips are held out, if the user does not choose."""
MIN_CLIPS = 3
"""Minimum number of clips of which whole ones can be held out; fewer are always divided in time."""
_SHORTEST = 2
"""Minimum number of frames of the part of a clip that is held out for validation or test."""
SHARES = {"train": 0.8, "test": 0.1, "validation": 0.1}
"""Shares of data without a split of its own, in order: the end is for validation."""
_GOLDEN = (5**0.5 - 1) / 2
"""The golden ratio minus 1. Its multiples modulo 1 are spread evenly."""


def split_ranges(lengths: np.ndarray, split: np.ndarray | None, hold_out: str | None = None) -> dict[str, np.ndarray]:
    """Divide frames into training, validation and test.

    The data's own split is used if there is one. If it has no validation clips, the last tenth of the training clips
    is for validation. From data without a split, either whole clips or the ends of all clips are held out. Whole
    clips: the last 10 % are for validation, the 10 % before for test. Ends: of every clip, the last 10 % are for
    validation, the 10 % before for test; a clip that is too short for that is for training.

    Args:
        lengths: (n,) number of frames of each clip.
        split: (n,) array of 'train', 'validation' and 'test', or None.
        hold_out: 'clips' or 'ends', for data without a split. None is 'ends' for fewer than ``FEW_CLIPS`` clips, and
            'clips' for others. Fewer than three clips are always divided in time.

    Returns:
        For each of the three, (m, 3) int64 rows (clip, start, stop).
    """
    n = len(lengths)
    if split is None and (n < MIN_CLIPS or not of_clips(n, hold_out)):
        ends = _in_time(np.arange(n), lengths)
        short = np.min([ends[name][:, 2] - ends[name][:, 1] for name in ("validation", "test")], axis=0) < _SHORTEST
        if not short.all():
            ends["train"][short, 2] = lengths[short]
            return {name: rows if name == "train" else rows[~short] for name, rows in ends.items()}
        if n < MIN_CLIPS:
            return ends
    if split is None:
        count = max(1, round(n * SHARES["validation"]))
        split = np.array(["train"] * (n - 2 * count) + ["test"] * count + ["validation"] * count)
    whole = np.stack([np.arange(n), np.zeros(n, np.int64), lengths], axis=1)
    ranges = {name: whole[split == name] for name in ("train", "validation", "test")}
    clips = ranges["train"]
    if len(ranges["validation"]) or not len(clips):
        return ranges
    if len(clips) == 1:
        cut = _in_time(clips[:, 0], clips[:, 2])
        test = {} if len(ranges["test"]) else {"test": cut["test"]}
        return {**ranges, "train": cut["train"], "validation": cut["validation"], **test}
    count = max(1, round(len(clips) * SHARES["validation"]))
    return {**ranges, "train": clips[:-count], "validation": clips[-count:]}


def of_clips(count: int, hold_out: str | None) -> bool:
    """Whether whole clips are held out of data without a split, and not the ends of its clips.

    Args:
        count: number of clips.
        hold_out: 'clips' or 'ends'; None for the default.
    """
    return hold_out == "clips" or (hold_out is None and count >= FEW_CLIPS)


def check_hold_out(hold_out: str | None) -> None:
    """Check what the user wants to hold out.

    Raises:
        UsageError: it is neither 'clips' nor 'ends' nor None.
    """
    if hold_out is not None and hold_out not in HOLD_OUT:
        raise UsageError(f"--hold-out is {hold_out!r}; expected 'clips' or 'ends'.")


def folder_of(name: str) -> str:
    """The folder that contains a file or a folder of images.

    Args:
        name: path relative to the source that the user named.
    """
    return str(PurePath(name).parent)


def spread(folders: Sequence[str]) -> np.ndarray:
    """Order items so that each part of the order has its share of every folder.

    The items of a folder keep their order, so that neighbours, which are often similar, mostly stay in one part. The
    items of a single folder keep their order altogether.

    Args:
        folders: folder of each item.

    Returns:
        (n,) int64, the numbers of the items in order.
    """
    numbers = {folder: number for number, folder in enumerate(dict.fromkeys(folders))}
    counts = dict.fromkeys(numbers, 0)
    ranks = []
    for folder in folders:
        ranks.append(counts[folder] + 0.5)
        counts[folder] += 1
    shares = np.array([rank / counts[folder] for rank, folder in zip(ranks, folders, strict=True)])
    # Items of equal rank are ordered so that their folders are spread as well.
    ties = np.array([numbers[folder] * _GOLDEN % 1 for folder in folders])
    return np.lexsort((ties, shares))


def split_by_folder(folders: Sequence[str], split: Sequence[str | None]) -> list[str | None]:
    """Divide clips from several folders, such as one per class, so that each split has clips of all folders.

    Clips without a split are divided in the shares of ``SHARES``. If all clips have a split but none is for
    validation, a tenth of the training clips is. Fewer than three clips, or clips from a single folder, are left to
    ``split_ranges``.

    Args:
        folders: folder of each clip.
        split: split of each clip; None for clips without one.

    Returns:
        A split for each clip; None for clips that are left to ``split_ranges``.
    """
    complete = all(split)
    free = [i for i, name in enumerate(split) if name in (None, "train")]
    if (complete and "validation" in split) or len(free) < 3 or len({folders[i] for i in free}) < 2:
        return list(split)
    order = [free[i] for i in spread([folders[i] for i in free])]
    count = max(1, round(len(free) * SHARES["validation"]))
    parts = {"validation": order[-count:], "test": [] if complete else order[-2 * count : -count]}
    splits = ["train" if i in set(free) else name for i, name in enumerate(split)]
    for name, clips in parts.items():
        for i in clips:
            splits[i] = name
    return splits


def split_by_share(start: float, end: float) -> str | None:
    """The split of a part of the data, by its position.

    Args:
        start: start of the part, in [0, 1].
        end: end of the part, in [0, 1].

    Returns:
        'train', 'test' or 'validation'; None if the part crosses a border.
    """
    first = 0.0
    for name, share in SHARES.items():
        last = first + share
        if start >= first and end <= last + 1e-9:
            return name
        first = last
    return None


def _in_time(clips: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Divide every clip in time by the same shares. Of two frames or more, at least one is for validation."""
    shares = np.cumsum([0, *SHARES.values()])[:-1]
    ends = [np.minimum(np.rint(lengths * share), np.maximum(1, lengths - 1)).astype(np.int64) for share in shares]
    parts = zip(SHARES, itertools.pairwise([*ends, np.asarray(lengths, np.int64)]), strict=True)
    return {name: np.stack([clips, start, stop], axis=1) for name, (start, stop) in parts}
