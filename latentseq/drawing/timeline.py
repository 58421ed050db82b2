"""A film above the curve of a number, with a cursor at the current frame and marked moments."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from latentseq.drawing.picture import BACKGROUND, BLANK, GENERATED, PRIMED, QUIET, TEXT, resized, zoom_factors

_MARGIN, _CAPTION, _CURVE, _LEAST_WIDTH, _DOT = 20, 48, 110, 512, 5


def clock(seconds: float) -> str:
    """Format a time as minutes and seconds, to a tenth: 76.04 becomes ``01:16.0``."""
    minutes, tenths = divmod(round(seconds * 10), 600)
    return f"{minutes:02}:{tenths // 10:02}.{tenths % 10}"


def over_curve(
    frames: Iterable[np.ndarray],
    size: tuple[int, int],
    values: np.ndarray,
    *,
    times: np.ndarray,
    marks: Sequence[int],
    unit: str,
) -> Iterator[np.ndarray]:
    """Draw a picture for each frame: the enlarged frame above the curve with a cursor.

    If there are more frames than pixel columns, a column shows the highest value of its frames, so no peak is lost.

    Args:
        frames: frames (h, w, c), uint8 or floating point in [0, 1]; c is 1 or 3.
        size: (h, w) of the frames.
        values: (t,) float, number of each frame; NaN leaves a gap.
        times: (t,) float, second at which each frame is shown, ascending from 0.
        marks: numbers of the frames that are marked on the curve.
        unit: unit of the values.

    Returns:
        Pictures (H, W, 3) uint8, H and W even. They are drawn one at a time, so they need not all be in memory.
    """
    font = ImageFont.load_default(18)
    zoom = zoom_factors(max(size), 32, min(960, max(512, *size)))[0]
    high, wide = resized(np.zeros((*size, 1), np.uint8), zoom).shape[:2]
    width = _even(max(wide, _LEAST_WIDTH))
    left, line = _MARGIN + (width - wide) // 2, _MARGIN + high + _CAPTION
    canvas = Image.new("RGB", (width + 2 * _MARGIN, _even(line + _CURVE + _MARGIN)), BACKGROUND)
    xs, ys = _curve(ImageDraw.Draw(canvas), values, times, width, line, marks)
    for t, frame in enumerate(frames):
        image = canvas.copy()
        draw = ImageDraw.Draw(image)
        draw.rectangle((xs[t], line - 6, xs[t] + 1, line + _CURVE + 6), TEXT)
        # Digits of the font differ in width, so the text after the time has a fixed position.
        draw.text((_MARGIN, line - 20), clock(float(times[t])), TEXT, font, "ls")
        draw.text((_MARGIN + 90, line - 20), f"frame {t}", QUIET, font, "ls")
        if np.isfinite(values[t]):
            draw.ellipse((xs[t] - _DOT, ys[t] - _DOT, xs[t] + _DOT + 1, ys[t] + _DOT + 1), GENERATED)
            draw.text((_MARGIN + width, line - 20), f"{values[t]:.1f} {unit}", GENERATED, font, "rs")
        picture = np.array(image)
        picture[_MARGIN : _MARGIN + high, left : left + wide] = resized(frame, zoom)
        yield picture


def _curve(
    draw: ImageDraw.ImageDraw, values: np.ndarray, times: np.ndarray, width: int, top: int, marks: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Draw the whole curve; return the x and the y of each frame in the picture."""
    finite = np.flatnonzero(np.isfinite(values))
    low, high = values[finite].min(), values[finite].max()
    share = (values - low) / ((high - low) or 1.0)
    ys = top + np.rint((1 - np.nan_to_num(share)) * _CURVE).astype(int)
    column = np.rint(times * ((width - 1) / (times[-1] or 1.0))).astype(int)
    xs = (_MARGIN + column).tolist()
    for frame in marks:
        draw.rectangle((xs[frame], top - 6, xs[frame] + 1, top + _CURVE), BLANK)
        draw.polygon([(xs[frame] - 5, top - 14), (xs[frame] + 6, top - 14), (xs[frame] + 0.5, top - 6)], GENERATED)
    first = finite[np.unique(column[finite], return_index=True)[1]]
    highest = np.minimum.reduceat(ys, first)  # The highest point has the smallest y.
    draw.line([(xs[t], int(y)) for t, y in zip(first.tolist(), highest, strict=True)], PRIMED, 2)
    return xs, ys.tolist()


def _even(n: int) -> int:
    return n + n % 2
