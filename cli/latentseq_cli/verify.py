"""latentseq verify"""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLE = "Example: `latentseq verify runs`"


def command(
    path: Annotated[Path, typer.Argument(help="Run folder, folder of clips or latents, or folder of such folders.")],
) -> None:
    """Check files against their stored checksums."""
    from latentseq.commands.verify import verify
    from latentseq_cli.show import print_rows

    print_rows(verify(path))
