"""All kinds of faults, with how many cases each has."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import damage
import disks
import errors
import interruptions
import kills
import nonfinite
import numpy as np
import points
from stock import Stock


class Kind(NamedTuple):
    """A kind of fault.

    Attributes:
        do: a case, by its number and a generator seeded by kind and number: how many things it tried.
        cases: in the long version.
        keras: whether networks are trained.
        at_least: things that the long version tries.
    """

    do: Callable[[Stock, Path, int, np.random.Generator], int]
    cases: int
    keras: bool
    at_least: int


CASES = {
    "kill-making": Kind(kills.making, 21, False, 100),
    "crash-points": Kind(points.planted, len(points.PROTOCOLS) * points.SEEDS, False, 500),
    "disk-full": Kind(disks.full, 56, False, 52),
    "write-error": Kind(errors.writing, 42, False, 42),
    "read-error": Kind(errors.reading, 21, False, 18),
    "signal-making": Kind(interruptions.making, 12, False, 10),
    "signal-training": Kind(interruptions.training, 12, True, 10),
    "disk-full-training": Kind(disks.full_training, 8, True, 8),
    "write-error-training": Kind(errors.writing_training, 8, True, 8),
    "damage": Kind(damage.damaged, 98, False, 92),
    "damage-training": Kind(damage.damaged_training, 9, True, 8),
    "not-finite": Kind(nonfinite.broken, 24, True, 20),
    "kill-training": Kind(kills.training, 20, True, 100),
}
SHORT = {
    "kill-making": (102, 101),
    "crash-points": (6, 36, 56),
    "disk-full": (0, 5, 10),
    "write-error": (0, 8, 17),
    "read-error": (0, 7),
    "signal-making": (0, 4),
    "damage": (0, 1, 4, 6, 8, 12),
    "kill-training": (100,),
    "not-finite": (1,),
}
"""Numbers of the cases of the short version. `make test` does the first of every kind."""
ALL_DIFFER = ("crash-points", "damage")
"""Kinds of which `make test` does all of these, as every number is another place."""
