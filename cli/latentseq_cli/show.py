"""latentseq show"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: `latentseq show runs/lstm`"


def command(path: Annotated[Path, typer.Argument(help="Run folder, or folder of clips or latents.")]) -> None:
    """Describe the content of a folder."""
    from latentseq.commands.show import show

    print_rows(show(path))


def print_rows(rows: Mapping[str, str]) -> None:
    """Print names and values, one row each."""
    from rich.table import Table
    from rich.text import Text

    from latentseq.errors import printable
    from latentseq_cli.tables import console

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in rows.items():
        table.add_row(
            Text(printable(name), "bold"), Text(printable(value))
        )  # As text: a film may be called [red].mp4.
    console(highlight=False).print(table)
