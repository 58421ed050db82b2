"""Options that several commands share, and how their values are read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from latentseq.errors import UsageError
from latentseq.storage.reading import JSON_DEPTH, is_shallow

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="An option of the plugin; a JSON value. May be repeated."),
]
DataSet = Annotated[
    list[str] | None,
    typer.Option("--data-set", metavar="KEY=VALUE", help="An option of the dataset; a JSON value. May be repeated."),
]
Preset = Annotated[
    str | None, typer.Option(help="The plugin's options for a purpose: tiny, cpu or gpu. --set wins over it.")
]
Size = Annotated[str | None, typer.Option(help="Of frames decoded from files: 64, or 48x64 (h x w).  [default: 64]")]
Fit = Annotated[str, typer.Option(help="Where the shape differs: crop, pad or stretch.")]
Gray = Annotated[bool, typer.Option("--gray", help="One channel.")]
Fps = Annotated[float | None, typer.Option(help="Frames a second, by presentation time.")]
Skip = Annotated[int, typer.Option(help="Keep every n-th frame.")]
AnySize = Annotated[
    str | None,
    typer.Option(
        "--size", help="Of frames decoded from files, for a model that takes any.  [default: as it was trained]"
    ),
]
AllowPlugin = Annotated[
    list[str],
    typer.Option(
        "--allow-plugin",
        metavar="NAME",
        help="Load this plugin where a model or the file of --config names it, though it is not built in. May be "
        "repeated.",
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env-option", metavar="KEY=VALUE", help="An option of the environment; a JSON value. May be repeated."
    ),
]
Epochs = Annotated[int | None, typer.Option(help="Train for so many epochs.")]
Steps = Annotated[int | None, typer.Option(help="Train for so many batches.")]
MaxMinutes = Annotated[
    float | None, typer.Option(help="Train for so many minutes of wall time.  [default: 10, without another budget]")
]
BatchSize = Annotated[int | None, typer.Option(help="Windows or frames of a batch, in place of the plugin's own.")]
LearningRate = Annotated[float | None, typer.Option(help="At its highest, in place of the plugin's own.")]
Seed = Annotated[int, typer.Option(help="Of weights, order and noise.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with this run where it was interrupted; the command is the same else.")
]
Config = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The run.json of an earlier run: its options, but for those given here."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]


def settings(pairs: Sequence[str] | None) -> dict[str, Any]:
    """``key=value`` pairs; a value is JSON, or else the text itself.

    Raises:
        UsageError: no ``=``, no key, or a value that is nested too deeply.
    """
    found: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"The setting {pair!r} is not KEY=VALUE. Write it as in --set latent_dim=64.")
        try:
            found[key.strip()] = json.loads(value)
        except RecursionError:
            raise _too_deep(key) from None
        except ValueError:
            found[key.strip()] = value
        if not is_shallow(found[key.strip()]):
            raise _too_deep(key)
    return found


def _too_deep(key: str) -> UsageError:
    return UsageError(
        f"The value of the setting {key.strip()!r} has more than {JSON_DEPTH} lists and objects inside one another; "
        "expected fewer."
    )
