"""Any videos, images and arrays in, a folder of clips out."""

import os
from collections.abc import Sequence
from pathlib import Path

from latentseq.errors import UsageError
from latentseq.ingestion.recipe import IngestOptions
from latentseq.ingestion.report import plan_report
from latentseq.ingestion.run import carry_out, plan_clips
from latentseq.media.preprocessing import Preprocessing
from latentseq.training.watch import Watcher


def ingest(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    preprocessing: Preprocessing | None = None,
    options: IngestOptions | None = None,
    workers: int = 0,
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path | str:
    """Make a folder of clips from videos, images and arrays.

    The same command continues an interrupted one and gives the same bytes. A file that cannot be read whole is
    skipped, and the manifest says why.

    Args:
        sources: video files, images, arrays (.npy, .npz, .h5, .tfrecord), and folders that are searched for them.
            Files in a folder named train, validation or test belong to that split.
        out: folder of the clips.
        preprocessing: size, fit, colour and frame rate of the frames. If no size is chosen, frames are 64 x 64, or
            keep their own size if all files have the same size of at most 128 pixels, and crops are cut out of frames
            of their own size. Frames have one channel if no file has colour.
        options: how arrays are read, and how footage is cut into clips.
        workers: number of files that are decoded in parallel. 0 stands for the number of cores.
        dry_run: only describe what would be done.
        overwrite: replace an earlier result. Parts that it shares with the new one are kept.
        quiet: show no progress.

    Returns:
        ``out``, or the plan in words with ``dry_run``.

    Raises:
        UsageError: a source does not exist, an option does not fit, or ``out`` is something else.
        DataError: no file can be read.
        TryAgainError: the disk is full. The same command continues later.
    """
    out, workers = Path(out), workers or os.cpu_count() or 1
    if workers < 1:
        raise UsageError(f"workers is {workers}; expected 1 or more, or 0 for one per core.")
    plan = plan_clips(sources, out, workers, preprocessing, options)
    if dry_run:
        return plan_report(plan, workers)
    carry_out(plan, out, workers, Watcher("ingest", quiet=quiet), overwrite=overwrite)
    return out
