"""latentseq train"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import (
    DATA,
    AllowPlugin,
    BatchSize,
    Conditions,
    Config,
    DataSet,
    Epochs,
    Fit,
    Fps,
    Gray,
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
    Size,
    Skip,
    Steps,
    Stride,
    settings,
)

EXAMPLE = "Example: `latentseq train film.mp4 runs/unet --predictor unet --size 64 --max-minutes 10`"


def command(
    data: Annotated[str, typer.Argument(help=DATA)],
    out: Annotated[Path, typer.Argument(help="Folder of the run.")],
    predictor: Annotated[
        str | None, typer.Option(help="Name of the predictor (required). `latentseq plugins` lists all.")
    ] = None,
    preset: Preset = None,
    options: Set = None,
    conditions: Conditions = None,
    data_options: DataSet = None,
    size: Size = None,
    fit: Fit = "crop",
    gray: Gray = False,
    fps: Fps = None,
    skip: Skip = 1,
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
    """Train a predictor on frames, from scratch."""
    from latentseq.commands.train import train
    from latentseq.data.windows import WindowOptions
    from latentseq.media.preprocessing import Preprocessing
    from latentseq.training.budget import Budget

    print(
        train(
            data,
            out,
            predictor=predictor,
            preset=preset,
            options=settings(options),
            conditions=conditions,
            data_options=settings(data_options),
            preprocessing=Preprocessing(size, fit, gray, fps, skip),
            allow_plugins=allow_plugins,
            windows=WindowOptions(length, stride),
            budget=Budget(epochs, steps, max_minutes, batch_size, learning_rate, keep),
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
