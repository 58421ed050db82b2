"""latentseq verify"""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: `latentseq verify runs`"


def command(
    path: Annotated[Path, typer.Argument(help="A run folder, a folder of clips or latents, or one of such folders.")],
) -> None:
    """Check that the files of a folder are those that were written."""
    from latentseq.commands.verify import verify
    from latentseq_cli.show import print_rows

    print_rows(verify(path))
