"""Putting shards together: which rows are which clip, and the manifest that says so."""

import itertools
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import PIL

from latentseq.data.splits import folder_of, split_by_folder, split_by_share
from latentseq.ingestion.plan import Plan, Source, Task, places
from latentseq.ingestion.recipe import Recipe
from latentseq.ingestion.work import Shard
from latentseq.media.discovery import Skipped
from latentseq.storage.clip_table import pack
from latentseq.storage.frames import FORMAT


def assemble(plan: Plan, done: list[tuple[Task, Shard]]) -> tuple[dict[str, Any], list[Skipped]]:
    """The manifest of what was done.

    Args:
        plan: what was to be done.
        done: tasks and their shards, in order.

    Returns:
        The manifest, with no clips in it where nothing is left; and what was skipped, damage that was found while
        decoding included.
    """
    names = [source.found.name for source in plan.sources]
    failed: dict[int, str] = {}
    for task, shard in done:
        for part, about in zip(task.parts, shard.parts, strict=True):
            if "error" in about:
                reason = about["error"].replace(plan.sources[part.source].digest, names[part.source])
                failed.setdefault(part.source, reason)
    skipped = plan.skipped + [Skipped(names[i], reason) for i, reason in sorted(failed.items())]
    kept = [(task, shard) for task, shard in done if any(part.source not in failed for part in task.parts)]
    kept = [(task, shard) for task, shard in kept if sum(about["rows"] for about in shard.parts)]
    clips = list(_crops(plan, kept, failed) if plan.recipe.crop else _scenes(plan, kept, failed))
    _share_out(plan, clips)
    taken = {clip["source"] for clip in clips}
    tried = {part.source for task, _ in done for part in task.parts}
    skipped += [
        Skipped(name, _no_clip(plan.recipe, i in tried), damaged=False)
        for i, name in enumerate(names)
        if i not in taken and i not in failed
    ]
    numbers = {source: number for number, source in enumerate(sorted(taken))}
    for clip in clips:
        clip["source"] = numbers[clip["source"]]
    manifest = {
        "format": FORMAT,
        "frame_shape": list(plan.frame_shape),
        "fps": plan.fps,
        "times": True,
        "streams": plan.streams,
        "plan": plan.digest(),
        "source": {"dataset": "ingest", "config": plan.recipe.to_json()},
        "decoder": {"av": av.__version__, "pillow": PIL.__version__},
        "sources": [_about(plan.sources[i]) for i in sorted(taken)],
        "skipped": [{"path": each.name, "reason": each.reason} for each in skipped],
        "clips": pack(clips),
        "shards": [
            {
                "file": shard.file,
                "rows": sum(about["rows"] for about in shard.parts),
                "sha256": shard.sha256,
                "sources": sorted({numbers[part.source] for part in task.parts if part.source in numbers}),
            }
            for task, shard in kept
        ],
    }
    return manifest, skipped


def _scenes(plan: Plan, kept: list[tuple[Task, Shard]], failed: dict[int, str]) -> Iterator[dict[str, Any]]:
    """Clips of whole footage: never across a cut, and cut to one length where that is asked for."""
    first: dict[int, int] = {}
    found: dict[int, list[int]] = {}
    row = 0
    for task, shard in kept:
        for part, about in zip(task.parts, shard.parts, strict=True):
            first.setdefault(part.source, row)
            found.setdefault(part.source, []).extend(about.get("cuts", []))
            row += about["rows"]
    recipe, taken = plan.recipe, [i for i in range(len(plan.sources)) if i in first and i not in failed]
    firsts, total = places([plan.sources[i] for i in taken])
    for i, at in zip(taken, firsts, strict=True):
        source, rows = plan.sources[i], plan.sources[i].rows
        count = len(rows.numbers)
        # The first row whose picture is the cut's or a later one.
        starts = np.searchsorted(rows.numbers, np.array(found[i], np.int64))
        edges = np.unique(np.concatenate([[0, count], rows.breaks, starts[starts < count]]))
        for start, stop in itertools.pairwise(edges.tolist()):
            if recipe.options.cuts and stop - start < recipe.options.min_length:
                continue
            length = recipe.options.clip_length or stop - start
            for begin in range(start, stop - length + 1, recipe.options.stride or length):
                split = source.found.split
                if split is None and recipe.options.overlapping:
                    split = split_by_share((at + begin) / total, (at + begin + length) / total)
                    if split is None:
                        continue
                yield {
                    "row": first[i] + begin,
                    "length": length,
                    "source": i,
                    "split": split,
                    "start": _seconds(source, begin),
                    "end": _seconds(source, begin + length),
                }


def _share_out(plan: Plan, clips: list[dict[str, Any]]) -> None:
    """Give clips their splits where they are from several folders.

    Clips that may share frames have theirs already. Where all of those were named and none for validation, whole
    files are held out for it.
    """
    split = [clip["split"] for clip in clips]
    folders = [folder_of(plan.sources[clip["source"]].found.name) for clip in clips]
    if not (plan.recipe.options.overlapping or plan.recipe.crop):
        split = split_by_folder(folders, split)
    elif any(plan.sources[clip["source"]].found.split for clip in clips):
        of_sources = {clip["source"]: clip["split"] for clip in clips}
        of_folders = [folder_of(plan.sources[i].found.name) for i in of_sources]
        shared = dict(zip(of_sources, split_by_folder(of_folders, list(of_sources.values())), strict=True))
        split = [shared[clip["source"]] for clip in clips]
    for clip, name in zip(clips, split, strict=True):
        clip["split"] = name


def _crops(plan: Plan, kept: list[tuple[Task, Shard]], failed: dict[int, str]) -> Iterator[dict[str, Any]]:
    """Clips that were cut out; those of one stretch of film are on one side of a split."""
    assert plan.recipe.crop is not None
    length, row = plan.recipe.crop.length, 0
    firsts, total = places(plan.sources)
    for task, shard in kept:
        for part, about in zip(task.parts, shard.parts, strict=True):
            source = plan.sources[part.source]
            middle = (firsts[part.source] + (part.start + part.stop) / 2) / total
            split = source.found.split or split_by_share(middle, middle)
            for start in about.get("crops", []) if part.source not in failed else []:
                yield {
                    "row": row,
                    "length": length,
                    "source": part.source,
                    "split": split,
                    "start": _seconds(source, start),
                    "end": _seconds(source, start + length),
                }
                row += length
            row += about["rows"] - length * len(about.get("crops", []) if part.source not in failed else [])


def _seconds(source: Source, row: int) -> float:
    """When a row comes on, to a tenth of a millisecond."""
    return round(float(source.rows.times[row]), 4)


def _no_clip(recipe: Recipe, tried: bool) -> str:
    """Why footage that can be read gave no clip."""
    if recipe.crop and tried:
        return f"Too little in it moves by {recipe.crop.motion:g}, which --motion asks for."
    if recipe.crop:
        return f"No crop fell to it: {recipe.options.count:,} were asked for."
    least = max(recipe.options.min_length if recipe.options.cuts else 1, recipe.options.clip_length or 1)
    inside = " that lies within one split" if recipe.options.overlapping else ""
    return f"It has no scene of {least} frames or more{inside}."


def _about(source: Source) -> dict[str, Any]:
    """What the manifest says of a source."""
    footage = source.footage
    return {
        "path": source.found.name,
        "sha256": source.digest,
        "kind": footage.kind,
        "detail": footage.detail,
        "size": list(footage.size),
        "frames": len(footage.times),
        "rows": len(source.rows.numbers),
        "fps": round(source.rows.fps, 6),
        "seconds": round(footage.end - float(footage.times[0]), 4),
        "sound": footage.sound,
        "gray": footage.gray,
        "timed": footage.timed,
        **({"reading": footage.reading} if footage.reading else {}),
    }
