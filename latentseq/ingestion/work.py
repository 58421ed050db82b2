"""Does the tasks of an ingestion: decodes pictures, finds cuts or draws crops, and writes one shard per task."""

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

PROGRESS_ROWS = 64
"""Number of rows between two reports of progress."""
PATIENCE = 10
"""Number of attempts without a crop after which a part is given up, plus four for each crop that it gave."""


class Shard(NamedTuple):
    """A complete shard.

    Attributes:
        file: name of the file.
        sha256: SHA-256 of the file.
        parts: result of each part of its task: ``rows``, the number of rows; ``cuts``, the pictures that start a
            scene; ``crops``, the first row of each crop; ``error``, why there are no rows, with the digest of the
            source in place of its name.
    """

    file: str
    sha256: str
    parts: list[dict[str, Any]]


class Stopped(Exception):
    """The work was stopped."""


class Worker:
    """Does tasks in one thread. A task whose shard is complete is not done again.

    A task that found damage is done again, because the reason may have been the disk.
    """

    def __init__(self, plan: Plan, ledger: Ledger, report: Callable[[int], None], stop: threading.Event):
        """Prepare the work.

        Args:
            plan: the plan of the tasks.
            ledger: list of the complete shards. New shards are written into its folder.
            report: called with the number of rows that were read since the last call.
            stop: once set, the work ends with ``Stopped``.
        """
        self._plan = plan
        self._ledger = ledger
        self._report = report
        self._stop = stop
        self._open: tuple[int, Footage] | None = None

    def do(self, tasks: Sequence[Task]) -> list[Shard]:
        """Do tasks in order, and return their shards.

        Raises:
            Stopped: the work was stopped.
            TryAgainError: the disk is full.
        """
        shards = []
        try:
            for task in tasks:
                self._check_stop()
                shards.append(self._read_shard(task) or self._write_shard(task))
            return shards
        finally:
            self._close()

    def _read_shard(self, task: Task) -> Shard | None:
        """The complete shard of a task; None if the task has to be done."""
        path, entry = self._ledger.folder / task.name, self._ledger.intact(task.name)
        if entry is None:
            return None
        try:
            parts = _parts_of(path, task)
        except DataError:
            return None
        if any("error" in about for about in parts):
            return None
        self._report(sum(part.stop - part.start for part in task.parts))
        return Shard(task.name, entry["sha256"], parts)

    def _write_shard(self, task: Task) -> Shard:
        """Do a task, and write its shard."""
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

    def _part(self, part: Part, seed: str) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The arrays and the result of a part. Its crops are drawn by ``seed``."""
        source = self._plan.sources[part.source]
        try:
            frames, scene_starts = self._decode(source, self._footage(part.source), part)
            times = source.rows.times[part.start : part.stop]
            arrays = {"frames": frames, "times": times, **self._sound(source, part)}
            return self._draw(arrays, part, seed) if self._plan.recipe.crop else (arrays, {"cuts": scene_starts})
        except (Stopped, MemoryError):
            raise
        except Exception as error:  # One broken file must not stop the others.
            if later := unread_now(source.footage.path, error):
                raise later from error
            return self._no_rows(), {"error": told(error, source.footage.path, source.digest)}

    def _decode(self, source: Source, footage: Footage, part: Part) -> tuple[np.ndarray, list[int]]:
        """The frames of a part, and the pictures in it that start a scene."""
        numbers = source.rows.numbers[part.start : part.stop]
        frames = np.empty((len(numbers), *source.preprocessing.frame_shape), np.uint8)
        if not self._plan.recipe.options.cuts:
            for row, picture in enumerate(footage.walk(numbers)):
                frames[row] = picture.frame(source.preprocessing)
                self._tick(row, len(numbers))
            return frames, []
        first = int(numbers[0]) if part.start else 0
        last = len(footage.times) if part.stop == len(source.rows.numbers) else int(source.rows.numbers[part.stop])
        window = range(max(0, first - cuts.BEFORE), min(len(footage.times), last + cuts.AFTER))
        small = cuts.looked_at(footage.size)

        def pictures() -> Iterator[np.ndarray]:
            row = 0
            for number, picture in zip(window, footage.walk(np.array(window)), strict=True):
                while row < len(numbers) and numbers[row] == number:
                    frames[row] = picture.frame(source.preprocessing)
                    self._tick(row, len(numbers))
                    row += 1
                yield picture.frame(small)

        return frames, cuts.find_cuts(pictures(), window.start, first, last)

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

    def _draw(
        self, arrays: dict[str, np.ndarray], part: Part, seed: str
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The crops of a part, and the rows at which they start; fewer than its quota if too little moves."""
        recipe = self._plan.recipe
        crop = recipe.crop
        assert crop is not None
        digest = hashlib.sha256(seed.encode()).digest()
        random = np.random.default_rng([recipe.options.seed, *np.frombuffer(digest, np.uint32)])
        crops: list[tuple[int, np.ndarray]] = []
        still = int(random.binomial(part.quota, crop.still))  # The number of crops that need no motion.
        failures, patience = 0, min(part.quota, PATIENCE)
        while len(crops) < part.quota and failures < patience + 4 * max(0, len(crops) - still):
            self._check_stop()
            each = draw(arrays["frames"], replace(crop, still=float(len(crops) < still)), random)
            if each:
                crops.append(each)
            else:
                failures += 1
        if not crops:
            return self._no_rows(), {"crops": []}
        rows = np.concatenate([np.arange(t, t + crop.length) for t, _ in crops])
        streams = {name: array[rows] for name, array in arrays.items() if name != "frames"}
        frames = np.concatenate([frames for _, frames in crops])
        return {"frames": frames, **streams}, {"crops": [part.start + t for t, _ in crops]}

    def _no_rows(self) -> dict[str, np.ndarray]:
        """Arrays without rows."""
        streams = {name: np.zeros((0, width), np.float32) for name, width in self._plan.streams.items()}
        return {"frames": np.zeros((0, *self._plan.frame_shape), np.uint8), "times": np.zeros(0), **streams}

    def _footage(self, source: int) -> Footage:
        """The footage of a source, for this thread only. The footage before it is closed."""
        if self._open is None or self._open[0] != source:
            self._close()
            self._open = (source, self._plan.sources[source].footage.another())
        return self._open[1]

    def _close(self) -> None:
        if self._open is not None:
            self._open[1].close()
        self._open = None

    def _tick(self, row: int, rows: int) -> None:
        if row % PROGRESS_ROWS == PROGRESS_ROWS - 1 or row == rows - 1:
            self._report(row % PROGRESS_ROWS + 1)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise Stopped


def _parts_of(path: Path, task: Task) -> list[dict[str, Any]]:
    """Read the results of a task's parts from its shard.

    Raises:
        DataError: the shard is damaged, or does not fit the task.
    """
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
        about.refuse("parts", parts, "the number of rows in the shard")
    return parts


def still_missing(plan: Plan, results: list[tuple[Task, Shard]]) -> list[Part]:
    """The parts to draw more crops from, with their quotas, because others did not move enough; empty at the end.

    Each round draws all missing crops, or finds parts that are exhausted. So there is a last round.
    """
    pairs = [pair for task, shard in results for pair in zip(task.parts, shard.parts, strict=True)]
    damaged = {part.source for part, about in pairs if "error" in about}
    crops = [(part, len(about["crops"])) for part, about in pairs if part.source not in damaged]
    missing = plan.recipe.options.count - sum(count for _, count in crops)
    exhausted = {part._replace(quota=0) for part, count in crops if count < part.quota}
    left = [part for part in stretches(plan) if part.source not in damaged and part not in exhausted]
    return with_quotas(left, missing) if left and missing else []
