"""A case of every kind of fault, and a few more that are slow; `make faults` runs as many as are promised."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cases import ALL_DIFFER, CASES, SHORT
from pool import Worker


@pytest.fixture(scope="module")
def workers():
    """One that trains networks, and one that imports no framework; begun when they are asked for."""
    begun: dict[bool, Worker] = {}

    def worker(keras):
        if keras not in begun:
            begun[keras] = Worker(keras=keras)
        return begun[keras]

    yield worker
    for each in begun.values():
        each.close()


def cases():
    """Those of a network are slow: each is a training that is killed or spoilt, after trainings that are not."""
    for kind, numbers in SHORT.items():
        for number in numbers:
            slow = CASES[kind].keras or (number != numbers[0] and kind not in ALL_DIFFER)
            yield pytest.param(kind, number, marks=[pytest.mark.slow] if slow else [])


@pytest.mark.parametrize(("kind", "number"), cases())
def test_nothing_is_lost(kind, number, workers):
    result = workers(CASES[kind].keras).do((kind, number))
    assert not result["failed"], result["failed"]
    assert result["count"] > 0
