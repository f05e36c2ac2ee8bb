"""``rerankit compare``: quality, latency, memory and cost side by side, as a table and an HTML report."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from rerankit.cli.group import CHECK_FAILED, json_option
from rerankit.cli.output import console, print_json
from rerankit_eval.cli.options import ReadJudged, data_options, measure_options, service_option, store_option
from rerankit_eval.cli.progress import bars, score_contenders
from rerankit_eval.cli.tables import print_failures
from rerankit_eval.comparison import Comparison
from rerankit_eval.contenders import INPUT_ORDER, parse_contenders
from rerankit_eval.costs import parse_prices
from rerankit_eval.disagreement import disagreements
from rerankit_eval.latency import measure_latency
from rerankit_eval.measures import parse_measures
from rerankit_eval.quality import assess
from rerankit_eval.report import money, render

__all__ = ["compare"]

_DISAGREEMENTS = 10


@click.command()
@data_options
@service_option(multiple=True)
@measure_options
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Warm rounds for the latency.")
@click.option("--timed-queries", type=click.IntRange(min=1), default=8, show_default=True, help="Queries in a round.")
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="LABEL=AMOUNT/h|1k",
    help="What an hour of a service's machine, or 1,000 queries, cost. May be given again.",
)
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report into this file.")
@store_option
@json_option
def compare(
    read: ReadJudged,
    relevant_from: int,
    services: tuple[str, ...],
    measures: tuple[str, ...],
    rounds: int,
    timed_queries: int,
    prices: tuple[str, ...],
    html: Path | None,
    store: Path,
    as_json: bool,
) -> None:
    """Compare services on the judged queries of DATA: quality, latency, memory and cost.

    DATA is as for `rerankit eval`. Latency is measured in interleaved rounds, each service in a process of its own.

    \b
    rerankit compare my-data --service mini --service "crossencoder model_name_or_path=my/model" \\
        --price mini=0.04/h --price crossencoder=0.80/h --html report.html
    """
    contenders = parse_contenders(services)
    parsed = parse_measures(measures, relevant_from)
    priced = parse_prices(prices, [contender.label for contender in contenders])
    judged = read()
    scored, failed = score_contenders(judged, [INPUT_ORDER, *contenders], store)
    able = [one.contender for one in scored if one.contender.service is not None]
    with bars() as progress:
        task = progress.add_task("latency", total=len(able) * (1 + rounds * timed_queries))
        latencies, too_slow = measure_latency(
            judged, able, queries=timed_queries, rounds=rounds, advance=lambda: progress.advance(task)
        )
    comparison = Comparison(
        assess(judged, scored, parsed),
        latencies,
        {label: price.of_1000_queries(latencies[label]) for label, price in priced.items() if label in latencies},
        disagreements(judged, scored, _DISAGREEMENTS),
        {**failed, **too_slow},
        relevant_from,
    )
    if html is not None:
        html.write_text(render(comparison), encoding="utf-8")
    if as_json:
        print_json(comparison.to_dict())
    else:
        _print(comparison)
        if html is not None:
            click.echo(f"\nreport: {html}")
    print_failures(comparison.failed)
    if comparison.failed:
        raise click.exceptions.Exit(CHECK_FAILED)


def _print(comparison: Comparison) -> None:
    screen = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("service", overflow="fold")
    for name in (*comparison.quality.measures[:2], "median", "p95", "cold", "memory", "1,000 queries"):
        if name != "1,000 queries" or comparison.costs:
            table.add_column(name, justify="right", no_wrap=True)
    for label, means in comparison.quality.means.items():
        cells = [f"{means[name].mean:.3f}" for name in comparison.quality.measures[:2]]
        if (latency := comparison.latencies.get(label)) is not None:
            memory = "" if latency.peak_bytes is None else f"{latency.peak_bytes / 2**20:,.0f} MiB"
            seconds = (latency.median, latency.p95, latency.cold_seconds)
            cells += [*(f"{value:.3f} s" for value in seconds), memory]
        if label in comparison.costs:
            cells.append(money(comparison.costs[label]))
        table.add_row(label, *cells)
    screen.print(table)
    for sentence in comparison.verdict():
        screen.print(sentence)
