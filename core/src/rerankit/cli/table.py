"""A ranking for people: rank, score, bar, movement against input order, id, text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from rerankit.cli.output import console, one_line, passages
from rerankit.cli.passages import Document, document_id
from rerankit.ranking import Ranking
from rerankit.scoring import ScoreKind

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["print_ranking"]

_UP_TO_ONE = (ScoreKind.PROBABILITY, ScoreKind.CALIBRATED, ScoreKind.SIMILARITY)
_LINES = 3
"""Of a long text so many lines are shown."""


def print_ranking(ranking: Ranking[Document], asked: int) -> None:
    """Print ``ranking``, made of ``asked`` documents, to stdout."""
    screen = console()
    wide = screen.width >= 80
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    if wide:
        table.add_column("", width=12)
    table.add_column("moved", justify="right", no_wrap=True)
    identified = any(document_id(ranked.document) is not None for ranked in ranking)
    if identified:
        table.add_column("id", overflow="fold", max_width=max(screen.width // 5, 8), style="cyan")
    table.add_column("text")
    low, high = _scale(ranking)
    for rank, ranked in enumerate(ranking, 1):
        cells: list[RenderableType] = [str(rank), "" if ranked.score is None else _figure(ranked.score)]
        if wide:
            cells.append("" if ranked.score is None else Bar(high - low, 0, max(ranked.score - low, 0), color="green"))
        cells.append(_moved(ranked.index + 1 - rank))
        if identified:
            cells.append(one_line(document_id(ranked.document) or ""))
        cells.append(_shortened(ranked.document, screen.width))
        table.add_row(*cells)
    screen.print(table)
    screen.print(Text(_caption(ranking, asked), style="dim"))
    for warning in _warnings(ranking):
        screen.print(Text(warning, style="yellow"))


def _scale(ranking: Ranking[Document]) -> tuple[float, float]:
    """What an empty and a full bar mean: 0 and 1, or for a score without bounds the lowest and highest there are."""
    if ranking.score_kind in _UP_TO_ONE:
        return 0.0, 1.0
    scores = [ranked.score for ranked in ranking if ranked.score is not None] or [0.0]
    low, high = min(*scores, 0.0), max(*scores, 0.0)
    return low, high if high > low else low + 1.0


def _figure(score: float) -> str:
    return f"{score:.3f}" if abs(score) < 100 else f"{score:.1f}"


def _moved(places: int) -> Text:
    if places > 0:
        return Text(f"↑{places}", style="green")
    return Text(f"↓{-places}", style="red") if places < 0 else Text("=", style="dim")


def _shortened(document: Document, width: int) -> str:
    text = one_line(document if isinstance(document, str) else document["text"])
    room = max(_LINES * (width // 2), 60)
    return text if len(text) <= room else text[: room - 1] + "…"


def _caption(ranking: Ranking[Document], asked: int) -> str:
    counted = f"{len(ranking)} of {passages(asked)}" if len(ranking) < asked else passages(asked)
    model = f" ({ranking.model})" if ranking.model else ""
    seconds = f" in {ranking.timings['total']:.2f} s" if "total" in ranking.timings else ""
    return f"{counted}{seconds}, {ranking.score_kind} scores by {ranking.served_by}{model}"


def _warnings(ranking: Ranking[Document]) -> list[str]:
    said = []
    if ranking.degraded:
        failed = ", ".join(f"{attempt.service}: {attempt.error}" for attempt in ranking.attempts if attempt.error)
        said.append(f"degraded: a fallback answered ({failed})" if failed else "degraded: a fallback answered")
    if ranking.partial:
        said.append("partial: passages without a score keep their input order")
    if ranking.truncated:
        said.append(f"truncated: the model saw only a part of {passages(ranking.truncated)}")
    return said
