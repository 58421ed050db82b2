"""What an ingestion will do: which footage, cut into which tasks. Planning decodes next to nothing."""

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
from latentseq.ingestion.recipe import Recipe
from latentseq.media import audio
from latentseq.media.discovery import Found, Skipped, nothing_found
from latentseq.media.footage import Footage, Rows, rows_of
from latentseq.media.preprocessing import MAX_PIXELS, MAX_SIDE, Preprocessing
from latentseq.storage.shards import SHARD_BYTES

VERSION = 2
"""Of what a task writes: another one makes all shards anew."""
MAX_ROWS = 10_000_000
"""Of one file at another frame rate: 4 days of 25 a second. Their times take memory."""
STRETCH_BYTES = 64 << 20
"""Crops are drawn from stretches of film of about so many bytes, held in memory."""


@dataclass(frozen=True)
class Source:
    """Footage that is taken.

    Attributes:
        found: what and where it is.
        rows: which of its pictures are kept.
        digest: SHA-256 of its content.
        preprocessing: of its frames.
    """

    found: Found
    rows: Rows
    digest: str
    preprocessing: Preprocessing

    @property
    def footage(self) -> Footage:
        """The pictures."""
        return self.found.footage


class Part(NamedTuple):
    """Rows ``start`` to ``stop`` of a source; ``quota`` crops are drawn from them where crops are made."""

    source: int
    start: int
    stop: int
    quota: int = 0


@dataclass(frozen=True)
class Task:
    """What one shard holds: several small sources, or a stretch of a large one.

    Attributes:
        parts: in order.
        name: of the shard's file, from a hash of everything that its content depends on.
    """

    parts: tuple[Part, ...]
    name: str


@dataclass(frozen=True)
class Plan:
    """An ingestion before it is done.

    Attributes:
        recipe: what is done to all footage.
        sources: what is taken, in order.
        skipped: what is not.
        tasks: in the order of their rows.
        streams: width of each side stream.
        fps: of the frames.
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
        """Rows that will be written, if nothing turns out to be damaged."""
        return sum(rows_written(self.recipe, part) for task in self.tasks for part in task.parts)

    @property
    def row_bytes(self) -> int:
        """Of one row, streams included; the time of it is next to nothing."""
        return math.prod(self.frame_shape) + 4 * sum(self.streams.values())

    def digest(self) -> str:
        """SHA-256 of all that the result depends on."""
        names = [(source.found.name, source.digest, source.found.split) for source in self.sources]
        skipped = [each[:2] for each in self.skipped]
        return _hash([self.recipe.to_json(), names, skipped, [task.name for task in self.tasks]])


def make_plan(recipe: Recipe, found: list[Found], skipped: list[Skipped], workers: int) -> Plan:
    """Decide what is done.

    Raises:
        DataError: nothing can be taken.
    """
    skipped = list(skipped)
    fitting = []
    for each in found:
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
            fitting.append((each, rows, replace(recipe.preprocessing, size=size)))
    if not fitting:
        raise nothing_found(skipped)
    with ThreadPoolExecutor(workers) as pool:
        digests = list(pool.map(lambda each: each[0].footage.digest(), fitting))
    sources = [Source(f, r, digest, p) for (f, r, p), digest in zip(fitting, digests, strict=True)]
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
    """Pack parts into shards: small ones together, those of a source that does not fit into one by themselves.

    Args:
        plan: whose parts they are.
        parts: in order.
        round: how often crops were drawn from these parts before.
    """
    packs: list[list[Part]] = []
    filled, full = 0, True
    for part in parts:
        size = rows_written(plan.recipe, part)
        piece = not plan.recipe.crop and part.stop - part.start < len(plan.sources[part.source].rows.numbers)
        if full or piece or filled + size > _rows_of_shard(plan):
            packs.append([])
            filled = 0
        packs[-1].append(part)
        filled, full = filled + size, piece
    return [Task(tuple(pack), _name(plan, pack, round)) for pack in packs]


def stretches(plan: Plan) -> list[Part]:
    """Every source, in pieces that are held in memory while crops are drawn from them.

    None goes on from one clip of a file to the next, or lies on both sides of a split.
    """
    assert plan.recipe.crop is not None
    parts, length = [], plan.recipe.crop.length
    firsts, total = places(plan.sources)
    shares = np.cumsum(list(SHARES.values()))[:-1]
    for i, source in enumerate(plan.sources):
        most = max(2 * length, STRETCH_BYTES // math.prod(source.preprocessing.frame_shape))
        count, borders = len(source.rows.numbers), [] if source.found.split else np.rint(total * shares) - firsts[i]
        for start, stop in itertools.pairwise([0, *source.rows.breaks.tolist(), count]):
            inner = [int(border) for border in borders if start + length <= border <= stop - length]
            for first, last in itertools.pairwise([start, *inner, stop]):
                pieces = min(max(1, (last - first) // most), (last - first) // length)  # None where it is too short.
                ends = [first + (last - first) * k // pieces for k in range(pieces + 1)] if pieces else []
                parts += [Part(i, *piece) for piece in itertools.pairwise(ends)]
    return parts


def places(sources: Sequence[Source]) -> tuple[list[int], int]:
    """Where each source starts in the order in which rows are shared out among splits, and how many rows there are.

    That order is spread over the folders: they may be in the order of their classes.
    """
    counts = np.array([len(source.rows.numbers) for source in sources], np.int64)
    order, firsts = spread([folder_of(source.found.name) for source in sources]), np.zeros(len(counts), np.int64)
    firsts[order] = np.cumsum(counts[order]) - counts[order]
    return firsts.tolist(), int(counts.sum())


def with_quotas(parts: list[Part], count: int) -> list[Part]:
    """Share ``count`` crops out among parts, by their rows; parts that get none are left out."""
    ends = np.cumsum([part.stop - part.start for part in parts])
    quotas = np.diff(ends * count // ends[-1], prepend=0)
    return [part._replace(quota=int(q)) for part, q in zip(parts, quotas, strict=True) if q]


def rows_written(recipe: Recipe, part: Part) -> int:
    """How many rows a part gives."""
    return part.quota * recipe.crop.length if recipe.crop else part.stop - part.start


def _too_much(preprocessing: Preprocessing, footage: Footage) -> str | None:
    """Why footage would fill the memory: a file can claim any times, and any shape of its pixels."""
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
    """Why footage cannot be taken as it is asked for."""
    count = int(np.diff([0, *rows.breaks, len(rows.numbers)]).max())
    need = recipe.crop.length if recipe.crop else recipe.options.clip_length or 1
    has = f"{'Its longest clip' if len(rows.breaks) else 'It'} has {count} frames"
    if count < need:
        return f"{has}, and clips of {need} are asked for."
    if recipe.options.cuts and count < recipe.options.min_length:
        return f"{has}, and scenes of at least {recipe.options.min_length} are asked for."
    if recipe.crop and min(size) < recipe.crop.side:
        return f"Its frames are {size[0]} x {size[1]} (h x w), and crops of {recipe.crop.side} are asked for."
    if max(size) > MAX_SIDE:
        return f"Its frames are {size[0]} x {size[1]} (h x w); expected sides of at most {MAX_SIDE}, or a --size."
    return None


def _rows_of_shard(plan: Plan) -> int:
    return max(1, SHARD_BYTES // plan.row_bytes)


def _chunks(plan: Plan) -> list[Part]:
    """Every source, in pieces that fit into a shard; all about as long, so that no worker is left with the rest."""
    parts = []
    for i, source in enumerate(plan.sources):
        n = len(source.rows.numbers)
        pieces = -(-n // _rows_of_shard(plan))
        ends = [n * k // pieces for k in range(pieces + 1)]
        parts += [Part(i, start, stop) for start, stop in itertools.pairwise(ends)]
    return parts


def _name(plan: Plan, pack: list[Part], round: int) -> str:
    """The file's name: the same for the same task, whatever else is taken along."""
    parts = [(plan.sources[part.source].digest, *part[1:]) for part in pack]
    made_by = [VERSION, av.__version__, PIL.__version__]
    return f"shard-{_hash([made_by, plan.recipe.of_shards(), plan.streams, round, parts])[:20]}.h5"


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
