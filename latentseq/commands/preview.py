"""A contact sheet of what a dataset holds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.data.open import open_data
from latentseq.drawing.picture import Row, sheet
from latentseq.drawing.writers import encode_png
from latentseq.errors import UsageError
from latentseq.storage.folders import check_free
from latentseq.storage.workspace import write_output

CLIPS, FRAMES = 12, 10
"""Rows of a preview, and frames of each."""


def preview(
    data: str | Path,
    out: str | Path | None = None,
    *,
    data_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw a contact sheet: up to 12 clips, evenly chosen, and up to 10 frames of each, from its first to its last.

    Args:
        data: DATA; files are decoded at 64 x 64 where the dataset's options say nothing else.
        out: a .png file; ``<name of the data>-preview.png`` in the current folder where None.
        data_options: the dataset's keywords.
        overwrite: replace an earlier file.

    Returns:
        The file.

    Raises:
        UsageError: another suffix, or a file that exists.
        DataError: the data cannot be read, or cannot be drawn.
        TryAgainError: the file cannot be written.
    """
    dataset = open_data(data, options=data_options)  # First, because not every text that is no DATA can be a path.
    if out is None:
        given = Path(data)
        out = f"{(given.stem if given.is_file() else given.resolve().name) or 'data'}-preview.png"
    out = Path(out)
    if out.suffix.lower() != ".png":
        raise UsageError(f"{out} is no contact sheet's name; expected one that ends in .png, such as {out.stem}.png.")
    check_free(out, None, overwrite=overwrite)
    n, rows = len(dataset.lengths), []
    for i in np.linspace(0, n - 1, min(CLIPS, n)).round().astype(int).tolist():
        length = int(dataset.lengths[i])
        numbers = np.linspace(0, length - 1, min(FRAMES, length)).round().astype(int).tolist()
        label = f"{'clip' if dataset.split is None else dataset.split[i]} {i} · {_counted(length, 'frame')}"
        if length > len(numbers):
            gap = (length - 1) / (len(numbers) - 1)
            label += f", one in {gap:.{1 if gap < 10 else 0}f}"
        rows.append(Row(label, np.concatenate([dataset.read(i, t, t + 1).frames for t in numbers])))
    title = f"{len(rows)} of {_counted(n, 'clip')}, each from its first frame to its last"
    write_output(out, encode_png(sheet(rows, every=1, title=title)))
    return out


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
