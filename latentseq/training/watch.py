"""Progress on the terminal, and history.csv with a row for the start and one for each epoch."""

import csv
import io
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from latentseq.errors import DataError, retry_error
from latentseq.storage.atomic import write_bytes
from latentseq.storage.reading import read_small

LINE_EVERY = 5.0
"""Seconds between two lines of progress when the output is not a terminal."""
_HISTORY_BYTES = 64 << 20
"""Largest size in bytes of a history.csv that is read."""


class _Console(Console):
    """A console that falls silent when its output is closed, so that the work continues."""

    def on_broken_pipe(self) -> None:
        """Fall silent; the method of ``Console`` would end the process."""
        self.quiet = True


class Watcher:
    """Shows progress: a bar on a terminal, a line every few seconds elsewhere, nothing if ``quiet``."""

    def __init__(self, title: str = "", *, stream: TextIO | None = None, quiet: bool = False):
        """Set up for one run.

        Args:
            title: name of the task.
            stream: output stream; standard error if None.
            quiet: show nothing.
        """
        self.title = title
        self.quiet = quiet
        self._console = _Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._last_line = time.monotonic()

    def update(self, share: float, text: str) -> None:
        """Show the progress.

        Args:
            share: share of the work that is complete, in [0, 1].
            text: short text with the current numbers.
        """
        if self.quiet:
            return
        if self._console.is_terminal:
            if self._bar is None:
                columns = (
                    TextColumn("{task.description}"),
                    BarColumn(),
                    TimeElapsedColumn(),
                    TextColumn("{task.fields[text]}"),
                )
                self._bar = Progress(*columns, console=self._console)
                self._bar.add_task(self.title, total=1.0, text="")
                self._bar.start()
            self._bar.update(self._bar.task_ids[0], completed=share, text=text)
        elif time.monotonic() - self._last_line >= LINE_EVERY:
            self.say(f"{self.title} {share:4.0%} · {text}")
            self._last_line = time.monotonic()

    def say(self, text: str) -> None:
        """Print one line above the progress."""
        if not self.quiet:
            self._console.print(text, markup=False)

    def close(self) -> None:
        """Remove the progress bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def write_history(rows: list[dict[str, Any]], path: Path) -> None:
    """Write history.csv with a column for every key of any row.

    The columns are in the order in which the rows of epochs have them; the rows of starts lack those of training.
    """
    epochs_first = sorted(rows, key=lambda row: row.get("epoch") == 0)
    text, columns = io.StringIO(), list(dict.fromkeys(key for row in epochs_first for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_bytes(path, text.getvalue().encode())


def read_history(path: Path) -> list[dict[str, Any]]:
    """Read the rows of a history.csv, with numbers as floats.

    Raises:
        DataError: the file is missing, too large, or not a history.
    """
    try:
        rows = csv.DictReader(io.StringIO(read_small(path, _HISTORY_BYTES).decode(), newline=""), strict=True)
        return [{k: v if k == "stage" else float(v) for k, v in row.items() if v} for row in rows]
    except (OSError, ValueError, TypeError, csv.Error) as cause:
        raise retry_error(path, cause) or DataError(
            f"{path} cannot be read as a history of training: {cause}. Expected a header with the names of the "
            "columns, then a row of numbers for each epoch. Copy the file again, or train again."
        ) from cause
