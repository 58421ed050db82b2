"""latentseq surprise"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DATA, AllowPlugin, DataSet, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq surprise runs/lstm film.mp4 surprise --top 10`"


def command(
    model: Annotated[Path, typer.Argument(help="Run folder of train-lstm or tune.")],
    data: Annotated[str, typer.Argument(metavar="VIDEO", help=DATA)],
    out: Annotated[
        Path, typer.Argument(help="Folder for the curve (.csv and .png) and a video with the curve.")
    ] = Path("surprise"),
    clip: Annotated[
        int | None, typer.Option(help="Number of the clip.  [default: the first test clip, or else clip 0]")
    ] = None,
    top: Annotated[int, typer.Option(help="Number of moments to list, at least half a second apart.")] = 5,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Find moments of a video that a model did not expect, by -log p of each frame given the earlier frames."""
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
