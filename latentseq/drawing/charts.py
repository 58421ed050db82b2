"""Charts of a training run and of its results, as PNG bytes.

They use matplotlib's objects and not pyplot, which keeps figures open and may look for a screen. Importing this
module imports matplotlib, which takes time, so import it only where a chart is drawn.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from latentseq.drawing.timeline import clock
from latentseq.errors import UsageError

FLOORS = ("copy_last", "black", "mean_of_inputs", "train_mean")
"""Names of the curves of baselines that a model has to beat; they are drawn in lighter colours."""

_INK, _QUIET, _GRID = "#24292f", "#6e7781", "#e6e8eb"
_STRONG = ("#d9690f", "#2f6db3", "#3d8b57", "#8250a8", "#b3364f", "#5c6b73")
_LIGHT = ("#8c959f", "#b1b8c0", "#9fb3c8", "#c4b7a6")
_DPI = 110


def training_chart(
    stages: Mapping[str, Sequence[Mapping[str, Any]]],
    errors: Mapping[str, Sequence[float]],
    *,
    ylabel: str = "squared error per frame",
    floors: Sequence[str] = FLOORS,
) -> bytes:
    """Chart the loss of each training stage by epoch, and then the error by horizon, side by side.

    Args:
        stages: rows of each stage, in order, by the name of the stage. A row has ``epoch``, ``loss`` and
            ``val_loss``; a missing loss leaves a gap in the curve.
        errors: error of each model or floor at 1, 2, ... frames ahead, by name; empty to leave this panel out.
        ylabel: label of the error's axis.
        floors: names of the curves that are drawn in lighter colours.

    Returns:
        A PNG file; the same input gives the same bytes.

    Raises:
        UsageError: both stages and errors are empty.
    """
    panels = len(stages) + bool(errors)
    if not panels:
        raise UsageError("There is nothing to chart; expected at least one stage or one curve of errors.")
    figure, axes = _figure(panels)
    for ax, (stage, rows) in zip(axes, stages.items(), strict=False):
        _loss(ax, stage, rows)
    if errors:
        _horizon(axes[-1], errors, ylabel, floors)
    return _png(figure)


def error_by_horizon(curves: Mapping[str, Sequence[float]], *, ylabel: str, floors: Sequence[str] = FLOORS) -> bytes:
    """Chart the error by the number of frames ahead, with one labelled line for each curve.

    Args:
        curves: error of each model or floor at 1, 2, ... frames ahead, by name.
        ylabel: label of the error's axis.
        floors: names of the curves that are drawn in lighter colours.

    Returns:
        A PNG file; the same input gives the same bytes.

    Raises:
        UsageError: there are no curves.
    """
    return training_chart({}, curves, ylabel=ylabel, floors=floors)


def curve_chart(values: np.ndarray, *, times: np.ndarray, marks: Sequence[int], ylabel: str) -> bytes:
    """Chart a number over the time of a video, with marked frames labelled by their time.

    Args:
        values: (t,) float, number of each frame; NaN leaves a gap.
        times: (t,) float, second at which each frame is shown.
        marks: numbers of the marked frames, the most important first; the first ten are labelled.
        ylabel: label of the number's axis.

    Returns:
        A PNG file; the same input gives the same bytes.
    """
    figure, (ax,) = _figure(1, size=(11.0, 3.9))
    ax.plot(times, values, color=_STRONG[1], lw=1.4)
    ax.plot(times[list(marks)], values[list(marks)], "o", color=_STRONG[0], markersize=5)
    _dress(ax, "", "time", ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(8))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))
    labelled = sorted(marks[:10])
    figure.canvas.draw()  # Settles the layout, on which the positions of the labels depend.
    left, right = ax.transAxes.transform([(0, 0), (1, 0)])[:, 0]
    positions = [float(ax.transData.transform((times[t], 0))[0]) for t in labelled]
    for t, place in zip(labelled, _spread(positions, 0.7 * _DPI), strict=True):
        ax.annotate(
            clock(times[t]),
            (times[t], values[t]),
            xytext=((place - left) / (right - left), 1.05),
            textcoords="axes fraction",
            ha="center",
            fontsize=10.5,
            color=_STRONG[0],
            fontweight="bold",
            arrowprops={"arrowstyle": "-", "color": _LIGHT[1], "lw": 0.9, "relpos": (0.5, 0)},
        )
    return _png(figure)


def _loss(ax: Axes, stage: str, rows: Sequence[Mapping[str, Any]]) -> None:
    epochs = [row["epoch"] for row in rows]
    ends, losses = [], []
    for key, name, colour, width in (
        ("loss", "training", _LIGHT[0], 1.6),
        ("val_loss", "validation", _STRONG[1], 2.4),
    ):
        values = [float(v) if (v := row.get(key)) is not None else math.nan for row in rows]
        points = [(x, y) for x, y in zip(epochs, values, strict=True) if math.isfinite(y)]
        if points:
            # A line of one point is invisible, so short lines get markers.
            ax.plot(epochs, values, color=colour, lw=width, marker="o" if len(points) < 3 else None, markersize=5)
            ends.append((*points[-1], name, colour, width > 2))
            losses += [y for _, y in points]
    if losses and min(losses) > 0 and max(losses) > 8 * min(losses):
        _logarithmic(ax, max(losses) / min(losses))
    _dress(ax, f"Loss by epoch: {_words(stage)}", "epoch", "loss")
    _label_ends(ax, ends)


def _horizon(ax: Axes, curves: Mapping[str, Sequence[float]], ylabel: str, floors: Sequence[str]) -> None:
    light, strong, ends = 0, 0, []
    for name, values in curves.items():
        points = [(x, y) for x, y in enumerate(values, 1) if math.isfinite(y)]
        if not points:
            continue
        if name in floors:
            colour, width, light = _LIGHT[light % len(_LIGHT)], 1.6, light + 1
        else:
            colour, width, strong = _STRONG[strong % len(_STRONG)], 2.8, strong + 1
        ax.plot(
            *zip(*points, strict=True),
            color=colour,
            lw=width,
            marker="o" if len(points) < 3 else None,
            markersize=5,
            zorder=width,
        )
        ends.append((*points[-1], _words(name), colour, name not in floors))
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    _dress(ax, "Error by horizon", "frames ahead", ylabel)
    _label_ends(ax, ends)


def _figure(panels: int, size: tuple[float, float] | None = None) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size or (5.2 * panels + 0.4, 3.9), dpi=_DPI, facecolor="white")
    figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=0.18, h_pad=0.14))
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _dress(ax: Axes, title: str, xlabel: str, ylabel: str) -> None:
    ax.set_title(title, loc="left", fontsize=12.5, color=_INK, pad=12, fontweight="bold")
    ax.set_xlabel(xlabel, fontsize=10.5, color=_QUIET)
    ax.set_ylabel(ylabel, fontsize=10.5, color=_QUIET)
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    ax.tick_params(colors=_QUIET, labelsize=10, length=0, which="both")
    ax.grid(axis="y", color=_GRID, lw=0.9)
    ax.set_axisbelow(True)
    ax.margins(x=0.02)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(_GRID)


def _logarithmic(ax: Axes, ratio: float) -> None:
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if ratio < 300 else (1,)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _label_ends(ax: Axes, ends: Sequence[tuple[float, float, str, str, bool]]) -> None:
    """Write names beside the ends of the lines, moved apart if they would overlap."""
    if not ends:
        ax.text(0.5, 0.5, "no numbers", transform=ax.transAxes, ha="center", va="center", color=_QUIET)
        ax.tick_params(labelleft=False, labelbottom=False)
    low, high = ax.transData.transform([(0, y) for y in ax.get_ylim()])[:, 1]
    apart, ends = 0.075 * (high - low), sorted(ends, key=lambda end: end[1])
    positions = [float(ax.transData.transform((x, y))[1]) for x, y, *_ in ends]
    for (x, y, name, colour, strong), here, there in zip(ends, positions, _spread(positions, apart), strict=True):
        ax.annotate(
            name,
            (x, y),
            xytext=(8, (there - here) * 72 / _DPI),
            textcoords="offset points",
            va="center",
            fontsize=10.5,
            color=colour if strong else _QUIET,
            fontweight="bold" if strong else "normal",
            annotation_clip=False,
        )


def _spread(positions: Sequence[float], apart: float) -> list[float]:
    """Move ascending positions at least ``apart``; positions that collide are spread around their common mean."""
    groups: list[list[float]] = []
    for place in positions:
        groups.append([place])
        while (
            len(groups) > 1 and _middle(groups[-1]) - _middle(groups[-2]) < apart * len(groups[-2] + groups[-1]) / 2
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_middle(group) + (i - (len(group) - 1) / 2) * apart for group in groups for i in range(len(group))]


def _middle(group: Sequence[float]) -> float:
    return sum(group) / len(group)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # Without matplotlib's name and version in the file, the bytes depend only on the picture.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
