"""Every step of the commit protocol, killed right before it: there is the old state or the new one, never neither."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import CHANGES, Fault, child, expect, tree
from stock import Stock, leftovers

from latentseq.storage.atomic import sweep, write_bytes, write_json
from latentseq.storage.folders import output_folder, run_folder
from latentseq.storage.ledger import Ledger
from latentseq.storage.shards import MANIFEST, ShardReader, ShardWriter
from latentseq.training.checkpoint import Checkpoints

SEEDS = 5
Work = Callable[[Path, int], None]
ASKED = {"command": "test", "seed": 0}
FORMAT = "latentseq-clips/1"


def _content(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(int(np.random.default_rng(seed).integers(1, 9000)))


def _tensors(seed: int) -> dict[str, np.ndarray]:
    return {"w": np.random.default_rng(seed).normal(size=seed % 700 + 1)}


def _fill(folder: Path, seed: int) -> None:
    write_bytes(folder / "data", _content(seed))
    write_bytes(folder / "below" / "more", _content(seed + 1))
    write_json(folder / "marker.json", {"seed": seed})


def _one_file(where: Path, seed: int) -> None:
    write_bytes(where / "out", _content(seed))


def _output(where: Path, seed: int, resumable: bool = False) -> None:
    with output_folder(where / "out", "marker.json", overwrite=True, resumable=resumable) as folder:
        _fill(folder, seed)


def _output_goes_on(where: Path, seed: int) -> None:
    _output(where, seed, resumable=True)


def _run(where: Path, seed: int, resume: bool = False) -> None:
    asked = {**ASKED, "seed": seed}
    with run_folder(where / "out", asked, last="marker.json", overwrite=not resume, resume=resume) as folder:
        _fill(folder, seed)


def _run_resumed(where: Path, seed: int) -> None:
    _run(where, seed, resume=True)


def _run_interrupted(where: Path, seed: int) -> None:
    """A run that has begun to learn and was killed."""
    write_json(where / "out" / "run.json", {**ASKED, "seed": seed + 1})
    write_bytes(where / "out" / "history.csv", b"epoch\n1\n")
    write_bytes(where / "out" / ".0123456789abcdef.latentseq.tmp", b"half")


def _checkpoint(where: Path, seed: int) -> None:
    Checkpoints(where / "out", "main").save(_tensors(seed), seed, {"step": seed})


def _checkpoint_again(where: Path, seed: int) -> None:
    """Twice after the same step, as where a run ends that has just saved."""
    Checkpoints(where / "out", "main").save(_tensors(seed), 1, {"step": seed})


def _checkpoint_damaged(where: Path, seed: int) -> None:
    """The newest is damaged: the one before is put in its place, and the next is saved."""
    folder = where / "out"
    for step in (seed - 2, seed - 1):
        Checkpoints(folder, "main").save(_tensors(step), step, {"step": step})
    path = folder / f"main-{seed - 1:08d}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _checkpoint_after_damage(where: Path, seed: int) -> None:
    checkpoints = Checkpoints(where / "out", "main")
    checkpoints.load()
    checkpoints.save(_tensors(seed), seed, {"step": seed})


def _ledger(where: Path, seed: int) -> None:
    ledger = Ledger(where / "out" / "unfinished.json", ASKED)
    digest = write_bytes(where / "out" / "shard-00001.h5", _content(seed))
    ledger.add({"file": "shard-00001.h5", "sha256": digest, "rows": 1})


def _rows(seed: int, clips: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (3, 4, 4, 1), np.uint8) for _ in range(clips)]


def _shards(where: Path, seed: int, clips: int = 3) -> None:
    writer = ShardWriter(where / "out", {"data": str(seed)})
    for rows in _rows(seed, clips):
        if not writer.skip(len(rows)):
            writer.add({"frames": rows})
            writer._flush()
        writer.end_clip(len(rows))
    writer.close(format=FORMAT)


def _more_shards(where: Path, seed: int) -> None:
    """Shards of other work, of which some are too many."""
    _shards(where, seed, clips=4)
    (where / "out" / MANIFEST).unlink()


def _nothing(where: Path, seed: int) -> None:
    pass


PROTOCOLS: dict[str, tuple[Work, Work]] = {
    "a file": (_nothing, _one_file),
    "a file again": (_one_file, _one_file),
    "an output": (_nothing, _output),
    "an output over another": (_output, _output),
    "an output that goes on": (_nothing, _output_goes_on),
    "an output that goes on over another": (_output, _output_goes_on),
    "a run": (_nothing, _run),
    "a run over another": (_run, _run),
    "a run over an interrupted one": (_run_interrupted, _run),
    "a run resumed": (_run_interrupted, _run_resumed),
    "the first checkpoint": (_nothing, _checkpoint),
    "the next checkpoint": (_checkpoint, _checkpoint),
    "a checkpoint of the same step": (_checkpoint_again, _checkpoint_again),
    "a checkpoint after a damaged one": (_checkpoint_damaged, _checkpoint_after_damage),
    "a ledger": (_ledger, _ledger),
    "shards": (_nothing, _shards),
    "shards over others": (_more_shards, _shards),
}


def planted(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """Kill before every step of one protocol."""
    name, seed = list(PROTOCOLS)[number // SEEDS], 10 + 100 * (number % SEEDS)
    before, work = PROTOCOLS[name]

    def prepared(folder: Path) -> Path:
        folder.mkdir()
        # What is replaced has another seed; an interrupted run that goes on was asked for the same.
        before(folder, seed - 1 if before not in (_checkpoint_damaged, _more_shards) else seed)
        return folder

    whole = prepared(where / "whole")
    total = child(lambda: _done(work, whole, seed), whole, Fault(ops=CHANGES)).steps
    old, new = prepared(where / "old"), whole
    expect(total >= 4, f"{name} has {total} steps")
    for at in range(1, total + 1):
        here = prepared(where / str(at))
        outcome = child(lambda here=here: _done(work, here, seed), here, Fault(at=at, ops=CHANGES))  # type: ignore[misc]
        expect(outcome.code == -9, f"{name} before step {at}", outcome)
        told = f"{name}, killed before step {at} ({outcome.met})"
        _check_state(name, here, old, new, seed, told)
        _done(work, here, seed)  # The next command brings order.
        sweep(here)  # As every command does in its folder.
        if "checkpoint" in name:
            saved, files = Checkpoints(here / "out", "main").load(), list((here / "out").glob("*.safetensors"))
            right = saved is not None and np.array_equal(saved.tensors["w"], _tensors(seed)["w"])
            expect(right and len(files) <= 2, f"{told}: the next command made {saved} and {len(files)} files")
        else:
            expect(_visible(here / "out") == _visible(new / "out"), f"{told}: the next command made something else")
        left = [each for each in leftovers(here / "out") if name != "a ledger" or "/unfinished.json" not in each]
        expect(not left, f"{told}: the next command left {left}")
    return total


def _done(work: Work, where: Path, seed: int) -> int:
    work(where, seed)
    return 0


def _visible(path: Path) -> dict[str, bytes | None]:
    found = tree(path) if path.exists() else {}
    return {k: v for k, v in found.items() if not Path(k).name.startswith(".") and "before" not in k}


def _check_state(name: str, here: Path, old: Path, new: Path, seed: int, told: str) -> None:
    """Fail where what a reader finds is neither the old state nor the new one."""
    out = here / "out"
    if "checkpoint" in name:
        saved = Checkpoints(out, "main").load()
        steps = {seed} | ({seed - 1} if "next" in name or "same" in name else set())
        steps |= {seed - 2} if "damaged" in name else set()
        expect(saved is not None or name.startswith("the first"), f"{told}: there is no checkpoint")
        if saved is not None:
            expect(saved.progress["step"] in steps, f"{told}: it is of step {saved.progress['step']}")
            right = _tensors(saved.progress["step"])["w"]
            expect(np.array_equal(saved.tensors["w"], right), f"{told}: its tensors are others")
    elif name == "a ledger":
        known = Ledger(out / "unfinished.json", ASKED).intact("shard-00001.h5")
        whole = [_content(seed - 1), _content(seed)]
        expect((out / "shard-00001.h5").read_bytes() in whole, f"{told}: half a shard")
        expect(known is None or known["file"] == "shard-00001.h5", told)
    elif "shards" in name:
        if (out / MANIFEST).exists():
            reader = ShardReader(out, FORMAT)
            right = np.concatenate(_rows(seed, 3))
            expect(np.array_equal(reader.rows(0, 9)["frames"], right), f"{told}: other rows")
    elif name.startswith("a run"):
        aside = here / ".out.latentseq" / "old"
        found = [_visible(each) for each in (out, aside) if each.exists()]
        finished = [each for each in found if "marker.json" in each]
        if name == "a run over another":
            ends = [_visible(old / "out"), _visible(new / "out")]
            expect(any(each in ends for each in finished), f"{told}: no finished run is left")
        expect(out.exists() or aside.exists() or name == "a run", f"{told}: nothing is left")
        expect(not out.exists() or (out / "run.json").is_file(), f"{told}: a run that does not say what it is")
    else:
        states = [_visible(old / "out"), _visible(new / "out")]
        aside = _visible(here / ".out.latentseq" / "old") if (here / ".out.latentseq" / "old").exists() else {}
        expect(_visible(out) in states or (not out.exists() and aside == states[0]), f"{told}: neither old nor new")
