"""Quality for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from rerankit.cli.output import console, one_line
from rerankit.errors import RerankitError
from rerankit_eval.contenders import INPUT_ORDER
from rerankit_eval.quality import Quality
from rerankit_eval.significance import Difference

__all__ = ["print_failures", "print_quality"]

_SHOWN = 3


def print_quality(quality: Quality) -> None:
    """Means with intervals, differences with significance, the queries that changed most."""
    screen = console()
    facts = quality.judged.facts()
    missing = f", {facts['missing']} candidates without a text left out" if facts["missing"] else ""
    screen.print(
        f"{facts['name']}: {facts['queries']} queries, {facts['candidates']} candidates ({facts['first_stage']}), "
        f"{facts['judged']} judgements{missing}"
    )
    screen.print()
    screen.print(_means(quality))
    for one in quality.scored:
        for note in _notes(quality, one.contender.label):
            screen.print(Text(note, style="dim"))
    if len(quality.scored) > 1:
        screen.print(f"\ndifferences in {quality.measures[0]}: 95 % intervals, p corrected for their number (Holm)")
        screen.print(_differences(quality))
    for one in quality.scored:
        if one.contender.service is not None:
            _print_changes(quality, one.contender.label)


def print_failures(failed: Mapping[str, RerankitError]) -> None:
    """On stderr: what could not be measured, and what to do."""
    screen = console(stderr=True)
    for label, error in failed.items():
        screen.print(f"{label} was not measured: {error.message} [{error.code}]", style="red")
        screen.print(f"  remedy: {error.remedy}")


def _means(quality: Quality) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("service", overflow="fold")
    for name in quality.measures:
        table.add_column(name, justify="right", no_wrap=True)
    for label, means in quality.means.items():
        cells = []
        for name, value in means.items():
            best = value.mean == quality.best.get(name)
            cells.append(Text(f"{value.mean:.3f}", style="bold green" if best else ""))
        table.add_row(label, *cells)
    return table


def _notes(quality: Quality, label: str) -> list[str]:
    (one,) = [one for one in quality.scored if one.contender.label == label]
    if one.contender.service is None:
        return []
    model = f"{one.source.model}@{one.source.revision}" if one.source.revision else one.source.model or "unnamed model"
    said = [f"{label}: {model}, {one.source.score_kind} scores; {one.computed} pairs scored in {one.seconds:.1f} s"]
    if one.known:
        said.append(f"  {one.known} scores were kept from an earlier run")
    if not one.kept:
        said.append("  its scores cannot be kept: it is listwise, or does not say what they depend on")
    if one.truncated:
        said.append(f"  it saw only a part of {one.truncated} documents")
    return said


def _differences(quality: Quality) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, justify in (("better", "left"), ("than", "left"), ("by", "right"), ("95 %", "right"), ("p", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("better / worse / equal", justify="right")
    for found in quality.differences[quality.measures[0]]:
        change = found.difference
        table.add_row(
            found.one,
            found.other,
            f"{change.mean:+.3f}",
            f"{change.low:+.3f} to {change.high:+.3f}",
            Text(_p(found), style="" if found.corrected < 0.05 else "yellow"),
            f"{found.wins} / {found.losses} / {found.ties}",
        )
    return table


def _p(found: Difference) -> str:
    return f"{found.corrected:.4f}" if found.corrected < 0.05 else f"{found.corrected:.3f}, may be chance"


def _print_changes(quality: Quality, label: str) -> None:
    changes = quality.biggest_changes(label, INPUT_ORDER.label, 10_000)
    screen = console()
    for title, found in (
        ("gains most over the input order", [c for c in changes if c[1] > 0][:_SHOWN]),
        ("loses most", [c for c in changes if c[1] < 0][:_SHOWN]),
    ):
        if found:
            screen.print(f"\n{label} {title}:")
        for position, change in found:
            query = quality.judged.queries[position]
            screen.print(f"  {change:+.3f}  {query.id}  {one_line(query.text)[:90]}")
