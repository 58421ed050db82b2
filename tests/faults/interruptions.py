"""Signals at any moment: the exit code says which, soon, and the same command goes on."""

from pathlib import Path

import numpy as np
from harness import CHANGES, Fault, expect
from stock import Stock

MAKING = ("encode", "ingest", "ingest4")
TRAINING = ("vae", "lstm")
REST = 0.3
"""Largest share of all its steps that a command takes after a signal: it ends what it is in the middle of."""
ANY = CHANGES | {"take", "open", "read"}


def making(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """Interrupt ``encode`` or ``ingest``."""
    return _interrupted(stock, MAKING[number % len(MAKING)], where, number, random, rest=REST)


def training(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """Interrupt a training; every fourth time twice."""
    return _interrupted(stock, TRAINING[number % len(TRAINING)], where, number, random, twice=number % 4 == 3)


def _interrupted(
    stock: Stock,
    name: str,
    where: Path,
    number: int,
    random: np.random.Generator,
    twice: bool = False,
    rest: float = 1.0,
) -> int:
    action, code = [("SIGINT", 130), ("SIGTERM", 143)][number // 3 % 2]
    ops = frozenset({"take"}) if twice else ANY
    if twice:
        action, code = "SIGINT SIGINT", -2
    total = stock.steps(name, Fault(ops=ops))
    fault = Fault(at=int(random.integers(1, max(2, total - 1))), action=action, ops=ops)
    out = where / "out"
    outcome = stock.run(name, out, fault)
    told = f"{name} with {action} at {outcome.met}"
    expect(outcome.code == code, told, outcome)
    after = outcome.steps - fault.at
    expect(after <= rest * total, f"{told} took {after} of {total} steps more", outcome)
    again = stock.run(name, out)
    expect(again.code == 0 or "exists already" in again.err, f"{told}, again", again)
    stock.check(name, out)
    return 1
