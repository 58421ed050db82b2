"""What is said of an ingestion: the plan before it, progress during it, the summary after it."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from latentseq.data.splits import folder_of, split_ranges
from latentseq.errors import listed
from latentseq.ingestion.plan import Plan, Source, Task
from latentseq.protocols import Progress
from latentseq.storage.clip_table import values

LISTED = 20
"""Lines of one kind that are shown; the manifest has them all."""
_NAMED = 3
"""Places that are named in one line."""
_TRIED = 32
"""Pictures decoded to estimate how long it will take."""


class Counter:
    """Counts rows and files while several threads work, and tells of them."""

    def __init__(self, plan: Plan, progress: Progress):
        """Start at nothing."""
        self._plan, self._progress, self._lock = plan, progress, threading.Lock()
        self._rows = self._total = 0
        self._left: dict[int, int] = {}

    def expect(self, tasks: list[Task]) -> None:
        """Say what is to be done."""
        for task in tasks:
            for part in task.parts:
                self._total += part.stop - part.start
                self._left[part.source] = self._left.get(part.source, 0) + 1

    def rows_done(self, rows: int) -> None:
        """Say that more rows were read; from any thread."""
        with self._lock:
            self._rows += rows
            share = min(1.0, self._rows / self._total)
            self._progress.update(share, f"{self._files()} files, {self._rows:,} of {self._total:,} frames")

    def tasks_done(self, tasks: list[Task]) -> None:
        """Say that tasks are over."""
        with self._lock:
            for task in tasks:
                for part in task.parts:
                    self._left[part.source] -= 1

    def _files(self) -> str:
        return f"{sum(not left for left in self._left.values())} of {len(self._plan.sources)}"


def plan_report(plan: Plan, workers: int) -> str:
    """The plan in words: files, frames, what is skipped and why, disk, time."""
    recipe, lines = plan.recipe, []
    for source in plan.sources[:LISTED]:
        footage = source.footage
        h, w = footage.size
        facts = [
            f"{footage.kind} {footage.detail}".strip(),
            f"{h} x {w}",
            f"{len(footage.times):,} pictures",
            f"{source.rows.fps:g} a second",
            *(["sound"] if footage.sound else []),
            *([source.found.split] if source.found.split else []),
        ]
        lines.append(f"take {source.found.name}: {', '.join(facts)}")
    lines += _more(len(plan.sources))
    lines += _readings([(source.found.name, source.footage.reading) for source in plan.sources])
    lines += list(_skipped([(each.name, each.reason) for each in plan.skipped]))
    shape = " x ".join(map(str, plan.frame_shape))
    made = _counted(recipe.options.count, "crop") if recipe.crop else _counted(plan.rows, "frame")
    streams = "".join(f" and {name} {width}" for name, width in plan.streams.items())
    read = sum(len(source.rows.numbers) for source in plan.sources)
    seconds = sum(_seconds_a_row(source) * len(source.rows.numbers) for source in plan.sources[:LISTED])
    seconds *= read / sum(len(source.rows.numbers) for source in plan.sources[:LISTED])
    lines.append(
        f"{made} of {shape}{streams}, {plan.fps:g} a second, from {len(plan.sources)} of "
        f"{_counted(len(plan.sources) + len(plan.skipped), 'file')}: {plan.rows * plan.row_bytes / 1e6:,.1f} MB, "
        f"{_counted(len(plan.tasks), 'shard')}, about {max(1, round(seconds)):,} s with {_counted(workers, 'worker')}"
    )
    return "\n".join([*lines, *_hints(plan)])


def summary(manifest: dict[str, Any], plan: Plan) -> Iterator[str]:
    """What came of it, line by line."""
    yield from _readings([(each["path"], each.get("reading", "")) for each in manifest["sources"]])
    yield from _skipped([(each["path"], each["reason"]) for each in manifest["skipped"]])
    yield from _remarks(plan)
    clips = sum(run["count"] for run in manifest["clips"])
    frames = sum(run["count"] * run["length"] for run in manifest["clips"])
    shape = " x ".join(map(str, manifest["frame_shape"]))
    streams = "".join(f", {name} {width}" for name, width in manifest["streams"].items())
    yield (
        f"{_counted(clips, 'clip')}, {_counted(frames, 'frame')} of {shape}{streams}, from "
        f"{len(manifest['sources'])} of {_counted(len(manifest['sources']) + len(manifest['skipped']), 'file')}"
    )
    yield from held_out(manifest)
    if plan.recipe.crop and clips < plan.recipe.options.count:
        count, motion = plan.recipe.options.count, plan.recipe.crop.motion
        yield f"{count:,} crops were asked for; no more have a motion of {motion:g}"
    yield from _hints(plan)


def held_out(manifest: dict[str, Any]) -> Iterator[str]:
    """Which clips are for validation and for test, and from where they are."""
    runs = manifest["clips"]
    lengths = np.repeat([run["length"] for run in runs], [run["count"] for run in runs])
    split, sources = values(runs, "split"), values(runs, "source")
    names = [manifest["sources"][source]["path"] for source in sources]
    folders = [folder_of(name) for name in names]
    places = folders if len(set(folders)) > 1 else names
    ranges = split_ranges(lengths, None if None in split else np.array(split))
    for part in ("validation", "test"):
        rows = ranges[part][ranges[part][:, 1] < ranges[part][:, 2]]
        if not len(rows):
            continue
        where = list(dict.fromkeys(places[clip] for clip in rows[:, 0]))
        what = "folder" if places is folders else "file"
        told = listed(where) if len(where) <= _NAMED else f"{len(where):,} of {_counted(len(set(places)), what)}"
        partly = bool((rows[:, 2] - rows[:, 1] < lengths[rows[:, 0]]).any())
        frames = _counted(int((rows[:, 2] - rows[:, 1]).sum()), "frame") + " of " if partly else ""
        yield f"held out for {part}: {frames}{_counted(len(rows), 'clip')}, from {told}"


def _hints(plan: Plan) -> Iterator[str]:
    rates = sorted({round(source.rows.fps, 2) for source in plan.sources})
    if len(rates) > 1:
        yield f"Frame rates differ, from {rates[0]:g} to {rates[-1]:g} a second: --fps {rates[0]:g} makes them one."


def _remarks(plan: Plan) -> Iterator[str]:
    """What is done to pictures that people may not expect."""
    remarks = [f"{each.found.name}: {each.footage.remark}." for each in plan.sources if each.footage.remark]
    yield from remarks[:LISTED]
    yield from _more(len(remarks))


def _skipped(skipped: list[tuple[str, str]]) -> Iterator[str]:
    for name, reason in skipped[:LISTED]:
        yield f"skip {name}: {reason}"
    yield from _more(len(skipped))


def _readings(sources: list[tuple[str, str]]) -> list[str]:
    """How files were read where that had to be decided: a line for all that are read alike."""
    alike: dict[str, list[str]] = {}
    for name, reading in sources:
        alike.setdefault(reading, []).append(name)
    alike.pop("", None)
    lines = [
        f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {reading}"
        for reading, names in alike.items()
    ]
    return lines[:LISTED] + _more(len(lines))


def _more(count: int) -> list[str]:
    return [f"… and {count - LISTED:,} more"] if count > LISTED else []


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def _seconds_a_row(source: Source) -> float:
    """How long one row takes, by trying."""
    numbers = source.rows.numbers[:_TRIED]
    start = time.perf_counter()
    try:
        for picture in source.footage.walk(np.asarray(numbers)):
            picture.frame(source.preprocessing)
    except Exception:  # Whatever is wrong with it will be told when it is decoded.
        return 0.0
    finally:
        source.footage.close()
    return (time.perf_counter() - start) / len(numbers)
