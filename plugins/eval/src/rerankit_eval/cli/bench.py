"""``rerankit bench``: throughput and latency of one service."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import click
from rich.table import Table

from rerankit.cli.group import json_option
from rerankit.cli.output import console, print_json
from rerankit_eval.benchmark import Move, Run, measure, moves, picture
from rerankit_eval.cli.options import service_option
from rerankit_eval.cli.progress import bars
from rerankit_eval.contenders import parse_contenders
from rerankit_eval.latency import quantile
from rerankit_eval.workload import from_passages, synthetic

__all__ = ["bench"]

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
_NEW = click.Path(dir_okay=False, path_type=Path)


def _counts(ctx: click.Context, parameter: click.Parameter, value: str) -> list[int]:
    try:
        counts = sorted({int(part) for part in value.split(",")})
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list of numbers such as 1,16,64") from None
    if counts[0] < 1:
        raise click.BadParameter("counts begin at 1")
    return counts


@click.command()
@service_option(multiple=False)
@click.option("--sizes", default="1,16,64,256", show_default=True, callback=_counts, help="Documents in a call.")
@click.option("--clients", default="1,4,16", show_default=True, callback=_counts, help="Simultaneous calls.")
@click.option(
    "--call-documents",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Documents in each simultaneous call.",
)
@click.option("--rounds", type=click.IntRange(min=2), default=7, show_default=True, help="Warm rounds.")
@click.option("--file", "passages", type=_FILE, help="Your own passages: text by paragraphs, or JSONL with a 'text'.")
@click.option("--query", default="what is this about", show_default=True, help="With --file: the query.")
@click.option("-o", "--output", type=_NEW, help="Keep the run in this JSON file.")
@click.option("--against", type=_FILE, help="A kept run: say what moved beyond noise.")
@click.option("--picture", "svg", type=_NEW, help="Draw the run into this SVG file.")
@json_option
def bench(
    services: str,
    sizes: list[int],
    clients: list[int],
    call_documents: int,
    rounds: int,
    passages: Path | None,
    query: str,
    output: Path | None,
    against: Path | None,
    svg: Path | None,
    as_json: bool,
) -> None:
    """Measure throughput and latency of one service, in a process of its own.

    Without --file the passages are English prose, log-normal in length as in real corpora.

    \b
    rerankit bench --service mini --output before.json
    rerankit bench --service mini --against before.json --picture bench.svg
    """
    (contender,) = parse_contenders([services])
    kept = None if against is None else Run.read(against)
    count = max(*sizes, call_documents)
    workload = synthetic(count) if passages is None else from_passages(passages, query, count)
    with bars() as progress:
        task = progress.add_task("rounds", total=1 + rounds)
        run = measure(
            contender,
            workload,
            sizes=sizes,
            clients=clients,
            call_documents=call_documents,
            rounds=rounds,
            advance=lambda: progress.advance(task),
        )
    moved = [] if kept is None else moves(run, kept)
    if output is not None:
        run.write(output)
    if svg is not None:
        svg.write_text(picture(run, kept), encoding="utf-8")
    if as_json:
        print_json({**run.to_dict(), "moves": [_as_json(move) for move in moved]})
    else:
        _print(run)
        if kept is not None:
            _print_moves(moved, run, kept)


def _as_json(move: Move) -> dict[str, object]:
    return {name: getattr(move, name) for name in ("name", "ratio", "low", "high", "beyond_noise")}


def _print(run: Run) -> None:
    screen = console()
    largest = max(run.growth)
    speed = f"{run.documents_per_second(largest):,.0f} documents/s"
    if run.tokens:
        speed += f", {run.tokens / statistics.median(run.growth[largest]):,.0f} tokens/s"
    memory = "" if run.peak_bytes is None else f"; {run.peak_bytes / 2**20:,.0f} MiB at most"
    screen.print(f"{run.service}: {speed}; {run.cold_seconds:.2f} s from a fresh process to the first score{memory}")
    machine = run.machine
    screen.print(f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB", style="dim")
    screen.print(_table("documents", [(size, size, seconds) for size, seconds in run.growth.items()]))
    together = [(number, number * run.call_documents, seconds) for number, seconds in run.concurrency.items()]
    screen.print(_table(f"calls of {run.call_documents} at once", together))


def _table(first: str, rows: Sequence[tuple[int, int, Sequence[float]]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in (first, "median", "p95", "documents/s"):
        table.add_column(name, justify="right", no_wrap=True)
    for count, documents, seconds in rows:
        median = statistics.median(seconds)
        table.add_row(str(count), f"{median:.4f} s", f"{quantile(seconds, 0.95):.4f} s", f"{documents / median:,.0f}")
    return table


def _print_moves(moved: Sequence[Move], now: Run, then: Run) -> None:
    screen = console()
    screen.print(f"\nagainst the run of {then.made}: seconds now over seconds then, with 95 % intervals")
    if dict(now.machine) != dict(then.machine):
        screen.print("the machine is another one, so the ratios say little about the service", style="yellow")
    machine = statistics.median(now.reference) / statistics.median(then.reference)
    screen.print(f"  {machine:.2f}  the machine itself, on a fixed piece of work", style="dim")
    for move in moved:
        said = "no more than noise"
        if move.beyond_noise:
            said = "slower" if move.ratio > 1 else "faster"
        screen.print(f"  {move.ratio:.2f}  ({move.low:.2f} to {move.high:.2f})  {move.name}: {said}")
