"""latentseq train"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import (
    AllowPlugin,
    BatchSize,
    Config,
    DataSet,
    Epochs,
    Fit,
    Fps,
    Gray,
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

EXAMPLE = (
    "Examples: `latentseq train film.mp4 runs/unet --predictor unet --size 64 --max-minutes 10` · "
    "`latentseq train film.mp4 runs/tuned --from runs/lstm --tune dynamics,decoder --max-minutes 5`"
)


def command(
    data: Annotated[str, typer.Argument(help="A video, folder or dataset.")],
    out: Annotated[Path, typer.Argument(help="Folder of the run.")],
    predictor: Annotated[str, typer.Option(help="Which predictor; `latentseq plugins` lists them.")] = "latent",
    preset: Preset = None,
    options: Set = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Of latent: run folder of train-lstm, whose parts are tuned.")
    ] = None,
    tune: Annotated[
        str, typer.Option(help="Of latent: which parts are trained; the others stay as they are.")
    ] = "dynamics,decoder,encoder",
    data_options: DataSet = None,
    size: Size = None,
    fit: Fit = "crop",
    gray: Gray = False,
    fps: Fps = None,
    skip: Skip = 1,
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    length: Annotated[
        int | None, typer.Option(help="Frames of a training window.  [default: 30, or as many as the clips have]")
    ] = None,
    stride: Annotated[int, typer.Option(help="Frames from one window's start to the next.")] = 1,
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
    """Train a predictor on frames."""
    from latentseq.commands.train import train

    print(
        train(
            data,
            out,
            predictor=predictor,
            preset=preset,
            options=settings(options),
            from_=from_,
            tune=tune,
            data_options=settings(data_options),
            size=size,
            fit=fit,
            gray=gray,
            fps=fps,
            skip=skip,
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
