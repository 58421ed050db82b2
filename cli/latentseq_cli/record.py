"""latentseq record"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import EnvOption, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq record ALE/MsPacman-v5 runs/pacman --episodes 20 --steps 500 --size 64 --fit stretch`"


def command(
    env: Annotated[str, typer.Argument(help="Name of the environment, such as ALE/MsPacman-v5.")],
    out: Annotated[Path, typer.Argument(help="Folder of clips, one an episode.")],
    episodes: Annotated[int, typer.Option(help="How many.")] = 10,
    steps: Annotated[int, typer.Option(help="Frames after which an episode is cut off.")] = 1000,
    size: Annotated[
        str | None, typer.Option(help="Of the frames: 64, or 48x64 (h x w).  [default: the environment's own]")
    ] = None,
    fit: Annotated[str, typer.Option(help="Where the shape differs: crop, pad or stretch.")] = "crop",
    gray: Annotated[bool, typer.Option("--gray", help="One channel.")] = False,
    repeat: Annotated[int, typer.Option(help="Hold each action for so many steps, and keep one frame of them.")] = 1,
    env_options: EnvOption = None,
    seed: Annotated[int, typer.Option(help="Of environment and policy; the same seed writes the same bytes.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Record a random policy in a Gymnasium environment as clips, with its actions and rewards."""
    from latentseq.commands.record import record

    print(
        record(
            env,
            out,
            episodes=episodes,
            steps=steps,
            size=size,
            fit=fit,
            gray=gray,
            repeat=repeat,
            env_options=settings(env_options),
            seed=seed,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
