"""Options that several commands share, and the parser of their values."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from latentseq.errors import UsageError
from latentseq.storage.reading import JSON_DEPTH, is_shallow

Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Option of the plugin, a JSON value. May be repeated."),
]
DataSet = Annotated[
    list[str] | None,
    typer.Option("--data-set", metavar="KEY=VALUE", help="Option of the dataset, a JSON value. May be repeated."),
]
Preset = Annotated[
    str | None, typer.Option(help="Preset of the plugin's options: tiny, cpu or gpu. --set overrides single options.")
]
Conditions = Annotated[
    str | None,
    typer.Option(
        metavar="NAME,…",
        help="Side streams of the data that drive the model, such as actions.  [default: none, or all if the model "
        "requires conditions]",
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        help="Size of frames decoded from files: 64, or 48x64 (height x width).  [default: 64, or the files' own "
        "size if it is small and the same for all]"
    ),
]
Fit = Annotated[str, typer.Option(help="How to fit pictures of another shape: crop, pad or stretch.")]
Gray = Annotated[bool, typer.Option("--gray", help="Convert frames to one channel.")]
Fps = Annotated[
    float | None,
    typer.Option(help="Frame rate in frames per second, by presentation time.  [default: as in the file]"),
]
Skip = Annotated[int, typer.Option(help="Keep every n-th frame.")]
AnySize = Annotated[
    str | None,
    typer.Option(
        "--size",
        help="Size of frames decoded from files, for a model that takes any size.  [default: as in training]",
    ),
]
AllowPlugin = Annotated[
    list[str],
    typer.Option(
        "--allow-plugin",
        metavar="NAME",
        help="Allow a plugin that is not built in, if a model or the file of --config names it. May be repeated.",
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env-option", metavar="KEY=VALUE", help="Option of the environment, a JSON value. May be repeated."
    ),
]
Length = Annotated[
    int | None,
    typer.Option(help="Number of frames in a training window.  [default: 30, or less if all clips are shorter]"),
]
Stride = Annotated[int, typer.Option(help="Number of frames from the start of one window to the start of the next.")]
Epochs = Annotated[int | None, typer.Option(help="Maximum number of epochs.")]
Steps = Annotated[int | None, typer.Option(help="Maximum number of batches.")]
MaxMinutes = Annotated[
    float | None,
    typer.Option(help="Maximum training time in minutes of wall time.  [default: 10 if there is no other limit]"),
]
BatchSize = Annotated[
    int | None, typer.Option(help="Number of windows or frames in a batch.  [default: chosen by the plugin]")
]
LearningRate = Annotated[float | None, typer.Option(help="Highest learning rate.  [default: chosen by the plugin]")]
HoldOut = Annotated[
    str | None,
    typer.Option(
        metavar="clips|ends",
        help="What to hold out for validation and test: whole clips, or the ends of all clips.  [default: ends below "
        "20 clips, else clips]",
    ),
]
Keep = Annotated[
    str, typer.Option(help="Weights to keep: those with the lowest validation loss (best), or the last ones (last).")
]
Seed = Annotated[int, typer.Option(help="Random seed for weights, data order and sampling.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue an interrupted run. Give the same options as before."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Take the options of an earlier run from its run.json. Options given here override them.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier result.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Show no progress.")]
DATA = "Video, folder of videos, frames or clips, or name of a dataset."
"""Help for an argument DATA."""


def settings(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Parse ``key=value`` pairs. A value that is not JSON is kept as text.

    Raises:
        UsageError: a pair has no ``=`` or no key, or its value is nested too deeply.
    """
    values: dict[str, Any] = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"The setting {pair!r} is not KEY=VALUE. Write it as in --set latent_dim=64.")
        try:
            values[key.strip()] = json.loads(value)
        except RecursionError:
            raise _too_deep(key) from None
        except ValueError:
            values[key.strip()] = value
        if not is_shallow(values[key.strip()]):
            raise _too_deep(key)
    return values


def _too_deep(key: str) -> UsageError:
    return UsageError(
        f"The value of the setting {key.strip()!r} has more than {JSON_DEPTH} lists and objects inside one another; "
        "expected fewer."
    )
