"""latentseq tune"""

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
    Keep,
    LearningRate,
    Length,
    MaxMinutes,
    Overwrite,
    Quiet,
    Resume,
    Seed,
    Steps,
    Stride,
    settings,
)

EXAMPLE = "Example: `latentseq tune runs/lstm film.mp4 runs/tuned --parts dynamics,decoder --max-minutes 5`"


def command(
    run: Annotated[Path, typer.Argument(help="Run folder to fine-tune, of train-lstm or of an earlier tune.")],
    data: Annotated[str, typer.Argument(help=DATA)],
    out: Annotated[Path, typer.Argument(help="Folder of the run.")],
    parts: Annotated[
        str, typer.Option(metavar="NAME,…", help="Parts to train. The other parts do not change.")
    ] = "dynamics,decoder,encoder",
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
    """Tune an encoder and its dynamics together, on the error of the frames that they predict."""
    from latentseq.commands.tune import tune
    from latentseq.data.windows import WindowOptions
    from latentseq.training.budget import Budget

    print(
        tune(
            run,
            data,
            out,
            parts=parts,
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
