"""``python -m paper_finder``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from paper_finder.documents import papers_of
from paper_finder.finder import Answer, PaperFinderWithReranker
from paper_finder.index import PaperIndex
from paper_finder.retriever import FullTextRetriever
from rerankit import RerankitError, load_reranker

HERE = Path(__file__).parents[1]
SHOWN_CHARACTERS = 240


@click.group()
def main() -> None:
    """Find papers for a question, in a folder of texts of yours."""


@main.command()
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option("--index", "path", type=click.Path(path_type=Path), default=Path("papers.db"), show_default=True)
def index(source: Path, path: Path) -> None:
    """Index SOURCE: a .jsonl file, or a folder of .jsonl, .txt and .md files."""
    try:
        papers, passages = PaperIndex(path).build(papers_of(source))
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{papers} papers, {passages} passages in {path}")


@main.command()
@click.argument("question")
@click.option("--index", "path", type=click.Path(exists=True, path_type=Path), default=Path("papers.db"))
@click.option("--config", type=click.Path(exists=True, path_type=Path), default=HERE / "run_configs/default.json")
@click.option("--passages", default=2, show_default=True, help="Passages to show of each paper.")
@click.option("--json", "as_json", is_flag=True, help="Print the answer as JSON.")
def ask(question: str, path: Path, config: Path, passages: int, as_json: bool) -> None:
    """Papers that answer QUESTION, with their best passages and scores."""
    settings = json.loads(config.read_text(encoding="utf-8"))["run_config"]
    retriever = FullTextRetriever(PaperIndex(path), **settings.get("retriever_args", {}))
    try:
        # The same file, read again: rerankit takes its own keys and leaves the application's alone.
        with load_reranker(config=config) as reranker:
            answer = PaperFinderWithReranker(retriever, reranker, **settings.get("paper_finder_args", {})).find(
                question
            )
    except RerankitError as error:
        raise click.ClickException(f"{error.message}\n{error.remedy}") from None
    if as_json:
        click.echo(json.dumps(_as_dict(answer), indent=2, ensure_ascii=False))
    else:
        _show(answer, passages)


def _as_dict(answer: Answer) -> dict[str, Any]:
    papers = [
        {
            "corpus_id": paper.corpus_id,
            "title": paper.title,
            "relevance_judgement": paper.relevance_judgement,
            "sentences": paper.sentences,
        }
        for paper in answer.papers
    ]
    return {"served_by": answer.served_by, "candidates": answer.candidates, "notices": answer.notices, "papers": papers}


def _show(answer: Answer, passages: int) -> None:
    screen = Console(highlight=False, file=sys.stdout)
    screen.print(
        f"{len(answer.papers)} papers; {answer.candidates} candidates, judged by {answer.served_by}", style="dim"
    )
    for notice in answer.notices:
        screen.print(Text(f"note: {notice}", style="yellow"))
    for paper in answer.papers:
        screen.print(
            Text.assemble(
                "\n", (_score(paper.relevance_judgement), "green"), " ", (paper.title, "bold"), f"  [{paper.corpus_id}]"
            )
        )
        for snippet in paper.sentences[:passages]:
            text = " ".join(snippet["text"].split())
            cut = text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
            section = f"{snippet['section_title']}: " if snippet["section_title"] else ""
            screen.print(Text.assemble("  ", (_score(snippet.get("rerank_score")), "cyan"), f" {section}{cut}"))


def _score(score: float | None) -> str:
    return "  –  " if score is None else f"{score:5.3f}"


if __name__ == "__main__":
    main()
