"""latentseq show"""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: `latentseq show runs/lstm`"


def command(path: Annotated[Path, typer.Argument(help="A run folder, or a folder of clips or latents.")]) -> None:
    """Say what a folder holds."""
    from rich.console import Console
    from rich.table import Table

    from latentseq.describe import describe

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in describe(path).items():
        table.add_row(f"[bold]{name}[/bold]", value)
    Console(soft_wrap=True, highlight=False).print(table)
