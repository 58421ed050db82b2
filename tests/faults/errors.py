"""Calls that fail: the n-th open, read, write, flush, renaming or new folder, by any error of the machine."""

import json
from pathlib import Path

import numpy as np
from harness import Fault, Outcome, expect, tree
from stock import Stock

NAMES = ("encode", "ingest", "ingest4", "train-ae", "train-lstm", "export", "sample")
TRAINING = ("vae", "lstm")
WRITING = tuple(
    (op, error)
    for op in ("write", "fsync", "rename", "mkdir", "create")
    for error in ("EIO", "ENOSPC", "EACCES", "EROFS", "EMFILE")
    if error != "EMFILE" or op == "create"
)
READING = (("open", "EIO"), ("open", "EMFILE"), ("read", "EIO"))


def writing(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """A call that is about the output fails once; what was committed stays, and the same command goes on."""
    op, error = WRITING[number % len(WRITING)]
    return _failing(stock, NAMES[number % len(NAMES)], where, op, error, random)


def writing_training(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """The same of networks, in checkpoints above all."""
    op, error = WRITING[number * 2 % len(WRITING)]
    return _failing(stock, TRAINING[number % len(TRAINING)], where, op, error, random)


def _failing(stock: Stock, name: str, where: Path, op: str, error: str, random: np.random.Generator) -> int:
    fault = Fault(action=error, ops=frozenset({op}))
    total = stock.steps(name, fault)
    expect(total > 0 or op == "mkdir", f"{name} has no {op}")
    if not total:
        op, fault = "fsync", fault._replace(ops=frozenset({"fsync"}))
        total = stock.steps(name, fault)
    out = where / "out"
    outcome = stock.run(name, out, fault._replace(at=int(random.integers(1, total + 1))))
    told = f"{name} with {error} at {outcome.met}"
    expect(bool(outcome.met), f"{told} met no fault", outcome)
    if outcome.code == 0:  # Only where the result does not depend on it: a holder's name, a folder for later.
        expect(_is_spare(outcome), f"{told} is not told", outcome)
    else:
        _check_told(told, outcome)
    again = stock.run(name, out)
    if outcome.code == 75 and again.code == 2 and "exists already" in again.err:
        stock.check(name, out)  # The flush after the last renaming has failed: the result is there.
        return 1
    expect(again.code == 0 or outcome.code == 0, f"{told}, again", again)
    stock.check(name, out)
    return 1


def _is_spare(outcome: Outcome) -> bool:
    """Whether a fault hit something that a run does without: making a folder that is there, or removing one."""
    return outcome.met.startswith(("mkdir ", "unlink ", "rmdir "))


def _check_told(told: str, outcome: Outcome) -> None:
    expect(outcome.code == 75, told, outcome)
    lines = outcome.err.strip().splitlines()
    expect(lines[-1].startswith("error: ") and "defect" not in outcome.err, f"{told} says", outcome)
    expect("Traceback" not in outcome.err, f"{told} shows a traceback", outcome)


def reading(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """A call that reads what a command is made from fails once."""
    op, error = READING[number % len(READING)]
    name = NAMES[(number // len(READING)) % len(NAMES)]
    if name.startswith("ingest"):
        below = stock.films
    elif name in ("export", "train-ae") or random.integers(2):
        below = stock.clips
    else:
        below = stock.lstm if name == "sample" else stock.ae
    before = tree(below)
    fault = Fault(action=error, ops=frozenset({op}), below=str(below))
    total = stock.steps(name, fault)
    if not total:  # Films are read by FFmpeg, which is not asked.
        return reading(stock, where, number + 1, random)
    out = where / "out"
    outcome = stock.run(name, out, fault._replace(at=int(random.integers(1, total + 1))))
    told = f"{name} with {error} at {outcome.met}"
    expect(bool(outcome.met), f"{told} met no fault", outcome)
    expect(tree(below) == before, f"{told} has touched what it is made from")
    extra: tuple[str, ...] = ()
    if outcome.code == 0 and name.startswith("ingest"):
        skipped = json.loads((out / "manifest.json").read_bytes())["skipped"]
        expect(len(skipped) == 1 and bool(skipped[0]["reason"]), f"{told} is not told", outcome)
        extra = ("--overwrite",)
    elif outcome.code == 0:
        expect(False, f"{told} is not told", outcome)
    else:
        _check_told(told, outcome)
    again = stock.run(name, out, Fault(), *extra)
    expect(again.code == 0, f"{told}, again", again)
    stock.check(name, out)
    return 1
