"""Which part of the data is for training, for validation and for test."""

import itertools
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np

SHARES = {"train": 0.8, "test": 0.1, "validation": 0.1}
"""Of data that has no split of its own, in this order: validation comes last."""
_GOLDEN = (5**0.5 - 1) / 2


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


def folder_of(name: str) -> str:
    """The folder of a file or of a folder of images, by its path from what was given on."""
    return str(PurePath(name).parent)


def spread(folders: Sequence[str]) -> np.ndarray:
    """An order of items in which every stretch has its share of every folder.

    The items of a folder stay in their order, so that its last ones are among the last of all: neighbours, which are
    often alike, mostly stay together. Of one folder it is the order that there is.

    Args:
        folders: of each item.

    Returns:
        (n,) int64, the numbers of the items.
    """
    numbers = {folder: number for number, folder in enumerate(dict.fromkeys(folders))}
    counts = dict.fromkeys(numbers, 0)
    ranks = []
    for folder in folders:
        ranks.append(counts[folder] + 0.5)
        counts[folder] += 1
    shares = np.array([rank / counts[folder] for rank, folder in zip(ranks, folders, strict=True)])
    # Between equals, folders come in an order of which every stretch is spread as well.
    ties = np.array([numbers[folder] * _GOLDEN % 1 for folder in folders])
    return np.lexsort((ties, shares))


def split_by_folder(folders: Sequence[str], split: Sequence[str | None]) -> list[str | None]:
    """The splits of clips from several folders, such as one for each class, so that none is only tested on.

    Args:
        folders: of each clip.
        split: of each clip, where it has one of its own.

    Returns:
        A split for each clip, in the shares of ``SHARES``; where all have one of their own, that, and where none of
        those is for validation, a tenth of the training clips for it. What there is where the clips to share out are
        from one folder, or fewer than three, which ``split_ranges`` shares out.
    """
    whole, named = list(split), all(split)
    shared = [i for i, name in enumerate(split) if name in (None, "train")]
    if (named and "validation" in split) or len(shared) < 3 or len({folders[i] for i in shared}) < 2:
        return whole
    order = [shared[i] for i in spread([folders[i] for i in shared])]
    held = max(1, round(len(shared) * SHARES["validation"]))
    parts = {"validation": order[-held:], "test": [] if named else order[-2 * held : -held]}
    whole = ["train" if i in set(shared) else name for i, name in enumerate(split)]
    for name, clips in parts.items():
        for i in clips:
            whole[i] = name
    return whole


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
