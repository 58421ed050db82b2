"""Draw a contact sheet of a dataset."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.data.open import open_data
from latentseq.drawing.picture import Row, sheet
from latentseq.drawing.writers import encode_png
from latentseq.errors import UsageError, count_of
from latentseq.storage.folders import check_free
from latentseq.storage.workspace import write_output

CLIPS, FRAMES = 12, 10
"""Maximum number of clips in a preview, and of frames of each."""


def preview(
    data: str | Path,
    out: str | Path | None = None,
    *,
    data_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> Path:
    """Draw a contact sheet of up to 12 clips, evenly spread, with up to 10 frames from the first to the last of each.

    Args:
        data: DATA; files are decoded at 64 x 64, unless the dataset's options set another size.
        out: path of a .png file; by default ``<name of the data>-preview.png`` in the current folder.
        data_options: options of the dataset by name.
        overwrite: replace an existing file.

    Returns:
        Path of the file.

    Raises:
        UsageError: the suffix is not .png, or the file exists.
        DataError: the data cannot be read, or cannot be drawn.
        TryAgainError: the file cannot be written.
    """
    dataset = open_data(data, options=data_options)  # Comes first, because a wrong DATA may not be a valid path.
    if out is None:
        source = Path(data)
        out = f"{(source.stem if source.is_file() else source.resolve().name) or 'data'}-preview.png"
    out = Path(out)
    if out.suffix.lower() != ".png":
        raise UsageError(
            f"{out} is not a name for a contact sheet; expected one that ends in .png, such as {out.stem}.png."
        )
    check_free(out, None, overwrite=overwrite)
    n, rows = len(dataset.lengths), []
    for i in np.linspace(0, n - 1, min(CLIPS, n)).round().astype(int).tolist():
        length = int(dataset.lengths[i])
        numbers = np.linspace(0, length - 1, min(FRAMES, length)).round().astype(int).tolist()
        label = f"{'clip' if dataset.split is None else dataset.split[i]} {i} · {count_of(length, 'frame')}"
        if length > len(numbers):
            gap = (length - 1) / (len(numbers) - 1)
            label += f", one in {gap:.{1 if gap < 10 else 0}f}"
        rows.append(Row(label, np.concatenate([dataset.read(i, t, t + 1).frames for t in numbers])))
    title = f"{len(rows)} of {count_of(n, 'clip')}, each from its first frame to its last"
    write_output(out, encode_png(sheet(rows, every=1, title=title)))
    return out
