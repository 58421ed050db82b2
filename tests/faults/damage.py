"""Bits that flip and files that lose their end: seen before anything of them is used, or made again."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import CHANGES, Fault, Outcome, expect, tree
from stock import Stock

from latentseq.errors import DataError
from latentseq.training.checkpoint import Checkpoints

Random = np.random.Generator


def damage(path: Path, random: Random) -> str:
    """Flip a bit of a file, or cut it; what was done, in words. The newline at the end of JSON says nothing."""
    data = bytearray(path.read_bytes())
    whole = len(data) - (path.suffix == ".json")
    if random.integers(3) == 0:
        size = int(random.integers(0, whole))
        path.write_bytes(data[:size])
        return f"{path.name} cut to {size} of {len(data)} bytes"
    place, bit = int(random.integers(0, whole)), int(random.integers(0, 8))
    data[place] ^= 1 << bit
    path.write_bytes(data)
    return f"bit {bit} of byte {place} of {path.name} flipped ({bytes(data[max(0, place - 20) : place + 20])!r})"


def _refused(outcome: Outcome, told: str, out: Path) -> None:
    expect(outcome.code == 65, f"{told} is not refused", outcome)
    expect(outcome.err.splitlines()[-1].startswith("error: ") and not outcome.out, told, outcome)
    expect(not out.exists(), f"{told}: there is an output")


def _copied(source: Path, where: Path) -> Path:
    return Path(shutil.copytree(source, where / f"copy-{source.parent.name}"))


def _some(folder: Path, pattern: str, random: Random) -> Path:
    files = sorted(folder.glob(pattern))
    return files[int(random.integers(len(files)))]


def _read(stock: Stock, where: Path, name: str, source: Path, pattern: str, random: Random) -> None:
    """A command that reads a damaged input refuses it."""
    copy = _copied(source, where)
    told = f"{name} of {damage(_some(copy, pattern, random), random)}"
    made = stock.recipe(name)
    swapped = [copy if each == source else each for each in made.before]
    if source == stock.z:
        swapped = [copy if each == stock.clips else each for each in made.before]
    stock_recipe = made._replace(before=tuple(swapped))
    out = where / f"out{made.suffix}"
    _refused(stock.run_recipe(stock_recipe, out), told, out)


def clips_shard(stock: Stock, where: Path, random: Random) -> None:
    """Clips that are encoded."""
    _read(stock, where, "encode", stock.clips, "*.h5", random)


def clips_manifest(stock: Stock, where: Path, random: Random) -> None:
    """The manifest of clips that are encoded."""
    _read(stock, where, "encode", stock.clips, "manifest.json", random)


def latents_shard(stock: Stock, where: Path, random: Random) -> None:
    """Latents that dynamics are trained on."""
    _read(stock, where, "train-lstm", stock.z, "*.h5", random)


def latents_manifest(stock: Stock, where: Path, random: Random) -> None:
    """The manifest of those."""
    _read(stock, where, "train-lstm", stock.z, "manifest.json", random)


def artifact(stock: Stock, where: Path, random: Random) -> None:
    """What an encoder says of itself."""
    _read(stock, where, "encode", stock.ae, "artifact.json", random)


def state(stock: Stock, where: Path, random: Random) -> None:
    """What an encoder has learned."""
    _read(stock, where, "encode", stock.ae, "*.npy", random)


def state_of_a_model(stock: Stock, where: Path, random: Random) -> None:
    """What dynamics or their encoder have learned, or say of themselves."""
    _read(stock, where, "sample", stock.lstm, ("*.npy", "encoder/*")[int(random.integers(2))], random)


def clips_again(stock: Stock, where: Path, random: Random) -> None:
    """Clips that are made already: the same command makes the shard again."""
    out = where / "out"
    shutil.copytree(stock.clips, out)
    told = damage(_some(out, "*.h5", random), random)
    outcome = stock.run("ingest", out)
    expect(outcome.code == 0, f"ingest after {told}", outcome)
    stock.check("ingest", out)


def _interrupted(stock: Stock, where: Path, name: str, patterns: tuple[str, ...], random: Random) -> None:
    """A command that was killed, and what it left was damaged: it goes on to the same bytes."""
    out = where / "out"
    total = stock.steps(name, Fault(ops=CHANGES))
    for share in (0.9, 0.7, 0.5):
        outcome = stock.run(name, out, Fault(at=int(total * share), ops=CHANGES))
        expect(outcome.code == -9, f"{name} was not killed", outcome)
        files = sorted(path for pattern in patterns for path in where.rglob(pattern))
        if files:
            break
        shutil.rmtree(out, ignore_errors=True)
    expect(bool(files), f"{name} left nothing of {patterns}: {sorted(tree(where))}")
    told = damage(files[int(random.integers(len(files)))], random)
    outcome = stock.run(name, out)
    if outcome.code in (2, 65) and "run.json" in told:  # It is of another run, as it seems.
        return
    expect(outcome.code == 0, f"{name} after {told}", outcome)
    stock.check(name, out)


def encode_goes_on(stock: Stock, where: Path, random: Random) -> None:
    """Latents that were begun."""
    _interrupted(stock, where, "encode", ("shard-*.h5", "unfinished.json"), random)


def ingest_goes_on(stock: Stock, where: Path, random: Random) -> None:
    """Clips that were begun."""
    _interrupted(stock, where, "ingest4", ("shard-*.h5",), random)


def cache_goes_on(stock: Stock, where: Path, random: Random) -> None:
    """The latents that a training has made for itself."""
    _interrupted(stock, where, "train-lstm", ("cache/*.h5", "cache/manifest.json"), random)


def asked_goes_on(stock: Stock, where: Path, random: Random) -> None:
    """What a training was asked for."""
    _interrupted(stock, where, "train-lstm", ("run.json",), random)


def checkpoint(stock: Stock, where: Path, random: Random) -> None:
    """The newest checkpoint, or its pointer: the one before it is used."""
    checkpoints, arrays = Checkpoints(where, "main"), {}
    for step in (1, 2, 3):
        arrays[step] = random.normal(size=200)
        checkpoints.save({"w": arrays[step]}, step, {"step": step})
    told = damage(where / ("main-00000003.safetensors", "main.json")[int(random.integers(2))], random)
    saved = checkpoints.load()
    expect(saved is not None and saved.progress == {"step": 2}, f"{told}: {saved}")
    expect(saved is not None and saved.damaged and np.array_equal(saved.tensors["w"], arrays[2]), told)


def checkpoints_both(stock: Stock, where: Path, random: Random) -> None:
    """Both checkpoints: nothing is made up."""
    checkpoints = Checkpoints(where, "main")
    for step in (1, 2):
        checkpoints.save({"w": random.normal(size=200)}, step, {"step": step})
    told = [damage(path, random) for path in sorted(where.glob("*.safetensors"))]
    try:
        found = checkpoints.load()
    except DataError:
        return
    expect(False, f"{told}: {found}")


PLACES: tuple[Callable[[Stock, Path, Random], None], ...] = (
    clips_shard,
    clips_manifest,
    latents_shard,
    latents_manifest,
    artifact,
    state,
    state_of_a_model,
    clips_again,
    encode_goes_on,
    ingest_goes_on,
    cache_goes_on,
    asked_goes_on,
    checkpoint,
    checkpoints_both,
)


def damaged(stock: Stock, where: Path, number: int, random: Random) -> int:
    """One bit or one cut in one file."""
    PLACES[number % len(PLACES)](stock, where, random)
    return 1


def damaged_training(stock: Stock, where: Path, number: int, random: Random) -> int:
    """A training of networks that was killed, and a checkpoint of it damaged; or the weights of a finished one."""
    if number % 3 == 2:
        _read(stock, where, "lstm", stock.vae, ("weights.safetensors", "artifact.json")[number // 3 % 2], random)
    else:
        pattern = ("main.json", "main-*.safetensors")[number // 3 % 2]
        _interrupted(stock, where, ("vae", "lstm")[number % 3], (f"checkpoints/{pattern}",), random)
    return 1
