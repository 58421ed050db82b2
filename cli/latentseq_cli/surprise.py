"""latentseq surprise"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import AllowPlugin, DataSet, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq surprise runs/lstm film.mp4 surprise --top 10`"


def command(
    model: Annotated[Path, typer.Argument(help="Run folder of train-lstm.")],
    data: Annotated[str, typer.Argument(metavar="VIDEO", help="What to look through: any video, folder or dataset.")],
    out: Annotated[Path, typer.Argument(help="Folder for the curve as .csv and .png, and the video over it.")] = Path(
        "surprise"
    ),
    clip: Annotated[
        int | None, typer.Option(help="Which clip.  [default: the first for testing, else the first]")
    ] = None,
    top: Annotated[int, typer.Option(help="How many moments are named; within half a second it is one.")] = 5,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Find the moments of a video that a model did not expect: -log p of every frame, given those before."""
    from latentseq.commands.surprise import surprise, table

    path = surprise(
        model,
        data,
        out,
        clip=clip,
        top=top,
        data_options=settings(data_options),
        allow_plugins=allow_plugins,
        overwrite=overwrite,
        quiet=quiet,
    )
    print(table(path))
    print(path)
