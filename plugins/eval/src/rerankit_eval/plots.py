"""Pictures, as SVG that needs nothing else; drawn to be read on a phone as well as on paper."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from rerankit_eval.costs import pareto

__all__ = ["Panel", "Point", "distribution", "lines", "tradeoff"]

# Okabe & Ito: told apart also by the colour-blind, and by their markers in black and white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")
_MARKERS = "osD^vP*X"
_WIDE = 4.6
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rerankit",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "axes.axisbelow": True,
}


@dataclass(frozen=True, slots=True)
class Point:
    """One contender: its mean quality, with its interval, at what it takes."""

    label: str
    x: float
    y: float
    low: float
    high: float


def tradeoff(points: Sequence[Point], *, x: str, y: str, baseline: float) -> str:
    """Quality over what it takes (logarithmic), the Pareto front marked, and a line at what costs nothing."""
    figure, (axes,) = _figure(1, 3.6)
    # The input order takes nothing, so what is no better than it is not on the front.
    *front, _ = pareto([*((point.x, point.y) for point in points), (0.0, baseline)])
    best = sorted((point.x, point.y) for point, on_front in zip(points, front, strict=True) if on_front)
    if best:
        axes.step(*zip(*best, strict=True), where="post", color="#888888", linestyle="--", linewidth=1, zorder=1)
    for number, (point, on_front) in enumerate(zip(points, front, strict=True)):
        colour = _COLOURS[number % len(_COLOURS)]
        axes.errorbar(
            point.x,
            point.y,
            yerr=[[point.y - point.low], [point.high - point.y]],
            fmt=_MARKERS[number % len(_MARKERS)],
            color=colour,
            markerfacecolor=colour if on_front else "white",
            markersize=8,
            capsize=3,
            elinewidth=1,
            label=point.label + (" (Pareto front)" if on_front else ""),
        )
    axes.axhline(baseline, color="#444444", linestyle=":", linewidth=1, label="input order")
    axes.set_xscale("log")
    low, high = min(point.x for point in points), max(point.x for point in points)
    axes.set_xlim(low / 2, high * 2)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0) if high < 50 * low else (1.0,)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _legend(axes)
    return _svg(figure)


def distribution(relevant: Sequence[float], others: Sequence[float]) -> str:
    """The scores of judged-relevant documents over those of the others, as shares."""
    figure, (axes,) = _figure(1, 2.6)
    everything = [*relevant, *others]
    low, high = min(everything), max(everything)
    edges = [low + (high - low or 1.0) * step / 30 for step in range(31)]
    for found, colour, name, filled in (
        (others, "#999999", "not relevant", True),
        (relevant, "#D55E00", "relevant", False),
    ):
        if found:
            axes.hist(
                found,
                edges,
                weights=[100 / len(found)] * len(found),
                color=colour,
                label=name,
                histtype="stepfilled" if filled else "step",
                alpha=0.6 if filled else 1.0,
                linewidth=1.5,
            )
    axes.set_xlabel("score")
    axes.set_ylabel("% of them")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, fontsize=9)
    return _svg(figure)


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines over a logarithmic x: of this run first, then of what it is compared with."""

    title: str
    x: str
    y: str
    series: Mapping[str, Sequence[tuple[float, float]]]


def lines(panels: Sequence[Panel]) -> str:
    """One panel above the other."""
    figure, rows = _figure(len(panels), 3.0 * len(panels))
    for axes, panel in zip(rows, panels, strict=True):
        for number, (label, points) in enumerate(panel.series.items()):
            xs, ys = zip(*points, strict=True)
            line = "-" if number == 0 else "--"
            axes.plot(xs, ys, marker=_MARKERS[number], color=_COLOURS[number], linestyle=line, label=label)
        every = sorted({point[0] for points in panel.series.values() for point in points})
        axes.set_title(panel.title, loc="left", fontsize=10, fontweight="bold", parse_math=False)
        axes.set_xscale("log")
        axes.set_xticks(every, [f"{value:g}" for value in every])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_ylim(bottom=0)
        axes.set_xlabel(panel.x)
        axes.set_ylabel(panel.y)
        if len(panel.series) > 1:
            axes.legend(frameon=False, fontsize=9)
    return _svg(figure)


def _figure(rows: int, height: float) -> tuple[Figure, list[Axes]]:
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDE, height), layout="constrained")
        axes = figure.subplots(rows, 1, squeeze=False)
    return figure, [row[0] for row in axes]


def _legend(axes: Axes) -> None:
    legend = axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a label with dollar signs is no formula


def _svg(figure: Figure) -> str:
    written = io.StringIO()
    with mpl.rc_context(_STYLE):
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()
