"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import click

from rerankit_eval.contenders import default_store
from rerankit_eval.formats import FirstStage, read_judged_set
from rerankit_eval.judged import JudgedSet
from rerankit_eval.measures import DEFAULT_MEASURES

__all__ = ["ReadJudged", "data_options", "measure_options", "service_option", "store_option"]

F = TypeVar("F", bound=Callable[..., Any])
ReadJudged: TypeAlias = Callable[[], JudgedSet]

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


_DATA_OPTIONS = (
    click.argument("data", type=click.Path(exists=True, path_type=Path)),
    click.option("--run", type=_FILE, help="TREC run that gives the candidates."),
    click.option("--qrels", type=_FILE, help="Judgements from elsewhere, as TREC or BEIR writes them."),
    click.option(
        "--first-stage",
        type=click.Choice(["bm25", "judged"]),
        default="bm25",
        show_default=True,
        help="Without --run: candidates by BM25 over the corpus, or the judged documents.",
    ),
    click.option("--depth", type=click.IntRange(min=1), default=100, show_default=True, help="Candidates a query."),
    click.option("--queries", "limit", type=click.IntRange(min=1), help="The first N queries only."),
    click.option(
        "--relevant-from",
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Lowest grade that counts as relevant. nDCG uses the grades themselves.",
    ),
)


def data_options(command: Callable[..., None]) -> Callable[..., None]:
    """``DATA``, where the candidates come from, and which of them are relevant.

    The command gets ``read``, which reads the judged set (and raises ``InputError``), and ``relevant_from``.
    """

    @wraps(command)
    def with_data(
        data: Path,
        run: Path | None,
        qrels: Path | None,
        first_stage: FirstStage,
        depth: int,
        limit: int | None,
        **others: Any,
    ) -> None:
        command(
            read=lambda: read_judged_set(data, run=run, qrels=qrels, first_stage=first_stage, depth=depth, limit=limit),
            **others,
        )

    for decorate in reversed(_DATA_OPTIONS):
        with_data = decorate(with_data)
    return with_data


def service_option(*, multiple: bool) -> Callable[[F], F]:
    """``--service``, one or several."""
    return click.option(
        "-s",
        "--service",
        "services",
        multiple=multiple,
        required=True,
        metavar="'[LABEL=]NAME [ARG=VALUE]...'",
        help="A service with its arguments." + (" May be given again." if multiple else ""),
    )


def measure_options(command: F) -> F:
    """``--measure``, several; the first one decides."""
    return click.option(
        "-m",
        "--measure",
        "measures",
        multiple=True,
        default=DEFAULT_MEASURES,
        show_default=True,
        help="As ir_measures writes it; the first decides. May be given again.",
    )(command)


def store_option(command: F) -> F:
    """``--store``: where scores are kept."""
    return click.option(
        "--store",
        type=click.Path(dir_okay=False, path_type=Path),
        default=default_store,
        show_default="the user's cache folder",
        help="File that keeps scores, so that a run that was stopped goes on. Delete it to score anew.",
    )(command)
