"""Any videos, images and arrays in, a folder of clips out."""

import os
from collections.abc import Sequence
from pathlib import Path

from latentseq.errors import UsageError
from latentseq.ingestion.report import plan_report
from latentseq.ingestion.run import carry_out, plan_clips
from latentseq.training.watch import Watcher


def ingest(
    sources: Sequence[str | Path],
    out: str | Path,
    *,
    size: str | int | None = None,
    fit: str = "crop",
    gray: bool = False,
    fps: float | None = None,
    skip: int = 1,
    array: str | None = None,
    axes: str | None = None,
    range: str | None = None,
    cuts: bool = False,
    min_length: int = 20,
    clip_length: int | None = None,
    stride: int | None = None,
    crop: int | None = None,
    count: int = 10_000,
    still: float = 0.05,
    motion: float = 0.02,
    audio: str = "mel",
    workers: int = 0,
    seed: int = 0,
    dry_run: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path | str:
    """Make a folder of clips of videos, images and arrays.

    The same command again goes on where an earlier one was stopped, and gives the same bytes. A file that cannot be
    read whole is skipped, and the manifest says why.

    Args:
        sources: video files, images, arrays (.npy, .npz, .h5, .tfrecord), and folders that are searched for them;
            what lies in a folder called train, validation or test is that split.
        out: folder of the clips.
        size: of the frames, ``64`` or ``48x64`` (h x w). Where None: 64, or their own size if all have the same and
            it is at most 128; with ``crop``, each film's own.
        fit: crop, pad or stretch.
        gray: one channel; also where False, if nothing that is found has colour.
        fps: frames a second, by presentation time.
        skip: keep every n-th frame.
        array: which array of .npz and .h5 files.
        axes: the axes of the arrays, a letter for each: T for time, N for clips, H for height, W for width, C for
            channels, such as ``TNHW``; recognised from the shape where None, which what is ambiguous is not.
        range: the values of black and white in arrays and images that are not of 8 bits, such as ``0..4095``; where
            None 0..65535 for integers and 0..1 for floats.
        cuts: a clip ends where a scene does.
        min_length: with ``cuts``, shorter scenes are left out, in frames.
        clip_length: cut into clips of so many frames; with ``crop`` the frames of a crop, 10 where None.
        stride: frames from the start of one such clip to the next; as many as it has where None.
        crop: cut small windows of that side out of the frames, where something moves.
        count: of these windows.
        still: the share of windows that need not move.
        motion: the least motion of the others: mean absolute difference of successive frames, of 1.
        audio: mel, wave or none: what is kept of the sound, a row for each frame.
        workers: files decoded at a time; as many as there are cores where 0.
        seed: of the windows.
        dry_run: only say what would be done.
        overwrite: replace an earlier result; what it has in common with the new one is not made again.
        quiet: show no progress.

    Returns:
        ``out``; with ``dry_run`` the plan, in words.

    Raises:
        UsageError: a source does not exist, an option does not fit, or ``out`` is something else.
        DataError: nothing that was found can be read.
        TryAgainError: the disk is full; the same command goes on later.
    """
    out, workers = Path(out), workers or os.cpu_count() or 1
    if workers < 1:
        raise UsageError(f"workers is {workers}; expected 1 or more, or 0 for one a core.")
    plan = plan_clips(
        sources,
        out,
        workers,
        size=size,
        fit=fit,
        gray=gray,
        fps=fps,
        skip=skip,
        array=array,
        axes=axes,
        range=range,
        cuts=cuts,
        min_length=min_length,
        clip_length=clip_length,
        stride=stride,
        crop=crop,
        count=count,
        still=still,
        motion=motion,
        audio=audio,
        seed=seed,
    )
    if dry_run:
        return plan_report(plan, workers)
    carry_out(plan, out, workers, Watcher("ingest", quiet=quiet), overwrite=overwrite)
    return out
