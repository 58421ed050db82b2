"""latentseq evaluate"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import AllowPlugin, AnySize, DataSet, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq evaluate runs/lstm runs/other --data clips --context 10 --horizon 10`"


def command(
    models: Annotated[list[Path], typer.Argument(metavar="MODEL…", help="Run folders of trained models.")],
    data: Annotated[str, typer.Option("--data", help="What to measure on: any video, folder or dataset.")],
    data_options: DataSet = None,
    context: Annotated[int, typer.Option(help="Frames that a model sees.")] = 10,
    horizon: Annotated[int, typer.Option(help="Frames that it predicts.")] = 10,
    split: Annotated[str, typer.Option(help="test, validation or train; choose models on validation.")] = "test",
    clips: Annotated[int, typer.Option(help="Measure on so many windows at most, evenly spread.")] = 1000,
    samples: Annotated[int, typer.Option(help="Futures of a window; from 2 on, they are measured too.")] = 1,
    temperature: Annotated[float, typer.Option(help="Of the samples; all else is measured at 0.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the samples; the same seed writes the same bytes.")] = 0,
    size: AnySize = None,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("evaluation"),
    allow_plugins: AllowPlugin = (),  # type: ignore[assignment]
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure models against floors, and say where their error comes from."""
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
