"""Assembles shards: divides their rows into clips, and builds the manifest."""

import itertools
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import PIL

from latentseq.data.splits import folder_of, of_clips, split_by_folder, split_by_share
from latentseq.errors import count_of
from latentseq.ingestion.plan import Plan, Source, Task, places
from latentseq.ingestion.recipe import Recipe
from latentseq.ingestion.work import Shard
from latentseq.media.discovery import Skipped
from latentseq.storage.clip_table import pack
from latentseq.storage.frames import FORMAT, chosen


def assemble(plan: Plan, results: list[tuple[Task, Shard]]) -> tuple[dict[str, Any], list[Skipped]]:
    """Build the manifest.

    Args:
        plan: plan of the ingestion.
        results: tasks and their shards, in order.

    Returns:
        The manifest, without clips if there are none; and the skipped files, including those that turned out to be
        damaged.
    """
    names = [source.file.name for source in plan.sources]
    failed: dict[int, str] = {}
    for task, shard in results:
        for part, about in zip(task.parts, shard.parts, strict=True):
            if "error" in about:
                reason = about["error"].replace(plan.sources[part.source].digest, names[part.source])
                failed.setdefault(part.source, reason)
    skipped = plan.skipped + [Skipped(names[i], reason) for i, reason in sorted(failed.items())]
    usable = [(task, shard) for task, shard in results if any(part.source not in failed for part in task.parts)]
    usable = [(task, shard) for task, shard in usable if sum(about["rows"] for about in shard.parts)]
    clips = list(_crops(plan, usable, failed) if plan.recipe.crop else _scenes(plan, usable, failed))
    _assign_splits(plan, clips)
    with_clips = {clip["source"] for clip in clips}
    with_tasks = {part.source for task, _ in results for part in task.parts}
    skipped += [
        Skipped(name, _no_clip(plan.recipe, i in with_tasks), damaged=False)
        for i, name in enumerate(names)
        if i not in with_clips and i not in failed
    ]
    numbers = {source: number for number, source in enumerate(sorted(with_clips))}
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
        "sources": [_about(plan.sources[i]) for i in sorted(with_clips)],
        "skipped": [{"path": each.name, "reason": each.reason} for each in skipped],
        "clips": pack(clips),
        **chosen(plan.recipe.options.hold_out),
        "shards": [
            {
                "file": shard.file,
                "rows": sum(about["rows"] for about in shard.parts),
                "sha256": shard.sha256,
                "sources": sorted({numbers[part.source] for part in task.parts if part.source in numbers}),
            }
            for task, shard in usable
        ],
    }
    return manifest, skipped


def _scenes(plan: Plan, usable: list[tuple[Task, Shard]], failed: dict[int, str]) -> Iterator[dict[str, Any]]:
    """Clips of whole frames. They never cross a cut, and have ``clip_length`` frames if the recipe says so."""
    first: dict[int, int] = {}
    cuts: dict[int, list[int]] = {}
    row = 0
    for task, shard in usable:
        for part, about in zip(task.parts, shard.parts, strict=True):
            first.setdefault(part.source, row)
            cuts.setdefault(part.source, []).extend(about.get("cuts", []))
            row += about["rows"]
    recipe, numbers = plan.recipe, [i for i in range(len(plan.sources)) if i in first and i not in failed]
    firsts, total = places([plan.sources[i] for i in numbers])
    for i, at in zip(numbers, firsts, strict=True):
        source, rows = plan.sources[i], plan.sources[i].rows
        count = len(rows.numbers)
        # A scene starts at the first row whose picture is at the cut or after it.
        starts = np.searchsorted(rows.numbers, np.array(cuts[i], np.int64))
        edges = np.unique(np.concatenate([[0, count], rows.breaks, starts[starts < count]]))
        for start, stop in itertools.pairwise(edges.tolist()):
            if recipe.options.cuts and stop - start < recipe.options.min_length:
                continue
            length = recipe.options.clip_length or stop - start
            for begin in range(start, stop - length + 1, recipe.options.stride or length):
                split = source.file.split
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


def _assign_splits(plan: Plan, clips: list[dict[str, Any]]) -> None:
    """Assign splits to clips from several folders, unless the ends of all clips are held out.

    Clips that may share frames have a split already. If their files have splits but none is for validation, whole
    files are held out for validation.
    """
    split = [clip["split"] for clip in clips]
    folders = [folder_of(plan.sources[clip["source"]].file.name) for clip in clips]
    if not (plan.recipe.options.overlapping or plan.recipe.crop):
        if any(split) or of_clips(len(clips), plan.recipe.options.hold_out):
            split = split_by_folder(folders, split)
    elif any(plan.sources[clip["source"]].file.split for clip in clips):
        of_sources = {clip["source"]: clip["split"] for clip in clips}
        of_folders = [folder_of(plan.sources[i].file.name) for i in of_sources]
        splits = dict(zip(of_sources, split_by_folder(of_folders, list(of_sources.values())), strict=True))
        split = [splits[clip["source"]] for clip in clips]
    for clip, name in zip(clips, split, strict=True):
        clip["split"] = name


def _crops(plan: Plan, usable: list[tuple[Task, Shard]], failed: dict[int, str]) -> Iterator[dict[str, Any]]:
    """Crops. All crops of one part of a film belong to one split."""
    assert plan.recipe.crop is not None
    length, row = plan.recipe.crop.length, 0
    firsts, total = places(plan.sources)
    for task, shard in usable:
        for part, about in zip(task.parts, shard.parts, strict=True):
            source = plan.sources[part.source]
            middle = (firsts[part.source] + (part.start + part.stop) / 2) / total
            split = source.file.split or split_by_share(middle, middle)
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
    """The time of a row in seconds, to a tenth of a millisecond."""
    return round(float(source.rows.times[row]), 4)


def _no_clip(recipe: Recipe, has_tasks: bool) -> str:
    """The reason why readable footage has no clip."""
    if recipe.crop and has_tasks:
        return f"No crop of it has a motion of {recipe.crop.motion:g} (--motion)."
    if recipe.crop:
        return f"No crop was drawn from it: --count is {recipe.options.count:,}."
    minimum = max(recipe.options.min_length if recipe.options.cuts else 1, recipe.options.clip_length or 1)
    frames = count_of(minimum, "frame")
    inside = " that lies within one split" if recipe.options.overlapping else ""
    return f"It has no scene of {frames} or more{inside}."


def _about(source: Source) -> dict[str, Any]:
    """The entry of a source in the manifest."""
    footage = source.footage
    return {
        "path": source.file.name,
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
