"""A few cases of every kind of fault; `make faults` runs as many as are promised."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES, SHORT
from pool import Worker


@pytest.fixture(scope="module")
def workers():
    """One that trains networks, and imports them while the other one works, which imports no framework."""
    both = {True: Worker(keras=True), False: Worker(keras=False)}
    yield both
    for worker in both.values():
        worker.close()


@pytest.mark.parametrize(("kind", "number"), [(kind, number) for kind in SHORT for number in SHORT[kind]])
def test_nothing_is_lost(kind, number, workers):
    result = workers[CASES[kind].keras].do((kind, number))
    assert not result["failed"], result["failed"]
    assert result["count"] > 0
