"""Reports of an ingestion: the plan before, the progress during, and the summary after."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from latentseq.data.splits import MIN_CLIPS, folder_of, of_clips, split_ranges
from latentseq.errors import join_names
from latentseq.ingestion.plan import Plan, Source, Task
from latentseq.protocols import Progress
from latentseq.storage.clip_table import values

MAX_LINES = 20
"""Maximum number of lines of one kind. The manifest has them all."""
_MAX_NAMES = 3
"""Maximum number of folders or files that are named in one line."""
_SAMPLE = 32
"""Number of pictures of a source that are decoded to estimate the duration."""


class Counter:
    """Counts rows and files while several threads work, and reports the progress."""

    def __init__(self, plan: Plan, progress: Progress):
        """Start at zero."""
        self._plan = plan
        self._progress = progress
        self._lock = threading.Lock()
        self._rows = 0
        self._total = 0
        self._left: dict[int, int] = {}

    def expect(self, tasks: list[Task]) -> None:
        """Add tasks to the total."""
        for task in tasks:
            for part in task.parts:
                self._total += part.stop - part.start
                self._left[part.source] = self._left.get(part.source, 0) + 1

    def rows_done(self, rows: int) -> None:
        """Count rows that were read. Any thread may call this."""
        with self._lock:
            self._rows += rows
            share = min(1.0, self._rows / self._total)
            self._progress.update(share, f"{self._files()} files, {self._rows:,} of {self._total:,} frames")

    def tasks_done(self, tasks: list[Task]) -> None:
        """Count tasks that are finished."""
        with self._lock:
            for task in tasks:
                for part in task.parts:
                    self._left[part.source] -= 1

    def _files(self) -> str:
        return f"{sum(not left for left in self._left.values())} of {len(self._plan.sources)}"


def plan_report(plan: Plan, workers: int) -> str:
    """Describe a plan: files, frames, skipped files with reasons, disk space and duration."""
    recipe, lines = plan.recipe, []
    for source in plan.sources[:MAX_LINES]:
        footage = source.footage
        h, w = footage.size
        facts = [
            f"{footage.kind} {footage.detail}".strip(),
            f"{h} x {w}",
            f"{len(footage.times):,} pictures",
            f"{source.rows.fps:g} a second",
            *(["sound"] if footage.sound else []),
            *([source.file.split] if source.file.split else []),
        ]
        lines.append(f"take {source.file.name}: {', '.join(facts)}")
    lines += _more(len(plan.sources))
    lines += _readings([(source.file.name, source.footage.reading) for source in plan.sources])
    lines += list(_skipped([(each.name, each.reason) for each in plan.skipped]))
    shape = " x ".join(map(str, plan.frame_shape))
    items = _count(recipe.options.count, "crop") if recipe.crop else _count(plan.rows, "frame")
    streams = "".join(f" and {name} {width}" for name, width in plan.streams.items())
    total = sum(len(source.rows.numbers) for source in plan.sources)
    seconds = sum(_seconds_per_row(source) * len(source.rows.numbers) for source in plan.sources[:MAX_LINES])
    seconds *= total / sum(len(source.rows.numbers) for source in plan.sources[:MAX_LINES])
    lines.append(
        f"{items} of {shape}{streams}, {plan.fps:g} a second, from {len(plan.sources)} of "
        f"{_count(len(plan.sources) + len(plan.skipped), 'file')}: {plan.rows * plan.row_bytes / 1e6:,.1f} MB, "
        f"{_count(len(plan.tasks), 'shard')}, about {max(1, round(seconds)):,} s with {_count(workers, 'worker')}"
    )
    return "\n".join([*lines, *_hints(plan)])


def summary(manifest: dict[str, Any], plan: Plan) -> Iterator[str]:
    """Describe the result, line by line."""
    yield from _readings([(each["path"], each.get("reading", "")) for each in manifest["sources"]])
    yield from _skipped([(each["path"], each["reason"]) for each in manifest["skipped"]])
    yield from _remarks(plan)
    recipe, clips = plan.recipe, sum(run["count"] for run in manifest["clips"])
    frames = sum(run["count"] * run["length"] for run in manifest["clips"])
    shape = " x ".join(map(str, manifest["frame_shape"]))
    streams = "".join(f", {name} {width}" for name, width in manifest["streams"].items())
    yield (
        f"{_count(clips, 'clip')}, {_count(frames, 'frame')} of {shape}{streams}, from "
        f"{len(manifest['sources'])} of {_count(len(manifest['sources']) + len(manifest['skipped']), 'file')}"
    )
    yield from held_out(manifest)
    if not (recipe.crop or recipe.options.overlapping or any(source.file.split for source in plan.sources)):
        yield from _other_way(manifest)
    if recipe.crop and clips < recipe.options.count:
        count, motion = recipe.options.count, recipe.crop.motion
        yield f"--count is {count:,}, but no other crops have a motion of {motion:g}"
    yield from _hints(plan)


def held_out(manifest: dict[str, Any]) -> Iterator[str]:
    """Describe what is held out for validation and test: the ends of clips, or clips and their files or folders."""
    runs = manifest["clips"]
    lengths = _lengths(manifest)
    split, sources = values(runs, "split"), values(runs, "source")
    names = [manifest["sources"][source]["path"] for source in sources]
    folders = [folder_of(name) for name in names]
    places = folders if len(set(folders)) > 1 else names
    ranges = split_ranges(lengths, None if None in split else np.array(split), manifest.get("hold_out"))
    if None in split and (cut := _ends(ranges)):
        which = "every clip" if cut == len(lengths) else f"{cut:,} of {_count(len(lengths), 'clip')}"
        rest = "" if cut == len(lengths) else " The other clips are too short for that and are for training."
        yield f"The last fifth of {which} is held out: a tenth for testing, a tenth for validation.{rest}"
        return
    for part in ("validation", "test"):
        rows = ranges[part][ranges[part][:, 1] < ranges[part][:, 2]]
        if not len(rows):
            continue
        where = list(dict.fromkeys(places[clip] for clip in rows[:, 0]))
        what = "folder" if places is folders else "file"
        origin = (
            join_names(where) if len(where) <= _MAX_NAMES else f"{len(where):,} of {_count(len(set(places)), what)}"
        )
        partial = bool((rows[:, 2] - rows[:, 1] < lengths[rows[:, 0]]).any())
        frames = _count(int((rows[:, 2] - rows[:, 1]).sum()), "frame") + " of " if partial else ""
        yield f"held out for {part}: {frames}{_count(len(rows), 'clip')}, from {origin}"


def _ends(ranges: Mapping[str, np.ndarray]) -> int:
    """Number of clips whose ends are held out for validation and test; 0 if something else is held out."""
    test, validation = (ranges[part][ranges[part][:, 1] < ranges[part][:, 2]] for part in ("test", "validation"))
    return len(test) if np.array_equal(test[:, [0, 2]], validation[:, :2]) else 0


def _other_way(manifest: dict[str, Any]) -> Iterator[str]:
    """Say how to hold out something else, if the number and the lengths of the clips leave a choice."""
    lengths, hold_out = _lengths(manifest), manifest.get("hold_out")
    if len(lengths) < MIN_CLIPS or not _ends(split_ranges(lengths, None, "ends")):
        return
    if of_clips(len(lengths), hold_out):
        yield "`ingest --hold-out ends` holds out the end of every clip instead."
    else:
        yield "`ingest --hold-out clips` holds out whole clips instead."


def _lengths(manifest: dict[str, Any]) -> np.ndarray:
    """(n,) number of frames of each clip."""
    runs = manifest["clips"]
    return np.repeat([run["length"] for run in runs], [run["count"] for run in runs])


def _hints(plan: Plan) -> Iterator[str]:
    rates = sorted({round(source.rows.fps, 2) for source in plan.sources})
    if len(rates) > 1:
        yield f"Frame rates differ, from {rates[0]:g} to {rates[-1]:g} a second: --fps {rates[0]:g} makes them equal."


def _remarks(plan: Plan) -> Iterator[str]:
    """Changes to pictures that people may not expect."""
    remarks = [f"{each.file.name}: {each.footage.remark}." for each in plan.sources if each.footage.remark]
    yield from remarks[:MAX_LINES]
    yield from _more(len(remarks))


def _skipped(skipped: list[tuple[str, str]]) -> Iterator[str]:
    for name, reason in skipped[:MAX_LINES]:
        yield f"skip {name}: {reason}"
    yield from _more(len(skipped))


def _readings(sources: list[tuple[str, str]]) -> list[str]:
    """How files were interpreted if there was a choice, one line per way."""
    groups: dict[str, list[str]] = {}
    for name, reading in sources:
        groups.setdefault(reading, []).append(name)
    groups.pop("", None)
    lines = [
        f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {reading}"
        for reading, names in groups.items()
    ]
    return lines[:MAX_LINES] + _more(len(lines))


def _more(count: int) -> list[str]:
    return [f"… and {count - MAX_LINES:,} more"] if count > MAX_LINES else []


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def _seconds_per_row(source: Source) -> float:
    """Measure how long it takes to decode one row."""
    numbers = source.rows.numbers[:_SAMPLE]
    start = time.perf_counter()
    try:
        for picture in source.footage.walk(np.asarray(numbers)):
            picture.frame(source.preprocessing)
    except Exception:  # Decoding will report what is wrong.
        return 0.0
    finally:
        source.footage.close()
    return (time.perf_counter() - start) / len(numbers)
