"""latentseq demo"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import Overwrite, Quiet, Seed

EXAMPLE = "Example: `latentseq demo` writes latentseq-demo/continuation.gif"


def command(
    out: Annotated[Path, typer.Argument(help="Folder to write to.")] = Path("latentseq-demo"),
    seed: Seed = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Run every step on generated clips, in at most two minutes and without a download."""
    from latentseq.commands.demo import demo, table

    print(demo(out, seed=seed, overwrite=overwrite, quiet=quiet))
    print(table(out))
