"""latentseq export"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DataSet, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq export runs/clips exported --format png`"


def command(
    data: Annotated[str, typer.Argument(help="A video, a folder of movies, frames or clips, or a dataset's name.")],
    out: Annotated[Path, typer.Argument(help="Folder of files; each split in a folder of its own.")],
    format: Annotated[
        str, typer.Option(help="mp4, gif, webp, png (a folder a clip), npy (arrays) or tfrecord (with side streams).")
    ] = "mp4",
    data_options: DataSet = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write every clip in a format that other programs read."""
    from latentseq.commands.export import export

    print(export(data, out, format=format, data_options=settings(data_options), overwrite=overwrite, quiet=quiet))
