"""Charts of a training and of what came of it, as PNG bytes.

They are drawn with matplotlib's objects and never with pyplot, which keeps open figures in the process and may
look for a screen. Importing this module imports matplotlib, so import it where a chart is drawn.
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
"""Curves that only mark what a model has to beat; they are drawn lighter."""

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
    """One picture: the loss of every training stage by epoch, then the error by horizon.

    Args:
        stages: for each stage, in order, its rows with ``epoch``, ``loss`` and ``val_loss``; a row without one of
            the losses leaves a gap in that curve.
        errors: for each model or floor its error at 1, 2, ... frames ahead; empty for no such panel.
        ylabel: what the error is.
        floors: which of the curves are drawn lighter.

    Returns:
        A PNG; the same input gives the same bytes.

    Raises:
        UsageError: neither stages nor errors.
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
    """The error by how far ahead a frame is: one labelled line for each curve.

    Args:
        curves: for each model or floor its error at 1, 2, ... frames ahead.
        ylabel: what the error is.
        floors: which of the curves are drawn lighter.

    Returns:
        A PNG; the same input gives the same bytes.

    Raises:
        UsageError: no curves.
    """
    return training_chart({}, curves, ylabel=ylabel, floors=floors)


def curve_chart(values: np.ndarray, *, times: np.ndarray, marks: Sequence[int], ylabel: str) -> bytes:
    """A number along a video, with the marked frames labelled by their time.

    Args:
        values: (t,) one a frame; NaN where there is none.
        times: (t,) the second at which each frame is shown.
        marks: frames, the most important first; the first ten of them are labelled.
        ylabel: what the number is.

    Returns:
        A PNG; the same input gives the same bytes.
    """
    figure, (ax,) = _figure(1, size=(11.0, 3.9))
    ax.plot(times, values, color=_STRONG[1], lw=1.4)
    ax.plot(times[list(marks)], values[list(marks)], "o", color=_STRONG[0], markersize=5)
    _dress(ax, "", "time", ylabel)
    ax.xaxis.set_major_locator(MaxNLocator(8))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: clock(value)))
    named = sorted(marks[:10])
    figure.canvas.draw()  # Settles the layout, which the places of the labels depend on.
    left, right = ax.transAxes.transform([(0, 0), (1, 0)])[:, 0]
    wanted = [float(ax.transData.transform((times[t], 0))[0]) for t in named]
    for t, place in zip(named, _spread(wanted, 0.7 * _DPI), strict=True):
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
    ends, seen = [], []
    for key, name, colour, width in (
        ("loss", "training", _LIGHT[0], 1.6),
        ("val_loss", "validation", _STRONG[1], 2.4),
    ):
        values = [float(v) if (v := row.get(key)) is not None else math.nan for row in rows]
        known = [(x, y) for x, y in zip(epochs, values, strict=True) if math.isfinite(y)]
        if known:
            # A single epoch is a point, and a line of one point is invisible.
            ax.plot(epochs, values, color=colour, lw=width, marker="o" if len(known) < 3 else None, markersize=5)
            ends.append((*known[-1], name, colour, width > 2))
            seen += [y for _, y in known]
    if seen and min(seen) > 0 and max(seen) > 8 * min(seen):
        _logarithmic(ax, max(seen) / min(seen))
    _dress(ax, f"Loss by epoch: {_words(stage)}", "epoch", "loss")
    _label_ends(ax, ends)


def _horizon(ax: Axes, curves: Mapping[str, Sequence[float]], ylabel: str, floors: Sequence[str]) -> None:
    light, strong, ends = 0, 0, []
    for name, values in curves.items():
        known = [(x, y) for x, y in enumerate(values, 1) if math.isfinite(y)]
        if not known:
            continue
        if name in floors:
            colour, width, light = _LIGHT[light % len(_LIGHT)], 1.6, light + 1
        else:
            colour, width, strong = _STRONG[strong % len(_STRONG)], 2.8, strong + 1
        ax.plot(
            *zip(*known, strict=True),
            color=colour,
            lw=width,
            marker="o" if len(known) < 3 else None,
            markersize=5,
            zorder=width,
        )
        ends.append((*known[-1], _words(name), colour, name not in floors))
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
    """Names beside the ends of the lines, moved apart where they would lie on each other."""
    if not ends:
        ax.text(0.5, 0.5, "no numbers", transform=ax.transAxes, ha="center", va="center", color=_QUIET)
        ax.tick_params(labelleft=False, labelbottom=False)
    low, high = ax.transData.transform([(0, y) for y in ax.get_ylim()])[:, 1]
    apart, ends = 0.075 * (high - low), sorted(ends, key=lambda end: end[1])
    wanted = [float(ax.transData.transform((x, y))[1]) for x, y, *_ in ends]
    placed = _spread(wanted, apart)
    for (x, y, name, colour, strong), here, there in zip(ends, wanted, placed, strict=True):
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


def _spread(wanted: Sequence[float], apart: float) -> list[float]:
    """Ascending places at least ``apart``, each group that had to move about the middle of where it wanted to be."""
    groups: list[list[float]] = []
    for place in wanted:
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
    # Without its name and version in the file, the bytes depend on the picture alone.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()
