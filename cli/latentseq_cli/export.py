"""latentseq export"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DATA, DataSet, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq export runs/clips exported --format png`"


def command(
    data: Annotated[str, typer.Argument(help=DATA)],
    out: Annotated[Path, typer.Argument(help="Folder of the files, with one folder per split.")],
    format: Annotated[
        str,
        typer.Option(
            help="Format: mp4, gif, webp, png (one folder per clip), npy (arrays) or tfrecord (with side streams)."
        ),
    ] = "mp4",
    data_options: DataSet = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Write every clip in a format that other programs can read."""
    from latentseq.commands.export import export

    print(export(data, out, format=format, data_options=settings(data_options), overwrite=overwrite, quiet=quiet))
