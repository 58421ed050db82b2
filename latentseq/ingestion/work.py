"""Doing tasks: decode pictures, look for cuts or draw crops, and write one shard for each."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latentseq.data.crops import draw
from latentseq.errors import DataError
from latentseq.ingestion.plan import Part, Plan, Source, Task, stretches, with_quotas
from latentseq.media import audio, cuts
from latentseq.media.discovery import told
from latentseq.media.footage import Footage, unread_now
from latentseq.storage.hdf5 import stored_arrays
from latentseq.storage.ledger import Ledger
from latentseq.storage.reading import Fields
from latentseq.storage.shards import ABOUT, read_about, write_shard

TOLD_EVERY = 64
"""Rows between two words of progress."""
PATIENCE = 10
"""Crops that a stretch may fail to give before it is given up, beside four for each one that it gives."""


class Shard(NamedTuple):
    """A shard that is there.

    Attributes:
        file: its name.
        sha256: of the file.
        parts: what each part of its task came to: ``rows``; ``cuts``, the pictures that start a scene; ``crops``,
            the first row of each; ``error``, why there are none, with the source's digest for its name.
    """

    file: str
    sha256: str
    parts: list[dict[str, Any]]


class Stopped(Exception):
    """The work was called off."""


class Worker:
    """Does tasks in one thread; a task whose shard is there already is not done again.

    But one that found damage is: the trouble may have been the disk's, and over by now.
    """

    def __init__(self, plan: Plan, ledger: Ledger, told: Callable[[int], None], stop: threading.Event):
        """Prepare.

        Args:
            plan: whose tasks they are.
            ledger: of the shards that are there; new ones go beside it.
            told: called with the number of rows read since the last call.
            stop: once set, work ends with ``Stopped``.
        """
        self._plan, self._ledger, self._told, self._stop = plan, ledger, told, stop
        self._open: tuple[int, Footage] | None = None

    def do(self, tasks: Sequence[Task]) -> list[Shard]:
        """Make the shards of tasks, in order.

        Raises:
            Stopped: it was called off.
            TryAgainError: the disk is full.
        """
        done = []
        try:
            for task in tasks:
                self._go_on()
                done.append(self._there(task) or self._made(task))
            return done
        finally:
            self._close()

    def _there(self, task: Task) -> Shard | None:
        path, known = self._ledger.folder / task.name, self._ledger.intact(task.name)
        if known is None:
            return None
        try:
            parts = _parts_of(path, task)
        except DataError:
            return None
        if any("error" in about for about in parts):
            return None
        self._told(sum(part.stop - part.start for part in task.parts))
        return Shard(task.name, known["sha256"], parts)

    def _made(self, task: Task) -> Shard:
        pieces: list[dict[str, np.ndarray]] = []
        parts: list[dict[str, Any]] = []
        for number, part in enumerate(task.parts):
            arrays, about = self._part(part, f"{task.name} {number}")
            pieces.append(arrays)
            parts.append({"rows": len(arrays["frames"]), **about})
        joined = pieces[0] if len(pieces) == 1 else {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}
        digest = write_shard(self._ledger.folder / task.name, joined, {"parts": parts})
        self._ledger.add({"file": task.name, "sha256": digest})
        return Shard(task.name, digest, parts)

    def _part(self, part: Part, chance: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays of a part, and what it came to; ``chance`` is what its crops are drawn by."""
        source = self._plan.sources[part.source]
        try:
            frames, found = self._decoded(source, self._footage(part.source), part)
            times = source.rows.times[part.start : part.stop]
            arrays = {"frames": frames, "times": times, **self._sound(source, part)}
            return self._drawn(arrays, part, chance) if self._plan.recipe.crop else (arrays, {"cuts": found})
        except (Stopped, MemoryError):
            raise
        except Exception as error:  # One strange file must not keep the others from being taken.
            if later := unread_now(source.footage.path, error):
                raise later from error
            return self._nothing(), {"error": told(error, source.footage.path, source.digest)}

    def _decoded(self, source: Source, footage: Footage, part: Part) -> tuple[np.ndarray, list[int]]:
        """The frames of a part, and where scenes start in it."""
        numbers = source.rows.numbers[part.start : part.stop]
        frames = np.empty((len(numbers), *source.preprocessing.frame_shape), np.uint8)
        if not self._plan.recipe.options.cuts:
            for row, picture in enumerate(footage.walk(numbers)):
                frames[row] = picture.frame(source.preprocessing)
                self._tick(row, len(numbers))
            return frames, []
        first = int(numbers[0]) if part.start else 0
        last = len(footage.times) if part.stop == len(source.rows.numbers) else int(source.rows.numbers[part.stop])
        seen = range(max(0, first - cuts.BEFORE), min(len(footage.times), last + cuts.AFTER))
        small = cuts.looked_at(footage.size)

        def pictures() -> Iterator[np.ndarray]:
            row = 0
            for number, picture in zip(seen, footage.walk(np.array(seen)), strict=True):
                while row < len(numbers) and numbers[row] == number:
                    frames[row] = picture.frame(source.preprocessing)
                    self._tick(row, len(numbers))
                    row += 1
                yield picture.frame(small)

        return frames, cuts.find_cuts(pictures(), seen.start, first, last)

    def _sound(self, source: Source, part: Part) -> dict[str, np.ndarray]:
        """The side streams of a part."""
        kind, count = self._plan.recipe.options.audio, part.stop - part.start
        if kind == "none":
            return {}
        if not source.footage.sound:
            return {name: np.zeros((count, width), np.float32) for name, width in self._plan.streams.items()}
        times = source.rows.times[part.start : part.stop + 1]
        features, mask = audio.rows(source.footage.path, times, kind, self._plan.fps)
        return {"audio": features, "audio_mask": mask}

    def _drawn(
        self, arrays: dict[str, np.ndarray], part: Part, chance: str
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Crops of a part, and the rows of it that they start at; fewer than its quota where too little moves."""
        recipe = self._plan.recipe
        crop = recipe.crop
        assert crop is not None
        seed = hashlib.sha256(chance.encode()).digest()
        random = np.random.default_rng([recipe.options.seed, *np.frombuffer(seed, np.uint32)])
        drawn: list[tuple[int, np.ndarray]] = []
        free = int(random.binomial(part.quota, crop.still))  # So many need not move.
        failed, patience = 0, min(part.quota, PATIENCE)
        while len(drawn) < part.quota and failed < patience + 4 * max(0, len(drawn) - free):
            self._go_on()
            each = draw(arrays["frames"], replace(crop, still=float(len(drawn) < free)), random)
            if each:
                drawn.append(each)
            else:
                failed += 1
        if not drawn:
            return self._nothing(), {"crops": []}
        rows = np.concatenate([np.arange(t, t + crop.length) for t, _ in drawn])
        streams = {name: array[rows] for name, array in arrays.items() if name != "frames"}
        frames = np.concatenate([frames for _, frames in drawn])
        return {"frames": frames, **streams}, {"crops": [part.start + t for t, _ in drawn]}

    def _nothing(self) -> dict[str, np.ndarray]:
        """No rows of each array."""
        streams = {name: np.zeros((0, width), np.float32) for name, width in self._plan.streams.items()}
        return {"frames": np.zeros((0, *self._plan.frame_shape), np.uint8), "times": np.zeros(0), **streams}

    def _footage(self, source: int) -> Footage:
        """The footage of a source, for this thread alone; the one before it is closed."""
        if self._open is None or self._open[0] != source:
            self._close()
            self._open = (source, self._plan.sources[source].footage.another())
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
        self._open = None

    def _tick(self, row: int, rows: int) -> None:
        if row % TOLD_EVERY == TOLD_EVERY - 1 or row == rows - 1:
            self._told(row % TOLD_EVERY + 1)
        self._go_on()

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _parts_of(path: Path, task: Task) -> list[dict[str, Any]]:
    """What a shard says that its parts came to, if that can be."""
    about = Fields(read_about(path), path)
    parts = about.many("parts")
    if len(parts) != len(task.parts):
        about.refuse("parts", parts, f"a list of {len(task.parts)}")
    rows = 0
    for number, part in enumerate(parts):
        each = Fields(part, path, f"parts[{number}]")
        rows += each.whole("rows", 0, 1 << 40)
        for key in ("cuts", "crops"):
            if key in part and not all(type(value) is int and value >= 0 for value in each.many(key)):
                each.refuse(key, part[key], "numbers of pictures")
    if any(array.shape[0] != rows for name, array in stored_arrays(path).items() if name != ABOUT):
        about.refuse("parts", parts, "as many rows as are there")
    return parts


def still_missing(plan: Plan, done: list[tuple[Task, Shard]]) -> list[Part]:
    """The parts to draw more crops from, with their quotas, where others did not move enough; empty when done.

    Every round gives all that it is asked for, or finds parts that are not asked again: there is a last one.
    """
    found = [pair for task, shard in done for pair in zip(task.parts, shard.parts, strict=True)]
    damaged = {part.source for part, about in found if "error" in about}
    crops = [(part, len(about["crops"])) for part, about in found if part.source not in damaged]
    missing = plan.recipe.options.count - sum(count for _, count in crops)
    given_up = {part._replace(quota=0) for part, count in crops if count < part.quota}
    left = [part for part in stretches(plan) if part.source not in damaged and part not in given_up]
    return with_quotas(left, missing) if left and missing else []
