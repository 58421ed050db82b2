"""What a person sees of a run: progress, one row an epoch in history.csv, a picture now and then."""

import csv
import io
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from latentseq.errors import DataError, unread
from latentseq.storage.atomic import write_bytes
from latentseq.storage.reading import read_small

LINE_EVERY = 5.0
"""Seconds between two lines where there is no terminal."""
_HISTORY_BYTES = 64 << 20


class _Console(Console):
    """Progress: where nobody reads it any more, the work goes on without it."""

    def on_broken_pipe(self) -> None:
        """See ``Console.on_broken_pipe``, which would end the process."""
        self.quiet = True


class Watcher:
    """Shows progress: a bar on a terminal, a line every few seconds elsewhere, nothing where ``quiet``."""

    def __init__(self, title: str = "", *, stream: TextIO | None = None, quiet: bool = False):
        """Set up for one run.

        Args:
            title: what is being done.
            stream: where to; standard error where None.
            quiet: show nothing.
        """
        self.title, self.quiet = title, quiet
        self._console = _Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
        self._bar: Progress | None = None
        self._last_line = time.monotonic()

    def update(self, share: float, text: str) -> None:
        """Say how far it is.

        Args:
            share: of the whole, in [0, 1].
            text: the numbers, in a few words.
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
        """One line that stays."""
        if not self.quiet:
            self._console.print(text, markup=False)

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def write_history(rows: list[dict[str, Any]], path: Path) -> None:
    """Write history.csv anew: a column for every number that any row has, in the order they first came."""
    text, columns = io.StringIO(), list(dict.fromkeys(key for row in rows for key in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    write_bytes(path, text.getvalue().encode())


def read_history(path: Path) -> list[dict[str, Any]]:
    """The rows of a history.csv, numbers as numbers.

    Raises:
        DataError: it is missing, too large, or holds something else.
    """
    try:
        rows = csv.DictReader(io.StringIO(read_small(path, _HISTORY_BYTES).decode(), newline=""), strict=True)
        return [{k: v if k == "stage" else float(v) for k, v in row.items() if v} for row in rows]
    except (OSError, ValueError, TypeError, csv.Error) as cause:
        raise unread(path, cause) or DataError(
            f"{path} cannot be read as a history of training: {cause}. Expected a row of numbers for each epoch, "
            "under the names of the columns; copy the file again, or train again."
        ) from cause
