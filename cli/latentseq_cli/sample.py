"""latentseq sample"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DATA, AllowPlugin, AnySize, DataSet, Overwrite, settings

EXAMPLE = "Example: `latentseq sample runs/lstm film.mp4 out.gif --start 76 --prime 30 --steps 30 --samples 4`"


def command(
    model: Annotated[Path, typer.Argument(help="Run folder of train-lstm, tune or train.")],
    data: Annotated[str, typer.Argument(metavar="PRIME", help=DATA)],
    out: Annotated[Path, typer.Argument(help="File to write: .mp4, .gif, .webp, .png (contact sheet) or .npz.")],
    clip: Annotated[
        int | None, typer.Option(help="Number of the clip.  [default: the first test clip, or else clip 0]")
    ] = None,
    start: Annotated[str, typer.Option(help="First frame that the model sees, or a time such as 1.5s.")] = "0",
    prime: Annotated[
        str | None,
        typer.Option(
            help="Number of frames (or seconds, 1.5s) the model sees first.  [default: 30, or half of a shorter clip]"
        ),
    ] = None,
    steps: Annotated[int, typer.Option(help="Number of frames to generate.")] = 30,
    samples: Annotated[int, typer.Option(help="Number of different continuations to generate.")] = 1,
    temperature: Annotated[
        float,
        typer.Option(help="Sampling temperature: 0 for the most probable path, 1 for the model's own spread."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Random seed for the sampling noise.")] = 0,
    size: AnySize = None,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
) -> None:
    """Show a model the start of a clip, and write the continuations that it predicts."""
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
