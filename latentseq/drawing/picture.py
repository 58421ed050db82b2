"""Labelled rows of video, drawn as one picture (``sheet``) or as an animation (``animation``, ``moments``).

Frames are enlarged or reduced by whole factors only, so that smoothing adds nothing to the frames of a model. Frame
numbers count from 0, as in an array; the caption counts the frames shown from 1.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import count
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentseq.arrays import to_uint8
from latentseq.errors import DataError, UsageError

BACKGROUND = (33, 35, 40)
TEXT = (226, 229, 234)
QUIET = (150, 156, 166)
BLANK = (94, 97, 104)
PRIMED = (104, 162, 222)
GENERATED = (255, 148, 38)

COLOURS = (BACKGROUND, TEXT, QUIET, BLANK, PRIMED, GENERATED)
"""All colours that are drawn beside the frames, for formats with few colours."""

SHEET_WIDTH, ANIMATION_HEIGHT, ANIMATION_WIDTH = 2400, 900, 1400
"""Approximate maximum sizes of pictures in pixels."""

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Video stores colour at half the resolution. Even margins and gutters keep the edges of frames sharp.
_MARGIN, _HEADER, _EDGE = 20, 68, 4
_GAP, _LINE_GAP, _COLUMN_GAP = 4, 14, 30


class Row(NamedTuple):
    """A labelled stretch of video.

    Attributes:
        label: text beside the row.
        frames: (t, h, w, c) uint8, or floating point in [0, 1]; c is 1 or 3.
        start: number of its first frame; before it, and after the last one, the row is blank.
        generated: whether the frames from the border on come from the model.
    """

    label: str
    frames: np.ndarray
    start: int = 0
    generated: bool = False


def sheet(
    rows: Sequence[Row], *, border_at: int | None = None, every: int | None = None, title: str | None = None
) -> np.ndarray:
    """Draw a contact sheet: one line for each row, with time to the right and frame numbers above.

    Args:
        rows: rows to draw, whose frames have one size.
        border_at: number of the first generated frame. A marked border is drawn before it, and the frames on both
            sides of it are always shown.
        every: show every n-th frame, counted from the border; None to leave out as few frames as needed for a sheet
            that is at most ``SHEET_WIDTH`` pixels wide.
        title: text to draw in place of the frame numbers, for rows that do not share them.

    Returns:
        (H, W, 3) uint8.

    Raises:
        UsageError: there are no rows or no frames, the border is outside of them, or ``every`` is below 1.
        DataError: an array does not hold frames, or the frames have different sizes.
    """
    length, size = _extent(rows, border_at)
    if every is not None and every < 1:
        raise UsageError(f"every is {every}; expected 1 (every frame) or more.")
    label_font, number_font = ImageFont.load_default(16), ImageFont.load_default(13)
    labels, widths = _labels(rows, label_font, most=190 if title is None else 320)
    gutter = max(widths)
    border = border_at if border_at is not None and 0 < border_at < length else 0
    space = 28 if border else 0
    room = SHEET_WIDTH - 2 * _MARGIN - gutter - space

    # Panels are made smaller before any frame is left out.
    zooms, panels = zoom_factors(max(size), 64, 128), len(_columns(length, border, every or 1))
    zoom = next((z for z in zooms if panels * (_scaled(size, z)[1] + _GAP) <= room), zooms[-1])
    high, wide = _scaled(size, zoom)
    if every is None:
        most = max(2, room // (wide + _GAP))
        every = next(n for n in count(1) if len(_columns(length, border, n)) <= most)
    columns = _columns(length, border, every)

    xs = [_MARGIN + gutter + i * (wide + _GAP) + (space if t >= border else 0) for i, t in enumerate(columns)]
    top = _MARGIN + (52 if border else 24)
    ys = [top + i * (high + _LINE_GAP) for i in range(len(rows))]
    right, bottom = xs[-1] + wide, ys[-1] + high
    canvas = Image.new("RGB", (right + _MARGIN, bottom + _MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(canvas)

    if title is None:
        draw.text((_MARGIN + gutter - 14, top - 10), "frame", QUIET, number_font, "rs")
        for x, t in zip(xs, columns, strict=True):
            draw.text((x + wide // 2, top - 10), str(t), QUIET, number_font, "ms")
    else:
        draw.text((_MARGIN, top - 10), title, QUIET, number_font, "ls")
    for label, y in zip(labels, ys, strict=True):
        draw.text((_MARGIN + gutter - 14, y + high // 2), label, TEXT, label_font, "rm")
    if border:
        x = xs[columns.index(border)] - (space + _GAP) // 2
        draw.rectangle((x - 1, _MARGIN, x + 2, bottom + _MARGIN // 2), GENERATED)
        draw.text((x - 12, _MARGIN), "primed", PRIMED, label_font, "rt")
        draw.text((x + 14, _MARGIN), "generated", GENERATED, label_font, "lt")

    picture = np.array(canvas)
    for row, y in zip(rows, ys, strict=True):
        generated = [i for i, t in enumerate(columns) if t >= (border_at or 0) and _frame(row, t) is not None]
        if row.generated and border_at is not None and generated:
            first, last = xs[generated[0]], xs[generated[-1]] + wide
            picture[y - _EDGE : y + high + _EDGE, first - _EDGE : last + _EDGE] = GENERATED
            picture[y - 1 : y + high + 1, first - 1 : last + 1] = BACKGROUND
        for x, t in zip(xs, columns, strict=True):
            picture[y : y + high, x : x + wide] = _panel(row, t, zoom)
    return picture


def animation(rows: Sequence[Row], *, border_at: int | None = None) -> np.ndarray:
    """Draw the pictures of ``moments`` into one array: (t, H, W, 3) uint8.

    Raises:
        UsageError: there are no rows or no frames, or the border is outside of them.
        DataError: an array does not hold frames, or the frames have different sizes.
    """
    return np.stack(list(moments(rows, border_at=border_at)))


def moments(rows: Sequence[Row], *, border_at: int | None = None) -> Iterator[np.ndarray]:
    """Draw a picture for each time step: the rows below each other, under a caption.

    Panels are as large as fits ``ANIMATION_HEIGHT``. If they would become too small, they are arranged in several
    columns. From the border on, the panels of generated rows have an orange edge.

    Args:
        rows: rows to draw, whose frames have one size.
        border_at: number of the first generated frame; None if there is none.

    Returns:
        Pictures (H, W, 3) uint8, H and W even. They are drawn one at a time, so they need not all be in memory.

    Raises:
        UsageError: there are no rows or no frames, or the border is outside of them.
        DataError: an array does not hold frames, or the frames have different sizes.
    """
    length, size = _extent(rows, border_at)
    return _pictures(rows, border_at, length, size)


def _pictures(rows: Sequence[Row], border_at: int | None, length: int, size: tuple[int, int]) -> Iterator[np.ndarray]:
    label_font, caption_font = ImageFont.load_default(16), ImageFont.load_default(18)
    labels, widths = _labels(rows, label_font)
    zoom, down = _arrangement(widths, size)
    high, wide = _scaled(size, zoom)
    places, x = [], _MARGIN - _COLUMN_GAP
    for first in range(0, len(rows), down):
        column = widths[first : first + down]
        x += _COLUMN_GAP + max(column)
        places += [(_HEADER + i * (high + _LINE_GAP), x) for i in range(len(column))]
        x += wide
    right, bottom = max(x + _EDGE, _MARGIN + 200), places[:down][-1][0] + high
    canvas = Image.new("RGB", (_even(right + _MARGIN), _even(bottom + _MARGIN)), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    for label, (y, x) in zip(labels, places, strict=True):
        draw.text((x - 14, y + high // 2), label, TEXT, label_font, "rm")

    for t in range(length):
        image = canvas.copy()
        _caption(ImageDraw.Draw(image), t, length, border_at, right, caption_font)
        picture = np.array(image)
        for row, (y, x) in zip(rows, places, strict=True):
            if row.generated and border_at is not None and t >= border_at and _frame(row, t) is not None:
                picture[y - _EDGE : y + high + _EDGE, x - _EDGE : x + wide + _EDGE] = GENERATED
            picture[y : y + high, x : x + wide] = _panel(row, t, zoom)
        yield picture


def _arrangement(widths: Sequence[int], size: tuple[int, int]) -> tuple[Fraction, int]:
    """Choose the zoom, and the number of rows in a column.

    The result has the fewest columns whose panels are at least 128 pixels large, or else the largest panels.
    """
    n, side = len(widths), max(size)
    best = zoom_factors(side, 32, 64)[-1], 17
    for columns in range(1, n + 1):
        down = -(-n // columns)
        gutters = sum(max(widths[i : i + down]) + _COLUMN_GAP for i in range(0, n, down)) - _COLUMN_GAP
        for zoom in zoom_factors(side, 32, min(512, max(192, side))):
            high, wide = _scaled(size, zoom)
            tall = _HEADER + down * (high + _LINE_GAP) - _LINE_GAP + _MARGIN
            if tall <= ANIMATION_HEIGHT and 2 * _MARGIN + gutters + columns * wide <= ANIMATION_WIDTH:
                if max(high, wide) >= 128:
                    return zoom, down
                best = max(best, (zoom, down))
                break
    return best


def _caption(draw: ImageDraw.ImageDraw, t: int, length: int, border: int | None, right: int, font: _Font) -> None:
    """Draw the caption, and a progress bar below it."""
    if border is None:
        text, number, total, colour = "frame", t, length, TEXT
    elif t < border:
        text, number, total, colour = "primed", t, border, PRIMED
    else:
        text, number, total, colour = "generated", t - border, length - border, GENERATED
    # Digits of the font differ in width, so each number is aligned at its right edge.
    edge = _MARGIN + draw.textlength(text, font) + 10 + draw.textlength("0" * len(str(length)), font)
    draw.text((_MARGIN, _MARGIN + 14), text, colour, font, "ls")
    draw.text((edge, _MARGIN + 14), str(number + 1), colour, font, "rs")
    draw.text((edge + 6, _MARGIN + 14), f"/ {total}", QUIET, font, "ls")

    first, last, y = _MARGIN, right, _MARGIN + 24

    def at(frame: int) -> int:
        return first + (last - first) * frame // length

    draw.rectangle((first, y, last - 1, y + 3), BLANK)
    split = length if border is None else border
    draw.rectangle((first, y, max(first, at(min(t + 1, split)) - 1), y + 3), TEXT if border is None else PRIMED)
    if t >= split:
        draw.rectangle((at(split), y, at(t + 1) - 1, y + 3), GENERATED)
    if 0 < split < length:
        draw.rectangle((at(split) - 1, y - 4, at(split), y + 7), TEXT)


def _extent(rows: Sequence[Row], border_at: int | None) -> tuple[int, tuple[int, int]]:
    """Check the rows; return the number of time steps that they cover, and the (h, w) of their frames."""
    for label, frames, start, _ in rows:
        if frames.ndim != 4 or frames.shape[3] not in (1, 3) or 0 in frames.shape[1:]:
            raise DataError(f"Row {label!r} has shape {frames.shape}; expected (t, h, w, 1) or (t, h, w, 3).")
        if frames.dtype != np.uint8 and not np.issubdtype(frames.dtype, np.floating):
            raise DataError(
                f"Row {label!r} has dtype {frames.dtype}; expected uint8 in 0..255 or floating point in [0, 1]."
            )
        if frames.shape[1:3] != rows[0].frames.shape[1:3]:
            (h, w), (h0, w0) = frames.shape[1:3], rows[0].frames.shape[1:3]
            raise DataError(
                f"Row {label!r} has frames of {w}x{h}, row {rows[0].label!r} of {w0}x{h0}; expected one size in a "
                "picture. Resize one of them."
            )
        if start < 0:
            raise UsageError(f"Row {label!r} starts at frame {start}; expected 0 or later.")
    length = max((row.start + len(row.frames) for row in rows if len(row.frames)), default=0)
    if not length:
        raise UsageError("There is nothing to draw; expected at least one row with at least one frame.")
    if border_at is not None and not 0 <= border_at <= length:
        raise UsageError(f"The border is at frame {border_at}; expected 0 to {length}, the frames of the picture.")
    return length, rows[0].frames.shape[1:3]


def _labels(rows: Sequence[Row], font: _Font, most: int = 190) -> tuple[list[str], list[int]]:
    """The labels, shortened to ``most`` pixels, and the width that each takes."""
    labels = []
    for row in rows:
        short = " ".join(row.label.split())
        while font.getlength(short) > most:
            short = short.removesuffix("…")[:-1] + "…"
        labels.append(short)
    return labels, [_even(int(font.getlength(label)) + 15) for label in labels]


def _columns(length: int, border: int, every: int) -> list[int]:
    """Numbers of every n-th frame, counted from the border in both directions, so both sides of it are included."""
    return [*reversed(range(border - 1, -1, -every)), *range(border, length, every)]


def zoom_factors(side: int, least: int, most: int) -> list[Fraction]:
    """Whole factors, largest first, that scale a side of a frame to between ``least`` and ``most`` pixels."""
    up = [Fraction(k) for k in range(most // side, 0, -1)]
    down = [Fraction(1, k) for k in range(2, side // least + 1)]
    return [z for z in up + down if least <= side * z <= most]


def _scaled(size: tuple[int, int], zoom: Fraction) -> tuple[int, int]:
    """Size (h, w) of a panel in pixels."""
    return -(-size[0] * zoom.numerator // zoom.denominator), -(-size[1] * zoom.numerator // zoom.denominator)


def _frame(row: Row, t: int) -> np.ndarray | None:
    """Frame of a row at time step ``t``; None if the row is blank then."""
    i = t - row.start
    return row.frames[i] if 0 <= i < len(row.frames) else None


def _panel(row: Row, t: int, zoom: Fraction) -> np.ndarray:
    """Panel (H, W, 3) uint8 of a row at time step ``t``, which may be blank."""
    frame = _frame(row, t)
    if frame is None:
        return np.broadcast_to(np.array(BLANK, np.uint8), (*_scaled(row.frames.shape[1:3], zoom), 3))
    return resized(frame, zoom)


def resized(frame: np.ndarray, zoom: Fraction) -> np.ndarray:
    """Enlarge a frame by nearest neighbour, or reduce it by a box filter: (h, w, 1 or 3) to (H, W, 3) uint8."""
    frame = np.ascontiguousarray(np.broadcast_to(to_uint8(frame), (*frame.shape[:2], 3)))
    if zoom < 1:
        return np.asarray(Image.fromarray(frame).reduce(zoom.denominator))
    return frame.repeat(zoom.numerator, axis=0).repeat(zoom.numerator, axis=1)


def _even(n: int) -> int:
    return n + n % 2
