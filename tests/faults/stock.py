"""What every case is made from: footage, clips, trained models, and what each command gives undisturbed."""

import csv
import io
import sys
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import NEVER, Fault, Outcome, command, expect, tree

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
TRUST = tuple(f"--allow-plugin={name}" for name in ("honest-encoder", "honest-dynamics", "fragile", "nan-encoder"))
SMALL = {
    "latentseq.storage.frames:CHUNK": 24,
    "latentseq.storage.latents:CHUNK": 24,
    "latentseq.storage.shards:SHARD_BYTES": 1500,
    "latentseq.ingestion.plan:SHARD_BYTES": 12 * 16 * 16 * 3,
    "latentseq.ingestion.plan:STRETCH_BYTES": 12 * 16 * 16 * 3,
    # Drawing takes longer than such a training, and has tests of its own.
    "latentseq.commands.train_ae:reconstructions": lambda *_: b"drawn",
    "latentseq.commands.train_lstm:rollouts": lambda *_: b"drawn",
}
"""Several shards and chunks of little data."""
OFTEN = {"latentseq.training.stage:CHECKPOINT_EVERY": 0.0, "latentseq.training.stage:CHECKPOINT_SHARE": float("inf")}
"""A checkpoint after every step."""
SQUARES = ("moving-squares", *(f"--data-set={each}" for each in ("count=24", "length=12", "size=16")))
VAE = ("--encoder=vae", "--set=latent_dim=4", "--set=widths=[4,8]", "--steps=20", "--batch-size=16")
LSTM = ("--dynamics=lstm", "--set=units=8", "--set=layers=1", "--set=dropout=0.2", "--length=6", "--steps=20")


class Recipe(NamedTuple):
    """A command: what comes before its output, what after it, and whether it goes on by ``--resume``."""

    before: tuple[object, ...]
    after: tuple[object, ...] = ()
    trains: bool = False
    suffix: str = ""


class Stock:
    """Of one worker; made when it is asked for, by children like those of the cases."""

    def __init__(self, folder: Path):
        """Register the plugins of the tests.

        Args:
            folder: an empty one.
        """
        self.folder = folder
        info = folder / "site" / "honest-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: honest\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[latentseq.encoders]\nhonest-encoder = honest_plugins:HonestEncoder\nfragile = fragile:Fragile\n"
            "nan-encoder = nan_encoder:NanEncoder\n[latentseq.dynamics]\n"
            "honest-dynamics = honest_plugins:HonestDynamics\n"
        )
        sys.path[:0] = [str(folder / "site"), str(TESTS / "library"), str(TESTS / "faults")]

    def recipe(self, name: str) -> Recipe:
        """A command by name."""
        steps = ("--steps=2", "--batch-size=32")
        recipes = {
            "encode": lambda: Recipe(("encode", self.clips, self.ae), TRUST),
            "ingest": lambda: Recipe(("ingest", self.films), ("--workers=1", "--size=16", "--clip-length=9")),
            "ingest4": lambda: Recipe(("ingest", self.films), ("--workers=4", "--size=16", "--clip-length=9")),
            "export": lambda: Recipe(("export", self.clips), ("--format=npy",)),
            "pictures": lambda: Recipe(("export", self.clips), ("--format=png",)),
            "sample": lambda: Recipe(
                ("sample", self.lstm, self.clips), ("--prime=4", "--steps=20", "--samples=2", *TRUST), suffix=".npz"
            ),
            "train-ae": lambda: Recipe(("train-ae", self.clips), ("--encoder=honest-encoder", *steps), True),
            "train-lstm": lambda: Recipe(
                ("train-lstm", self.clips, self.ae),
                ("--dynamics=honest-dynamics", "--length=6", *steps, *TRUST),
                True,
            ),
            "vae": lambda: Recipe(("train-ae", *SQUARES), VAE, True),
            "lstm": lambda: Recipe(("train-lstm", *SQUARES, self.vae), LSTM, True),
        }
        return recipes[name]()

    def run(
        self, name: str, out: Path, fault: Fault = NEVER, *extra: str, root: Path | None = None, **keywords: Any
    ) -> Outcome:
        """A command by name, in a child; a training goes on where it was."""
        return self.run_recipe(self.recipe(name), self.place(name, out), fault, *extra, root=root, **keywords)

    def run_recipe(
        self,
        made: Recipe,
        out: Path,
        fault: Fault = NEVER,
        *extra: str,
        root: Path | None = None,
        **keywords: Any,
    ) -> Outcome:
        """A command, in a child; ``out`` has its suffix."""
        resume = ("--resume",) if made.trains and "--overwrite" not in extra else ()
        settings = {**SMALL, **(OFTEN if made.trains else {}), **keywords.pop("settings", {})}
        arguments = (*made.before, out, *made.after, *resume, *extra)
        return command(arguments, root or out.parent, fault, settings=settings, **keywords)

    def place(self, name: str, out: Path) -> Path:
        """The output, with the suffix that it has to have."""
        return out.with_name(out.name + self.recipe(name).suffix)

    @cache  # noqa: B019  # It lives as long as its worker.
    def undisturbed(self, name: str) -> dict[str, bytes | None]:
        """What a command gives."""
        out = self.folder / f"undisturbed-{name}" / "out"
        out.parent.mkdir()
        outcome = self.run(name, out)
        expect(outcome.code == 0, f"{name}, undisturbed", outcome)
        return self.result(name, out)

    @cache  # noqa: B019
    def steps(self, name: str, fault: Fault) -> int:
        """How many steps of a kind a command has, undisturbed."""
        out = self.folder / f"steps-{name}-{abs(hash(fault))}" / "out"
        out.parent.mkdir()
        return self.run(name, out, fault._replace(at=0)).steps

    def result(self, name: str, out: Path) -> dict[str, bytes | None]:
        """All that has to be the same: of a training what it has learned and how, of anything else all of it."""
        out = self.place(name, out)
        expect(not leftovers(out), f"{name} left {leftovers(out)}")
        found = tree(out)
        if self.recipe(name).trains:
            # A cost is in seconds of this very run.
            found = {
                k: v for k, v in found.items() if not k.startswith(("previews", "cache", "run.json", "cost.json"))
            }
            if "history.csv" in found:
                found["history.csv"] = _without_seconds(found["history.csv"] or b"")
        return found

    def check(self, name: str, out: Path) -> None:
        """Fail where a result is not as that of the undisturbed command."""
        found, wanted = self.result(name, out), self.undisturbed(name)
        odd = sorted(k for k in {*found, *wanted} if found.get(k, b"-") != wanted.get(k, b"-"))
        expect(not odd, f"{name}: {', '.join(odd[:4])} is not as it is undisturbed")

    @property
    def films(self) -> Path:
        """Arrays, pictures and a video of noise and moving squares."""
        return self._films()

    @cache  # noqa: B019
    def _films(self) -> Path:
        from ingesting import write_array, write_film, write_images

        films, random = self.folder / "films", np.random.default_rng(0)
        for i, length in enumerate((40, 31, 25)):
            write_array(films / f"{i}.npy", random.integers(0, 256, (length, 16, 16, 3), np.uint8))
        write_images(films / "shots", random.integers(0, 256, (30, 16, 16), np.uint8))
        write_film(films / "film.mp4", random.integers(0, 256, (50, 32, 32, 3), np.uint8), keyframes=10)
        return films

    @property
    def clips(self) -> Path:
        """A folder of clips of the films."""
        return self._made("ingest")

    @property
    def ae(self) -> Path:
        """A trained encoder, of NumPy."""
        return self._made("train-ae")

    @property
    def z(self) -> Path:
        """Latents of the clips."""
        return self._made("encode")

    @property
    def lstm(self) -> Path:
        """Trained dynamics, of NumPy."""
        return self._made("train-lstm")

    @property
    def vae(self) -> Path:
        """A trained encoder, of Keras."""
        return self._made("vae")

    def _made(self, name: str) -> Path:
        self.undisturbed(name)
        return self.folder / f"undisturbed-{name}" / "out"


def leftovers(out: Path) -> list[str]:
    """Hidden files beside an output and in it, and those of work that is not finished."""
    beside = [p for p in out.parent.glob(".*") if out.name in p.name]
    inside = [p for p in out.rglob("*") if p.name[0] == "." or p.name in ("unfinished.json", "ingest.json")]
    inside = [p for p in inside if "cache" not in p.parts]
    return sorted(str(p.relative_to(out.parent)) for p in [*beside, *inside, *out.glob("checkpoints*")])


def _without_seconds(data: bytes) -> bytes:
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(io.StringIO(data.decode()))]
    return repr(rows).encode()
