"""latentseq sample"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import AllowPlugin, AnySize, DataSet, Overwrite, settings

EXAMPLE = "Example: `latentseq sample runs/lstm film.mp4 out.gif --start 76 --prime 30 --steps 30 --samples 4`"


def command(
    model: Annotated[Path, typer.Argument(help="Run folder of train-lstm.")],
    data: Annotated[str, typer.Argument(metavar="PRIME", help="What to start from: any video, folder or dataset.")],
    out: Annotated[Path, typer.Argument(help="File to write: .mp4, .gif, .webp, .png (contact sheet) or .npz.")],
    clip: Annotated[
        int | None, typer.Option(help="Which clip.  [default: the first for testing, else the first]")
    ] = None,
    start: Annotated[str, typer.Option(help="The first frame shown to the model, or a time such as 1.5s.")] = "0",
    prime: Annotated[
        str | None, typer.Option(help="Frames shown, or a time.  [default: 30, or half of a shorter clip]")
    ] = None,
    steps: Annotated[int, typer.Option(help="Frames to go on.")] = 30,
    samples: Annotated[int, typer.Option(help="Futures.")] = 1,
    temperature: Annotated[float, typer.Option(help="0 the most probable path, 1 the model's own spread.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the noise; the same seed writes the same bytes.")] = 0,
    size: AnySize = None,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
) -> None:
    """Show a model the start of a clip and write what it imagines after it."""
    from latentseq.commands.sample import sample

    print(
        sample(
            model,
            data,
            out,
            clip=clip,
            start=start,
            prime=prime,
            steps=steps,
            samples=samples,
            temperature=temperature,
            seed=seed,
            size=size,
            data_options=settings(data_options),
            allow_plugins=allow_plugins,
            overwrite=overwrite,
        )
    )
