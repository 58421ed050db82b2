"""latentseq train-ae"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import (
    DATA,
    AllowPlugin,
    BatchSize,
    Config,
    DataSet,
    Epochs,
    Fit,
    Fps,
    Gray,
    Keep,
    LearningRate,
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
    settings,
)

EXAMPLE = "Example: `latentseq train-ae film.mp4 runs/ae --encoder vae --set latent_dim=64 --size 64 --max-minutes 3`"


def command(
    data: Annotated[str, typer.Argument(help=DATA)],
    out: Annotated[Path, typer.Argument(help="Folder of the run.")],
    encoder: Annotated[str, typer.Option(help="Name of the encoder. `latentseq plugins` lists all.")] = "vae",
    preset: Preset = None,
    options: Set = None,
    data_options: DataSet = None,
    size: Size = None,
    fit: Fit = "crop",
    gray: Gray = False,
    fps: Fps = None,
    skip: Skip = 1,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
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
    """Train an encoder on frames."""
    from latentseq.commands.train_ae import train_ae
    from latentseq.media.preprocessing import Preprocessing
    from latentseq.training.budget import Budget

    print(
        train_ae(
            data,
            out,
            encoder=encoder,
            preset=preset,
            options=settings(options),
            data_options=settings(data_options),
            preprocessing=Preprocessing(size, fit, gray, fps, skip),
            allow_plugins=allow_plugins,
            budget=Budget(epochs, steps, max_minutes, batch_size, learning_rate, keep),
            seed=seed,
            resume=resume,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
