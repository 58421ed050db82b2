"""latentseq train-lstm"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq.networks.heads import head_names
from latentseq_cli.options import (
    AllowPlugin,
    BatchSize,
    Conditions,
    Config,
    DataSet,
    Epochs,
    Keep,
    LearningRate,
    Length,
    MaxMinutes,
    Overwrite,
    Preset,
    Quiet,
    Resume,
    Seed,
    Set,
    Steps,
    Stride,
    settings,
)

HEADS = ", ".join(head_names())
EXAMPLE = "Example: `latentseq train-lstm runs/z runs/ae runs/lstm --head mixture --max-minutes 2`"


def command(
    data: Annotated[
        str, typer.Argument(help="Folder of latents; or a video, folder or dataset, which is encoded first.")
    ],
    encoder: Annotated[Path, typer.Argument(help="Run folder of the encoder that made the latents.")],
    out: Annotated[Path, typer.Argument(help="Folder of the run.")],
    dynamics: Annotated[
        str, typer.Option(help="Name of the dynamics model. `latentseq plugins` lists all.")
    ] = "lstm",
    head: Annotated[
        str | None,
        typer.Option(help=f"Head, the predicted density and its loss: {HEADS}.  [default: chosen by the dynamics]"),
    ] = None,
    preset: Preset = None,
    options: Set = None,
    conditions: Conditions = None,
    data_options: DataSet = None,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    length: Length = None,
    stride: Stride = 1,
    epochs: Epochs = None,
    steps: Steps = None,
    max_minutes: MaxMinutes = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    keep: Keep = "best",
    seed: Seed = 0,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    config: Config = None,
) -> None:
    """Train a dynamics model on latents."""
    from latentseq.commands.train_lstm import train_lstm
    from latentseq.data.windows import WindowOptions
    from latentseq.training.budget import Budget

    print(
        train_lstm(
            data,
            encoder,
            out,
            dynamics=dynamics,
            head=head,
            preset=preset,
            options=settings(options),
            conditions=conditions,
            data_options=settings(data_options),
            allow_plugins=allow_plugins,
            windows=WindowOptions(length, stride),
            budget=Budget(epochs, steps, max_minutes, batch_size, learning_rate, keep),
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
