"""latentseq train-lstm"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq.networks.heads import head_names
from latentseq_cli.options import (
    AllowPlugin,
    BatchSize,
    Config,
    DataSet,
    Epochs,
    LearningRate,
    MaxMinutes,
    Overwrite,
    Preset,
    Quiet,
    Resume,
    Seed,
    Set,
    Steps,
    settings,
)

HEADS = ", ".join(head_names())
EXAMPLE = "Example: `latentseq train-lstm runs/z runs/ae runs/lstm --head mixture --max-minutes 2`"


def command(
    data: Annotated[str, typer.Argument(help="A folder of latents; or a video, folder or dataset, encoded first.")],
    encoder: Annotated[Path, typer.Argument(help="Run folder of the encoder that the latents are of.")],
    out: Annotated[Path, typer.Argument(help="Folder of the run.")],
    dynamics: Annotated[str, typer.Option(help="Which dynamics; `latentseq plugins` lists them.")] = "lstm",
    head: Annotated[
        str | None,
        typer.Option(help=f"Head, which says what the output means: {HEADS}.  [default: the dynamics' own]"),
    ] = None,
    preset: Preset = None,
    options: Set = None,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    length: Annotated[
        int | None, typer.Option(help="Items of a training window.  [default: 30, or as many as the clips have]")
    ] = None,
    stride: Annotated[int, typer.Option(help="Items from one window's start to the next.")] = 1,
    epochs: Epochs = None,
    steps: Steps = None,
    max_minutes: MaxMinutes = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Train a dynamics model on latents."""
    from latentseq.commands.train_lstm import train_lstm

    print(
        train_lstm(
            data,
            encoder,
            out,
            dynamics=dynamics,
            head=head,
            preset=preset,
            options=settings(options),
            data_options=settings(data_options),
            allow_plugins=allow_plugins,
            length=length,
            stride=stride,
            epochs=epochs,
            steps=steps,
            max_minutes=max_minutes,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
