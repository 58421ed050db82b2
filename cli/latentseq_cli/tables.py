"""The console that tables are printed on."""

import sys

from rich.console import Console


def console(*, highlight: bool = True) -> Console:
    """Standard output, as wide as the terminal. In a file or a pipe, every row is one line of any length."""
    return Console(soft_wrap=True, highlight=highlight, width=None if sys.stdout.isatty() else 1000)
