"""latentseq evaluate"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import DATA, AllowPlugin, AnySize, DataSet, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq evaluate runs/lstm runs/other --data clips --context 10 --horizon 10`"


def command(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL…", help="Run folders of trained models.")],
    data: Annotated[str, typer.Option("--data", help=DATA)],
    data_options: DataSet = None,
    context: Annotated[int, typer.Option(help="Number of frames that a model sees first.")] = 10,
    horizon: Annotated[int, typer.Option(help="Number of frames that a model predicts.")] = 10,
    split: Annotated[
        str,
        typer.Option(help="Split to measure on: test, validation (to choose models) or train."),
    ] = "test",
    clips: Annotated[int, typer.Option(help="Maximum number of windows, evenly spread over the split.")] = 1000,
    samples: Annotated[
        int, typer.Option(help="Number of continuations per window. With two or more, samples are measured as well.")
    ] = 1,
    temperature: Annotated[float, typer.Option(help="Temperature of the samples. Single predictions use 0.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Random seed for the samples. The same seed gives the same bytes.")] = 0,
    size: AnySize = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("evaluation"),
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Compare models with simple baselines, and find where their error comes from."""
    from latentseq.commands.evaluate import evaluate, table

    written = evaluate(
        models,
        data=data,
        data_options=settings(data_options),
        context=context,
        horizon=horizon,
        split=split,
        clips=clips,
        samples=samples,
        temperature=temperature,
        seed=seed,
        size=size,
        out=out,
        allow_plugins=allow_plugins,
        overwrite=overwrite,
        quiet=quiet,
    )
    print(table(written))
    print(written)
