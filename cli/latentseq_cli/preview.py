"""latentseq preview"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DATA, DataSet, Overwrite, settings

EXAMPLE = "Example: `latentseq preview moving-digits digits.png`"


def command(
    data: Annotated[str, typer.Argument(help=DATA)],
    out: Annotated[
        Path | None, typer.Argument(help="Picture to write, a .png file.  [default: DATA-preview.png in this folder]")
    ] = None,
    data_options: DataSet = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw frames of several clips in one picture."""
    from latentseq.commands.preview import preview

    print(preview(data, out, data_options=settings(data_options), overwrite=overwrite))
