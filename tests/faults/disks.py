"""Disks that fill up: a small one of memory where it can be mounted, else every write fails from some moment on."""

import contextlib
import math
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from harness import Fault, expect, tree
from stock import Stock

NAMES = ("encode", "ingest", "ingest4", "train-ae", "train-lstm", "export", "pictures", "sample")
REPLACING = ("encode", "export", "pictures", "sample")
"""Commands that leave an earlier result alone until the new one is whole."""
TRAINING = ("vae", "lstm")
PAGE = 4096


@cache
def mounts() -> bool:
    """Whether this process may mount."""
    probe = Path("/tmp/latentseq-faults-mount")
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        probe.mkdir(exist_ok=True)
        _mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", str(probe))
        subprocess.run(["umount", str(probe)], check=True, capture_output=True)
        probe.rmdir()
        return True
    return False


@contextlib.contextmanager
def disk(place: Path) -> Iterator[Path]:
    """A disk of its own with much room."""
    place.mkdir()
    if mounts():
        _mount("-t", "tmpfs", "-o", "size=64m", "tmpfs", str(place))
    try:
        yield place
    finally:
        if mounts():
            subprocess.run(["umount", "-l", str(place)], check=True, capture_output=True)


def full(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """A command on a disk that is too small for its result, and again when there is room."""
    return _full(stock, NAMES[number % len(NAMES)], where, number // len(NAMES), random)


def full_training(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """The same of networks."""
    return _full(stock, TRAINING[number % len(TRAINING)], where, number // len(TRAINING), random)


def _full(stock: Stock, name: str, where: Path, turn: int, random: np.random.Generator) -> int:
    whole = stock.undisturbed(name)
    with disk(where / "disk") as place:
        out, extra = place / "out", ()
        replaces = name in REPLACING and turn % 2 == 1
        if replaces:
            earlier = stock.run(name, out)
            expect(earlier.code == 0, f"{name}, the first time", earlier)
            extra = ("--overwrite",)
        before = tree(stock.place(name, out))
        needed = sum(math.ceil(len(data) / PAGE) for data in whole.values() if data is not None)
        room = int(random.integers(0, needed))
        fault = Fault()
        if mounts():
            used = int(subprocess.run(["df", "--output=used", "-B4096", place], **_TEXT).stdout.split()[-1])  # type: ignore[call-overload]
            _mount("-o", f"remount,size={max(1, used + room) * PAGE}", str(place))
        else:
            fault = Fault(at=1 + room, action="ENOSPC", ops=frozenset({"write"}), lasting=True)
        outcome = stock.run(name, out, fault, *extra)
        told = f"{name} with room for {room} of {needed} pages"
        expect(outcome.code == 75, told, outcome)
        expect(outcome.err.splitlines()[-1].startswith("error: "), f"{told} says", outcome)
        expect(bool(re.search(r"\d+ bytes", outcome.err)), f"{told} does not say how many bytes", outcome)
        expect("No space left" in outcome.err, f"{told} does not say why", outcome)
        if replaces:
            expect(tree(stock.place(name, out)) == before, f"{told} has touched the earlier result")
        if mounts():
            _mount("-o", "remount,size=64m", str(place))
        again = stock.run(name, out, Fault(), *extra)
        expect(again.code == 0, f"{told}, again with more room", again)
        stock.check(name, out)
    return 1


_TEXT = {"capture_output": True, "text": True, "check": True}


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True, capture_output=True)
