"""latentseq record"""

from pathlib import Path
from typing import Annotated

import typer

from latentseq_cli.options import EnvOption, HoldOut, Overwrite, Quiet, settings

EXAMPLE = "Example: `latentseq record ALE/MsPacman-v5 runs/pacman --episodes 20 --steps 500 --size 64 --fit stretch`"


def command(
    env: Annotated[str, typer.Argument(help="Name of the environment, such as ALE/MsPacman-v5.")],
    out: Annotated[Path, typer.Argument(help="Folder of the clips, one per episode.")],
    episodes: Annotated[int, typer.Option(help="Number of episodes.")] = 10,
    steps: Annotated[int, typer.Option(help="Maximum number of frames in an episode.")] = 1000,
    size: Annotated[
        str | None,
        typer.Option(help="Size of the frames: 64, or 48x64 (h x w).  [default: as in the environment]"),
    ] = None,
    fit: Annotated[str, typer.Option(help="How to fit pictures of another shape: crop, pad or stretch.")] = "crop",
    gray: Annotated[bool, typer.Option("--gray", help="Convert frames to one channel.")] = False,
    repeat: Annotated[
        int, typer.Option(help="Number of steps to repeat each action. Only the last one gives a frame.")
    ] = 1,
    env_options: EnvOption = None,
    hold_out: HoldOut = None,
    seed: Annotated[int, typer.Option(help="Random seed for environment and policy.")] = 0,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Record a random policy in a Gymnasium environment as clips, with actions and rewards."""
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
            hold_out=hold_out,
            seed=seed,
            overwrite=overwrite,
            quiet=quiet,
        )
    )
