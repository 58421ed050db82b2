"""Ingestion: any videos, images and arrays in, a folder of clips out."""

import contextlib
import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentseq.errors import UsageError
from latentseq.ingestion.assembly import assemble
from latentseq.ingestion.plan import Plan, Task, make_plan, tasks_of
from latentseq.ingestion.recipe import IngestOptions, Recipe
from latentseq.ingestion.report import Counter, summary
from latentseq.ingestion.work import Shard, Worker, still_missing
from latentseq.media import cuts as scene_cuts
from latentseq.media.discovery import UNFINISHED, Found, discover, nothing_found
from latentseq.media.preprocessing import Preprocessing, Size
from latentseq.storage.atomic import read_json, sweep, write_sealed
from latentseq.storage.folders import check_free
from latentseq.storage.ledger import Ledger, digest_of
from latentseq.storage.manifest import MANIFEST, read_manifest
from latentseq.storage.workspace import exclusive
from latentseq.training.watch import Watcher

MAX_OWN_SIZE = 128
"""Largest side of footage that keeps its own size, if all footage has the same size and no size is chosen."""


def plan_clips(
    sources: Sequence[str | Path],
    out: Path,
    workers: int,
    preprocessing: Preprocessing | None = None,
    options: IngestOptions | None = None,
) -> Plan:
    """Plan what ``ingest`` does with these options. Nothing is written.

    Args:
        sources: files, and folders that are searched for them.
        out: folder of the clips, which is not searched.
        workers: number of files that are looked at in parallel.
        preprocessing: options of the frames.
        options: the other options.

    Raises:
        UsageError: a source does not exist, or an option does not fit.
        DataError: no file can be read.
    """
    if not sources:
        raise UsageError("There is nothing to ingest: give a video, a folder, or several.")
    frames, options = preprocessing or Preprocessing(), options or IngestOptions()
    if options.cuts:
        scene_cuts.check_installed()
    matches, skipped = discover(
        [Path(source) for source in sources],
        array=options.array,
        axes=options.axes,
        range=options.range,
        leave_out=out,
        workers=workers,
    )
    if not matches:
        raise nothing_found(skipped)
    size: Size = frames.shape
    if frames.size is None:
        size = options.crop or _own_size(matches) or frames.shape
    # A whole number and a float of the same value have to give the same plan.
    fps = None if frames.fps is None else float(frames.fps)
    gray = frames.gray or all(each.footage.gray for each in matches)
    settled = replace(frames, size=size, fps=fps, gray=gray)
    recipe = Recipe(settled, options, native=options.crop is not None and frames.size is None)
    return make_plan(recipe, matches, skipped, workers)


def carry_out(plan: Plan, out: Path, workers: int, watcher: Watcher, *, overwrite: bool) -> None:
    """Make the clips of a plan that are missing, and show a summary.

    Args:
        plan: plan of the ingestion.
        out: folder of the clips.
        workers: number of files that are decoded in parallel.
        watcher: shows progress and the summary.
        overwrite: replace an earlier result.

    Raises:
        UsageError: ``out`` holds something else.
        DataError: no file can be read.
        TryAgainError: the disk is full. The same call continues later.
    """
    with exclusive(out):
        if overwrite or not is_done(out, plan):
            _make_free(out, plan, overwrite)
            make_clips(plan, out, workers, watcher)
        manifest = _manifest(out)
        _sweep(out, {shard["file"] for shard in manifest["shards"]})
    for line in summary(manifest, plan):
        watcher.say(line)


def make_clips(plan: Plan, out: Path, workers: int, watcher: Watcher) -> None:
    """Make the clips of a plan. Shards that are in ``out`` already and undamaged are kept.

    Args:
        plan: plan of the ingestion.
        out: folder of the clips.
        workers: number of files that are decoded in parallel.
        watcher: shows progress.

    Raises:
        DataError: no clip is left.
        TryAgainError: the disk is full.
    """
    ledger = Ledger(out / UNFINISHED, _request(plan), others=True)
    ledger.begin()
    manifest, skipped = assemble(plan, _all_done(plan, ledger, workers, watcher))
    if not manifest["clips"]:
        _give_up(out)
        raise nothing_found(skipped)
    write_sealed(out / MANIFEST, manifest)
    _sweep(out, {shard["file"] for shard in manifest["shards"]})


def _own_size(matches: list[Found]) -> tuple[int, int] | None:
    """The size that all footage has, if it is the same for all and at most ``MAX_OWN_SIZE``; else None."""
    sizes = {each.footage.size for each in matches}
    return next(iter(sizes)) if len(sizes) == 1 and max(*next(iter(sizes))) <= MAX_OWN_SIZE else None


def is_done(out: Path, plan: Plan) -> bool:
    """Whether the result of a plan exists already, complete and undamaged."""
    manifest = _manifest(out)
    whole = all(digest_of(out / shard["file"]) == shard["sha256"] for shard in manifest["shards"])
    return manifest.get("plan") == plan.digest() and whole


def _manifest(out: Path) -> dict[str, Any]:
    """The manifest of an earlier result, or one without shards if there is no result."""
    return read_manifest(out) if (out / MANIFEST).is_file() else {"shards": []}


def _make_free(out: Path, plan: Plan, overwrite: bool) -> None:
    """Refuse a folder that holds something else.

    Raises:
        UsageError: the folder holds something else.
    """
    if out.is_dir():
        sweep(out)  # An ingestion that was killed in its first moment leaves nothing but temporary files.
    if not (out / UNFINISHED).is_file():
        # A result of the same plan gets here if a shard of it is missing or damaged. That shard is made again.
        same = _manifest(out).get("plan") == plan.digest()
        check_free(out, MANIFEST, overwrite=overwrite or same)
        return
    before, request = read_json(out / UNFINISHED, "what an ingestion was asked for"), _request(plan)
    if not overwrite and any(before.get(key) != value for key, value in request.items()):
        raise UsageError(
            f"{out} holds an ingestion that was not finished, with other options or files. Repeat the earlier "
            "command, choose another name, or replace it with --overwrite."
        )


def _request(plan: Plan) -> dict[str, Any]:
    """What an ingestion is requested to do, as JSON."""
    return {"options": plan.recipe.to_json(), "plan": plan.digest()}


def _all_done(plan: Plan, ledger: Ledger, workers: int, watcher: Watcher) -> list[tuple[Task, Shard]]:
    """Do all tasks of a plan, and draw more crops if too few of them moved."""
    counter, crop, round = Counter(plan, watcher), plan.recipe.crop, 0
    with contextlib.closing(watcher):
        done = _done(plan, plan.tasks, ledger, workers, counter)
        # The missing crops have to move, since those that need not move had their share.
        moving = replace(plan, recipe=replace(plan.recipe, options=replace(plan.recipe.options, still=0.0)))
        while crop and (parts := still_missing(plan, done)):
            round += 1
            done += _done(moving, tasks_of(moving, parts, round), ledger, workers, counter)
    return done


def _done(plan: Plan, tasks: list[Task], ledger: Ledger, workers: int, counter: Counter) -> list[tuple[Task, Shard]]:
    # Copies of a film have tasks in common, and two threads must not write the same file.
    different = list({task.name: task for task in tasks}.values())
    counter.expect(different)
    stop, jobs = threading.Event(), _jobs(plan, different, workers)
    with ThreadPoolExecutor(workers) as pool:
        futures = {pool.submit(Worker(plan, ledger, counter.rows_done, stop).do, job): job for job in jobs}
        try:
            for future in as_completed(futures):
                future.result()
                counter.tasks_done(futures[future])
        except BaseException:
            stop.set()
            pool.shutdown(cancel_futures=True)
            raise
    shards = {shard.file: shard for future in futures for shard in future.result()}
    return [(task, shards[task.name]) for task in tasks]


def _jobs(plan: Plan, tasks: list[Task], workers: int) -> list[list[Task]]:
    """Group tasks for workers. A worker goes on decoding where its last task ended."""
    jobs: list[list[Task]] = []
    for source, group in itertools.groupby(tasks, key=lambda task: task.parts[0].source):
        same = list(group)
        # A file without an index can only be decoded from its start.
        pieces = min(workers, len(same)) if plan.sources[source].footage.seekable else 1
        ends = [len(same) * k // pieces for k in range(pieces + 1)]
        jobs += [same[start:stop] for start, stop in itertools.pairwise(ends)]
    return jobs


def _give_up(out: Path) -> None:
    """Keep an earlier result as it was, or remove the folder."""
    manifest = _manifest(out)
    _sweep(out, {shard["file"] for shard in manifest["shards"]})
    with contextlib.suppress(OSError):  # The folder may hold something else.
        out.rmdir()


def _sweep(out: Path, files: set[str]) -> None:
    """Remove the files that an earlier or an interrupted run left."""
    sweep(out)
    for path in [*out.glob("shard-*.h5"), out / UNFINISHED]:
        if path.name not in files:
            path.unlink(missing_ok=True)
