"""latentseq encode"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DATA, AllowPlugin, DataSet, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq encode film.mp4 runs/ae runs/z`"


def command(
    data: Annotated[str, typer.Argument(help=DATA)],
    encoder: Annotated[Path, typer.Argument(help="Run folder of a trained encoder.")],
    out: Annotated[Path, typer.Argument(help="Folder of the latents.")],
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Encode every clip to latents."""
    from latentseq.commands.encode import encode

    print(
        encode(
            data,
            encoder,
            out,
            data_options=settings(data_options),
            allow_plugins=allow_plugins,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
