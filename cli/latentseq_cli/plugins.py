"""latentseq plugins"""

from typing import Annotated

import typer

EXAMPLE = "Example: `latentseq plugins encoders`"


def command(
    group: Annotated[
        str | None, typer.Argument(help="Kind: datasets, encoders, decoders, dynamics or predictors.  [default: all]")
    ] = None,
) -> None:
    """List the installed plugins, without importing them."""
    from rich.table import Table

    from latentseq.commands.plugins import plugins
    from latentseq_cli.tables import console

    table = Table("kind", "name", "from", "class", box=None, pad_edge=False, header_style="bold")
    table.columns[-1].overflow = "fold"
    for row in plugins(group):
        table.add_row(row.group, row.name, f"{row.distribution} {row.version}", row.value)
    console().print(table)
