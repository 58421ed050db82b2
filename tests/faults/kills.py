"""Processes killed at any step, again and again: what they leave goes on to the same bytes."""

from pathlib import Path

import numpy as np
from harness import CHANGES, Fault, expect
from stock import Stock

from latentseq.storage.workspace import exclusive

KILLS = 5
"""Of a case."""
SHORT = 100
"""From this number on a case has two."""
MAKING = ("encode", "ingest", "ingest4")
TRAINING = ("vae", "lstm")
BETWEEN = Fault(ops=CHANGES | {"take"}, saving=False)
SAVING = Fault(saving=True)


def making(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """Kill ``encode`` or ``ingest`` before steps at random."""
    name = MAKING[number % len(MAKING)]
    total = stock.steps(name, Fault(ops=CHANGES))
    faults = [Fault(at=int(random.integers(1, total + 1)), ops=CHANGES) for _ in range(KILLS * 8)]
    return _chains(stock, name, where, faults, KILLS if number < SHORT else 2)


def training(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """Kill a training, half of the times while it saves a checkpoint."""
    kills, faults = KILLS if number < SHORT else 2, []
    for i in range(KILLS * 8):
        fault, most = (SAVING, 50) if (i + number) % 2 else (BETWEEN, 12)
        faults.append(fault._replace(at=int(random.integers(1, most))))
    return _chains(stock, TRAINING[number % len(TRAINING)], where, faults, kills)


def _chains(stock: Stock, name: str, where: Path, faults: list[Fault], most: int = KILLS) -> int:
    """Kill a command until it was killed often enough; every result that comes of it is compared."""
    stock.undisturbed(name)
    kills, chain, killed = 0, 0, False
    out = where / "0" / "out"
    out.parent.mkdir()
    for fault in [*faults, Fault()]:
        outcome = stock.run(name, out, fault if kills < most else Fault())
        if outcome.code == -9:
            kills, killed = kills + 1, True
            continue
        if killed and outcome.code == 2 and "exists already" in outcome.err:
            # It was killed when the result had its place; all that may be left is a lock that nobody holds.
            with exclusive(out):
                pass
        else:
            expect(outcome.code == 0, f"{name} after {kills} kills", outcome)
        stock.check(name, out)
        if kills >= most:
            return kills
        chain, killed = chain + 1, False
        out = where / str(chain) / "out"
        out.parent.mkdir()
    expect(False, f"{name} was killed {kills} times only; expected {most}")
    return kills
