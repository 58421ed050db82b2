"""latentseq interpolate"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DATA, AllowPlugin, DataSet, Overwrite, settings

EXAMPLE = "Example: `latentseq interpolate runs/ae film.mp4 out.gif --start 1.5s --end 0:200 --steps 60 --loop`"


def command(
    model: Annotated[Path, typer.Argument(help="Run folder of an encoder, or of train-lstm.")],
    data: Annotated[str, typer.Argument(help=DATA)],
    out: Annotated[Path, typer.Argument(help="File to write: .mp4, .gif, .webp, .png (contact sheet) or .npz.")],
    start: Annotated[
        str | None,
        typer.Option(help="First frame: CLIP:FRAME, FRAME, or a time such as 1.5s.  [default: the first frame]"),
    ] = None,
    end: Annotated[str | None, typer.Option(help="Last frame.  [default: the end of the same clip]")] = None,
    steps: Annotated[int, typer.Option(help="Number of steps between two chosen frames.")] = 30,
    clips: Annotated[bool, typer.Option("--clips", help="Play both clips while one turns into the other.")] = False,
    walk: Annotated[
        int | None,
        typer.Option(help="Number of random frames to pass through, in place of --start and --end."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Return to the first frame.")] = False,
    seed: Annotated[int, typer.Option(help="Random seed for --walk.")] = 0,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
) -> None:
    """Interpolate between frames or clips in the latent space, or walk through it."""
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
