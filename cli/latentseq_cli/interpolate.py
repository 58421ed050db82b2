"""latentseq interpolate"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import AllowPlugin, DataSet, Overwrite, settings

EXAMPLE = "Example: `latentseq interpolate runs/ae film.mp4 out.gif --start 1.5s --end 0:200 --steps 60 --loop`"


def command(
    model: Annotated[Path, typer.Argument(help="Run folder of an encoder, or of train-lstm.")],
    data: Annotated[str, typer.Argument(help="Where the frames are: any video, folder or dataset.")],
    out: Annotated[Path, typer.Argument(help="File to write: .mp4, .gif, .webp, .png (contact sheet) or .npz.")],
    start: Annotated[
        str | None, typer.Option(help="A frame, as CLIP:FRAME, FRAME, or with a time 1.5s.  [default: the first]")
    ] = None,
    end: Annotated[str | None, typer.Option(help="The frame to reach.  [default: the last of that clip]")] = None,
    steps: Annotated[int, typer.Option(help="From one frame to the next one given.")] = 30,
    clips: Annotated[bool, typer.Option("--clips", help="Both ends move on: one clip becomes the other.")] = False,
    walk: Annotated[
        int | None, typer.Option(help="Instead, pass through so many frames of the data, chosen at random.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Return to where it began.")] = False,
    seed: Annotated[int, typer.Option(help="Of the walk.")] = 0,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
) -> None:
    """Go from one frame or clip to another in the latents, or for a walk through them."""
    from latentseq.commands.interpolate import interpolate

    print(
        interpolate(
            model,
            data,
            out,
            start=start,
            end=end,
            steps=steps,
            clips=clips,
            walk=walk,
            loop=loop,
            seed=seed,
            data_options=settings(data_options),
            allow_plugins=allow_plugins,
            overwrite=overwrite,
        )
    )
