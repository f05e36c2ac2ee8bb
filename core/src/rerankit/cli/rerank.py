"""``rerankit rerank``: a query, documents, and the documents in their order of relevance."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from rerankit.cli.group import json_option
from rerankit.cli.output import passages, print_json, working
from rerankit.cli.passages import Document, from_file, from_stdin
from rerankit.loading import load_from_settings

__all__ = ["rerank"]


def _arguments(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    arguments = {}
    for given in values:
        name, equals, value = given.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{given!r} is not of the form name=value")
        arguments[name] = _parsed(value)
    return arguments


def _parsed(value: str) -> object:
    """Lists and objects are JSON; other strings are turned into their type by the service's own model."""
    if value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise click.BadParameter(f"{value!r} is not JSON: {error}") from None
    return value


@click.command()
@click.argument("query")
@click.argument("documents", nargs=-1, metavar="[DOCUMENT]...")
@click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, readable=True, path_type=Path),
    help="A text file, one passage a paragraph, or JSONL with a 'text' field. May be given again.",
)
@click.option("-n", "--top-n", type=click.IntRange(min=1), help="Show the best N only.")
@click.option("-s", "--service", help="The service to use instead of the configured one.")
@click.option(
    "-a",
    "--arg",
    "arguments",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_arguments,
    help="An argument of the service. May be given again.",
)
@json_option
def rerank(
    query: str,
    documents: tuple[str, ...],
    files: tuple[Path, ...],
    top_n: int | None,
    service: str | None,
    arguments: dict[str, Any],
    as_json: bool,
) -> None:
    """Order documents by their relevance to QUERY.

    Without DOCUMENT and --file, stdin is read: one passage a line, or JSONL with a 'text' field.

    \b
    rerankit rerank "how do I catch an exception" "Use try and except." "Bees make honey."
    rerankit rerank "how do I catch an exception" --file notes.txt --top-n 5
    rerankit rerank "how do I catch an exception" --json < passages.jsonl
    """
    given: list[Document] = [*documents]
    for path in files:
        given += from_file(path)
    if not documents and not files:
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("no documents: give them as arguments, with --file, or on stdin")
        given = from_stdin(sys.stdin.buffer.read())
    from rerankit.settings import UNSET, read_settings

    with working(f"reranking {passages(len(given))}"):
        settings = read_settings(UNSET if service is None else service, arguments)
        with load_from_settings(settings) as reranker:
            ranking = reranker.rerank(query, given, top_n)
    if as_json:
        print_json({"query": query, **ranking.to_dict()})
        return
    from rerankit.cli.table import print_ranking

    print_ranking(ranking, len(given))
