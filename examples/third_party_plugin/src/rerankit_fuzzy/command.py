"""`rerankit fuzzy`."""

from __future__ import annotations

import click

from rerankit_fuzzy.reranker import FuzzyReranker


@click.command()
@click.argument("one")
@click.argument("other")
def fuzzy(one: str, other: str) -> None:
    """Show how alike ONE and OTHER are, from 0 to 1."""
    click.echo(f"{FuzzyReranker().get_scores(one, [other])[0]:.2f}")
