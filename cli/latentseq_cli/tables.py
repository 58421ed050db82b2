"""Where tables are printed."""

import sys

from rich.console import Console


def console(*, highlight: bool = True) -> Console:
    """Standard output: as wide as the terminal, or, to a file or another program, a line each, however long."""
    return Console(soft_wrap=True, highlight=highlight, width=None if sys.stdout.isatty() else 1000)
