"""Bars on stderr, where that is a terminal; scoring several contenders with one for each."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from rerankit.cli.output import console
from rerankit.errors import RerankitError
from rerankit_eval.contenders import Contender
from rerankit_eval.judged import JudgedSet
from rerankit_eval.scoring import Scored, score_all

__all__ = ["bars", "score_contenders"]


def bars() -> Progress:
    """To be entered, and given a task for each bar."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=console(stderr=True), disable=not sys.stderr.isatty())


def score_contenders(
    judged: JudgedSet, contenders: Sequence[Contender], store: Path | None
) -> tuple[list[Scored], dict[str, RerankitError]]:
    """What each contender made of the judged set, and the errors of those that failed, by label."""
    scored: list[Scored] = []
    failed: dict[str, RerankitError] = {}
    with bars() as progress:
        for contender in contenders:
            task = progress.add_task(contender.label, total=len(judged.queries))
            try:
                scored.append(score_all(judged, contender, store, partial(progress.advance, task)))
            except RerankitError as error:
                failed[contender.label] = error
    return scored, failed
