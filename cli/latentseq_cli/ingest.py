"""latentseq ingest"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import Fit, Fps, HoldOut, Overwrite, Quiet, Size, Skip

EXAMPLE = "Example: `latentseq ingest films/ clips --size 64 --cuts`"


def command(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SRC…", help="Videos, images, arrays, and folders that are searched for them."),
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the clips.")],
    size: Size = None,
    fit: Fit = "crop",
    gray: Annotated[
        bool,
        typer.Option("--gray", help="Convert frames to one channel. This is the default if no file has colour."),
    ] = False,
    fps: Fps = None,
    skip: Skip = 1,
    array: Annotated[
        str | None, typer.Option(metavar="KEY", help="Name of the array to read from .npz and .h5 files.")
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Axes of the arrays, one letter each: T time, N clips, H height, W width, C channels; such as "
            "TNHW.  [default: recognised from the shape]"
        ),
    ] = None,
    range: Annotated[
        str | None,
        typer.Option(
            metavar="LOW..HIGH",
            help="Values of black and white in arrays and images that do not have 8 bits, such as 0..4095."
            "  [default: 0..65535, floats 0..1]",
        ),
    ] = None,
    cuts: Annotated[bool, typer.Option("--cuts", help="End a clip where a scene ends.")] = False,
    min_length: Annotated[
        int, typer.Option(help="Minimum length of a scene in frames, with --cuts. Shorter scenes are left out.")
    ] = 20,
    clip_length: Annotated[
        int | None, typer.Option(help="Length of a clip in frames.  [default: whole scenes; 10 with --crop]")
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(
            help="Number of frames from the start of one clip to the start of the next.  [default: --clip-length]"
        ),
    ] = None,
    crop: Annotated[
        int | None,
        typer.Option(help="Draw windows of this side in pixels where something moves, in place of whole frames."),
    ] = None,
    count: Annotated[int, typer.Option(help="Number of windows to draw, with --crop.")] = 10_000,
    still: Annotated[
        float, typer.Option(help="Share of these windows that may be without motion, from 0 to 1.")
    ] = 0.05,
    motion: Annotated[
        float,
        typer.Option(help="Minimum motion of the other windows: mean difference of successive frames, from 0 to 1."),
    ] = 0.02,
    audio: Annotated[
        str, typer.Option(help="Features of the sound to keep, one row per frame: mel, wave or none.")
    ] = "mel",
    seed: Annotated[int, typer.Option(help="Random seed for these windows.")] = 0,
    hold_out: HoldOut = None,
    workers: Annotated[int, typer.Option(help="Number of files decoded in parallel. 0 uses all cores.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only describe what would be done.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a folder of clips from any videos, images and arrays."""
    from latentseq.commands.ingest import ingest
    from latentseq.ingestion.recipe import IngestOptions
    from latentseq.media.preprocessing import Preprocessing

    options = IngestOptions(
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
        hold_out=hold_out,
    )
    print(
        ingest(
            sources,
            out,
            preprocessing=Preprocessing(size, fit, gray, fps, skip),
            options=options,
            workers=workers,
            dry_run=dry_run,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
