"""One HTML file with everything in it: no script, no network, readable on a phone and on paper."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from rerankit_eval.comparison import Comparison
from rerankit_eval.contenders import INPUT_ORDER
from rerankit_eval.plots import distribution, tradeoff
from rerankit_eval.quality import Quality

__all__ = ["money", "render"]

_CHANGES = 3
_LONGEST = 450


def render(comparison: Comparison) -> str:
    """The report. Labels, queries and texts are escaped: they may come from anywhere."""
    environment = Environment(
        loader=PackageLoader("rerankit_eval"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"seconds": _seconds, "mib": _mib, "money": money, "shortened": _shortened}
    quality = comparison.quality
    labels = list(quality.means)
    return environment.get_template("report.html").render(
        comparison=comparison,
        facts=quality.judged.facts(),
        measures=quality.measures,
        rows=[_row(comparison, label) for label in labels],
        labels=labels,
        differences=quality.differences[comparison.measure],
        pictures=_pictures(comparison),
        changes=[_changes(quality, label) for label in labels if label != INPUT_ORDER.label],
    )


def _row(comparison: Comparison, label: str) -> dict[str, Any]:
    quality = comparison.quality
    (scored,) = [one for one in quality.scored if one.contender.label == label]
    best = quality.best
    return {
        "label": label,
        "means": [
            {"name": name, "value": value, "best": value.mean == best.get(name)}
            for name, value in quality.means[label].items()
        ],
        "latency": comparison.latencies.get(label),
        "cost": comparison.costs.get(label),
        "source": scored.source,
        "truncated": scored.truncated,
        "service": scored.contender.service,
        "args": scored.contender.shown_args(),
    }


def _pictures(comparison: Comparison) -> list[dict[str, str]]:
    pictures = []
    for title, takes, axis in (
        (
            "Quality against latency",
            {label: found.median for label, found in comparison.latencies.items()},
            "median seconds a query, warm (logarithmic)",
        ),
        ("Quality against cost", comparison.costs, "cost of 1,000 queries (logarithmic)"),
    ):
        points = comparison.points(takes)
        if points:
            said = "; ".join(f"{point.label}: {point.y:.3f} at {point.x:.3g}" for point in points)
            baseline = comparison.quality.means[INPUT_ORDER.label][comparison.measure].mean
            svg = tradeoff(points, x=axis, y=f"{comparison.measure}, 95 % interval", baseline=baseline)
            pictures.append({"title": title, "uri": _uri(svg), "alt": f"{comparison.measure} by {axis}. {said}"})
    for label, (relevant, others) in comparison.score_distributions().items():
        alt = f"Histograms of the scores that {label} gives relevant and other documents"
        uri = _uri(distribution(relevant, others))
        pictures.append({"title": f"Scores of {label}", "uri": uri, "alt": alt})
    return pictures


def _changes(quality: Quality, label: str) -> dict[str, Any]:
    changes = quality.biggest_changes(label, INPUT_ORDER.label, len(quality.judged.queries))
    told = [(quality.judged.queries[position], change) for position, change in changes]
    return {
        "label": label,
        "gains": [one for one in told if one[1] > 0][:_CHANGES],
        "losses": [one for one in told if one[1] < 0][:_CHANGES],
    }


def money(value: float) -> str:
    """An amount of any size, without an exponent."""
    return f"{value:,.2f}" if value >= 1 else f"{value:.3f}" if value >= 0.001 else "under 0.001"


def _uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def _mib(value: int | None) -> str:
    return "unknown" if value is None else f"{value / 2**20:,.0f} MiB"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
