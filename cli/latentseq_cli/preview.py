"""latentseq preview"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DataSet, Overwrite, settings

EXAMPLE = "Example: `latentseq preview moving-digits digits.png`"


def command(
    data: Annotated[str, typer.Argument(help="A video, a folder of movies, frames or clips, or a dataset's name.")],
    out: Annotated[
        Path | None, typer.Argument(help="File to write: .png.  [default: DATA-preview.png in this folder]")
    ] = None,
    data_options: DataSet = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw some frames of some clips as one picture."""
    from latentseq.commands.preview import preview

    print(preview(data, out, data_options=settings(data_options), overwrite=overwrite))
