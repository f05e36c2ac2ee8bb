"""``rerankit eval``: quality of services on judged queries."""

from __future__ import annotations

from pathlib import Path

import click

from rerankit.cli.group import CHECK_FAILED, json_option
from rerankit.cli.output import print_json
from rerankit_eval.cli.options import ReadJudged, data_options, measure_options, service_option, store_option
from rerankit_eval.cli.progress import score_contenders
from rerankit_eval.cli.tables import print_failures, print_quality
from rerankit_eval.contenders import INPUT_ORDER, parse_contenders
from rerankit_eval.measures import parse_measures
from rerankit_eval.quality import assess

__all__ = ["evaluate"]


@click.command("eval")
@data_options
@service_option(multiple=True)
@measure_options
@store_option
@json_option
def evaluate(
    read: ReadJudged,
    relevant_from: int,
    services: tuple[str, ...],
    measures: tuple[str, ...],
    store: Path,
    as_json: bool,
) -> None:
    """Measure the quality of services on the judged queries of DATA, beside the input order.

    DATA is a folder in BEIR layout (corpus.jsonl, queries.jsonl, qrels.tsv) or a JSONL file whose lines have a
    query, candidates and the ids of the relevant ones. A run that was stopped goes on where it was.

    \b
    rerankit eval my-data --service mini
    rerankit eval my-data --run bm25.run --service mini --service "big=crossencoder model_name_or_path=my/model"
    """
    contenders = parse_contenders(services)
    parsed = parse_measures(measures, relevant_from)
    judged = read()
    scored, failed = score_contenders(judged, [INPUT_ORDER, *contenders], store)
    quality = assess(judged, scored, parsed)
    if as_json:
        print_json({**quality.to_dict(), "failed": {label: error.to_dict() for label, error in failed.items()}})
    else:
        print_quality(quality)
    print_failures(failed)
    if failed:
        raise click.exceptions.Exit(CHECK_FAILED)
