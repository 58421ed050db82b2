"""The plan of an ingestion: which footage is used, and how it is divided into tasks. Almost nothing is decoded."""

import hashlib
import itertools
import json
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import av
import numpy as np
import PIL

from latentseq.data.splits import SHARES, folder_of, spread
from latentseq.errors import count_of
from latentseq.ingestion.recipe import Recipe
from latentseq.media import audio
from latentseq.media.discovery import Found, Skipped, nothing_found
from latentseq.media.footage import Footage, Rows, rows_of
from latentseq.media.preprocessing import MAX_PIXELS, MAX_SIDE, Preprocessing
from latentseq.storage.shards import SHARD_BYTES

VERSION = 2
"""Version of the content of shards. A new version writes all shards again."""
MAX_ROWS = 10_000_000
"""Maximum number of rows of one file at another frame rate: 4 days at 25 per second. Their times take memory."""
STRETCH_BYTES = 64 << 20
"""Approximate size of the part of a film from which crops are drawn, in bytes. It is held in memory."""


@dataclass(frozen=True)
class Source:
    """Footage that is used.

    Attributes:
        file: the footage, with its name and its split.
        rows: the pictures that become rows.
        digest: SHA-256 of the content.
        preprocessing: how its frames are prepared.
    """

    file: Found
    rows: Rows
    digest: str
    preprocessing: Preprocessing

    @property
    def footage(self) -> Footage:
        """The pictures."""
        return self.file.footage


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` of a source.

    Attributes:
        source: number of the source.
        start: first row.
        stop: row after the last one.
        quota: number of crops to draw from the rows.
    """

    source: int
    start: int
    stop: int
    quota: int = 0


@dataclass(frozen=True)
class Task:
    """The content of one shard: several small sources, or a part of a large one.

    Attributes:
        parts: the parts, in order.
        name: name of the shard's file, from a hash of everything that its content depends on.
    """

    parts: tuple[Part, ...]
    name: str


@dataclass(frozen=True)
class Plan:
    """The plan of an ingestion.

    Attributes:
        recipe: the options for all footage.
        sources: the footage that is used, in order.
        skipped: the files that are skipped.
        tasks: the tasks, in the order of their rows.
        streams: width of each side stream, by name.
        fps: number of frames per second.
    """

    recipe: Recipe
    sources: list[Source]
    skipped: list[Skipped]
    tasks: list[Task]
    streams: dict[str, int]
    fps: float

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c) of the frames that will be written."""
        crop = self.recipe.crop
        h, w = (crop.side, crop.side) if crop else self.recipe.preprocessing.shape
        return h, w, self.recipe.channels

    @property
    def rows(self) -> int:
        """Number of rows that will be written, if no source turns out to be damaged."""
        return sum(rows_written(self.recipe, part) for task in self.tasks for part in task.parts)

    @property
    def row_bytes(self) -> int:
        """Size of one row in bytes: the frame and its streams, without the time."""
        return math.prod(self.frame_shape) + 4 * sum(self.streams.values())

    def digest(self) -> str:
        """SHA-256 of everything that the result depends on."""
        names = [(source.file.name, source.digest, source.file.split) for source in self.sources]
        skipped = [each[:2] for each in self.skipped]
        return _hash([self.recipe.to_json(), names, skipped, [task.name for task in self.tasks]])


def make_plan(recipe: Recipe, files: list[Found], skipped: list[Skipped], workers: int) -> Plan:
    """Plan an ingestion.

    Args:
        recipe: the options.
        files: the footage that was found.
        skipped: files that are skipped already.
        workers: number of threads.

    Raises:
        DataError: no footage can be used.
    """
    skipped = list(skipped)
    usable = []
    for each in files:
        reason = _too_much(recipe.preprocessing, each.footage)
        if reason:
            skipped.append(Skipped(each.name, reason))
            continue
        rows = rows_of(each.footage, recipe.preprocessing)
        size = each.footage.size if recipe.native else recipe.preprocessing.shape
        reason = _misfit(recipe, rows, size)
        if reason:
            skipped.append(Skipped(each.name, reason))
        else:
            usable.append((each, rows, replace(recipe.preprocessing, size=size)))
    if not usable:
        raise nothing_found(skipped)
    with ThreadPoolExecutor(workers) as pool:
        digests = list(pool.map(lambda each: each[0].footage.digest(), usable))
    sources = [
        Source(file, rows, digest, preprocessing)
        for (file, rows, preprocessing), digest in zip(usable, digests, strict=True)
    ]
    fps = sources[0].rows.fps
    if recipe.options.audio != "none" and not any(source.footage.sound for source in sources):
        recipe = replace(recipe, options=replace(recipe.options, audio="none"))
    streams = (
        {"audio": audio.width(recipe.options.audio, fps), "audio_mask": 1} if recipe.options.audio != "none" else {}
    )
    plan = Plan(recipe, sources, skipped, [], streams, fps)
    parts = with_quotas(stretches(plan), recipe.options.count) if recipe.crop else _chunks(plan)
    return replace(plan, tasks=tasks_of(plan, parts))


def tasks_of(plan: Plan, parts: list[Part], round: int = 0) -> list[Task]:
    """Pack parts into shards. Small parts share a shard; a part of a larger source has a shard of its own.

    Args:
        plan: the plan.
        parts: parts of its sources, in order.
        round: how often crops were drawn from these parts before.
    """
    packs: list[list[Part]] = []
    rows, full = 0, True
    for part in parts:
        size = rows_written(plan.recipe, part)
        piece = not plan.recipe.crop and part.stop - part.start < len(plan.sources[part.source].rows.numbers)
        if full or piece or rows + size > _rows_of_shard(plan):
            packs.append([])
            rows = 0
        packs[-1].append(part)
        rows += size
        full = piece
    return [Task(tuple(pack), _name(plan, pack, round)) for pack in packs]


def stretches(plan: Plan) -> list[Part]:
    """Divide every source into parts that fit into memory while crops are drawn from them.

    No part crosses the border between two clips of a file or between two splits.
    """
    assert plan.recipe.crop is not None
    parts, length = [], plan.recipe.crop.length
    firsts, total = places(plan.sources)
    shares = np.cumsum(list(SHARES.values()))[:-1]
    for i, source in enumerate(plan.sources):
        most = max(2 * length, STRETCH_BYTES // math.prod(source.preprocessing.frame_shape))
        count, borders = len(source.rows.numbers), [] if source.file.split else np.rint(total * shares) - firsts[i]
        for start, stop in itertools.pairwise([0, *source.rows.breaks.tolist(), count]):
            inner = [int(border) for border in borders if start + length <= border <= stop - length]
            for first, last in itertools.pairwise([start, *inner, stop]):
                pieces = min(max(1, (last - first) // most), (last - first) // length)  # 0 if it is too short.
                ends = [first + (last - first) * k // pieces for k in range(pieces + 1)] if pieces else []
                parts += [Part(i, *piece) for piece in itertools.pairwise(ends)]
    return parts


def places(sources: Sequence[Source]) -> tuple[list[int], int]:
    """The first row of each source in the order in which splits are assigned, and the total number of rows.

    The order is spread over the folders, because folders may be sorted by class.
    """
    counts = np.array([len(source.rows.numbers) for source in sources], np.int64)
    order, firsts = spread([folder_of(source.file.name) for source in sources]), np.zeros(len(counts), np.int64)
    firsts[order] = np.cumsum(counts[order]) - counts[order]
    return firsts.tolist(), int(counts.sum())


def with_quotas(parts: list[Part], count: int) -> list[Part]:
    """Distribute ``count`` crops over parts in proportion to their rows. Parts without crops are left out."""
    ends = np.cumsum([part.stop - part.start for part in parts])
    quotas = np.diff(ends * count // ends[-1], prepend=0)
    return [part._replace(quota=int(q)) for part, q in zip(parts, quotas, strict=True) if q]


def rows_written(recipe: Recipe, part: Part) -> int:
    """The number of rows that a part writes."""
    return part.quota * recipe.crop.length if recipe.crop else part.stop - part.start


def _too_much(preprocessing: Preprocessing, footage: Footage) -> str | None:
    """The reason why footage would fill the memory, if it would: a file can claim any times and shapes."""
    seconds, fps = footage.end - float(footage.times[0]), preprocessing.fps or 0
    if footage.timed and seconds * fps > MAX_ROWS:
        return (
            f"It lasts {seconds:.0f} s, {seconds * fps:.0f} frames at {fps:g} a second; expected at most {MAX_ROWS}. "
            "Choose another --fps, or export it again."
        )
    (h, w), (high, wide) = footage.size, preprocessing.scaled(*footage.size)
    if high * wide > MAX_PIXELS:
        return (
            f"Its frames are {h} x {w} (h x w), and would have to be {high} x {wide} to cover "
            f"{' x '.join(map(str, preprocessing.shape))}. Choose --fit pad or stretch."
        )
    return None


def _misfit(recipe: Recipe, rows: Rows, size: tuple[int, int]) -> str | None:
    """The reason why footage does not fit the options, if it does not."""
    count = int(np.diff([0, *rows.breaks, len(rows.numbers)]).max())
    length = recipe.crop.length if recipe.crop else recipe.options.clip_length or 1
    frames = count_of(count, "frame")
    has = f"{'Its longest clip' if len(rows.breaks) else 'It'} has {frames}"
    if count < length:
        return f"{has}, fewer than the {length} of a clip."
    if recipe.options.cuts and count < recipe.options.min_length:
        return f"{has}, fewer than the {recipe.options.min_length} of a scene (--min-length)."
    h, w = size
    if recipe.crop and min(size) < recipe.crop.side:
        side = recipe.crop.side
        return f"Its frames are {h} x {w} (h x w), too small for crops of {side} x {side}."
    if max(size) > MAX_SIDE:
        return f"Its frames are {h} x {w} (h x w); expected sides of at most {MAX_SIDE}, or a --size."
    return None


def _rows_of_shard(plan: Plan) -> int:
    return max(1, SHARD_BYTES // plan.row_bytes)


def _chunks(plan: Plan) -> list[Part]:
    """Divide every source into parts of about equal length that fit into a shard, so that workers end together."""
    parts = []
    for i, source in enumerate(plan.sources):
        n = len(source.rows.numbers)
        pieces = -(-n // _rows_of_shard(plan))
        ends = [n * k // pieces for k in range(pieces + 1)]
        parts += [Part(i, start, stop) for start, stop in itertools.pairwise(ends)]
    return parts


def _name(plan: Plan, pack: list[Part], round: int) -> str:
    """The name of a shard's file. It depends on the task alone, not on the other sources of the plan."""
    parts = [(plan.sources[part.source].digest, *part[1:]) for part in pack]
    versions = [VERSION, av.__version__, PIL.__version__]
    return f"shard-{_hash([versions, plan.recipe.of_shards(), plan.streams, round, parts])[:20]}.h5"


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
