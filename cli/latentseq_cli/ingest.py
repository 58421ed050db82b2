"""latentseq ingest"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import Overwrite, Quiet

EXAMPLE = "Example: `latentseq ingest films/ clips --size 64 --cuts`"


def command(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="SRC…", help="Videos, images, arrays, and folders that are searched for them."),
    ],
    out: Annotated[Path, typer.Argument(help="Folder of the clips.")],
    size: Annotated[
        str | None,
        typer.Option(help="Of the frames: 64, or 48x64 (h x w).  [default: 64, or their own if all are small]"),
    ] = None,
    fit: Annotated[str, typer.Option(help="Where the shape differs: crop, pad or stretch.")] = "crop",
    gray: Annotated[bool, typer.Option("--gray", help="One channel; so without colour in any file, too.")] = False,
    fps: Annotated[float | None, typer.Option(help="Frames a second, by presentation time.")] = None,
    skip: Annotated[int, typer.Option(help="Keep every n-th frame.")] = 1,
    array: Annotated[str | None, typer.Option(metavar="KEY", help="Which array of .npz and .h5 files.")] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Axes of the arrays, a letter for each: T time, N clips, H height, W width, C channels; such as "
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
    cuts: Annotated[bool, typer.Option("--cuts", help="A clip ends where a scene does.")] = False,
    min_length: Annotated[int, typer.Option(help="With --cuts: shorter scenes are left out, in frames.")] = 20,
    clip_length: Annotated[int | None, typer.Option(help="Cut into clips of so many frames.")] = None,
    stride: Annotated[int | None, typer.Option(help="Frames from one such clip's start to the next.")] = None,
    crop: Annotated[
        int | None, typer.Option(help="Cut windows of that side out of the frames, where something moves.")
    ] = None,
    count: Annotated[int, typer.Option(help="Of these windows.")] = 10_000,
    still: Annotated[float, typer.Option(help="The share of windows that need not move.")] = 0.05,
    motion: Annotated[float, typer.Option(help="The least motion of the others, of 1.")] = 0.02,
    audio: Annotated[
        str, typer.Option(help="What is kept of the sound, a row for each frame: mel, wave or none.")
    ] = "mel",
    workers: Annotated[int, typer.Option(help="Files decoded at a time; 0 for one a core.")] = 0,
    seed: Annotated[int, typer.Option(help="Of the windows.")] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a folder of clips of any videos, images and arrays."""
    from latentseq.commands.ingest import ingest

    print(
        ingest(
            sources,
            out,
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
            workers=workers,
            seed=seed,
            dry_run=dry_run,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
