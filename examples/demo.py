"""What reranking does: questions over the Python reference, in BM25's order and in a reranker's beside it.

::

    make demo
    python examples/demo.py "how do I copy a list?"

The passages are the paragraphs of ``pydoc_data.topics``, which every Python installation carries. The first
stage is BM25 (the library bm25s); its best 50 passages are reranked by rerankit's embedded default, ``mini``.
"""

from __future__ import annotations

import os
import pydoc_data.topics
import re
import sys
import time
from collections.abc import Sequence

import bm25s
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rerankit import Ranking, RerankitError, load_reranker

QUESTIONS = (
    "why does a default argument remember its value between calls?",
    "how do I pause a program to look at its variables?",
    "is it possible to have a function without a name?",
    "how do I skip the rest of this iteration?",
    "how is the memory of unused objects freed?",
)
CANDIDATES = 50
SHOWN = 3
CHARACTERS = 150

PYTHON = min(sys.executable, os.path.relpath(sys.executable), key=len)
NEXT = (
    (f'{PYTHON} {sys.argv[0]} "how do I copy a list?"', "the same passages, a question of yours"),
    (f'{PYTHON} -m rerankit rerank "how do I copy a list?" --file notes.txt', "a text of yours"),
    (f"{PYTHON} -m rerankit doctor", "what is installed, and whether it is well"),
    ("make test", "everything that exists, tested"),
)


def passages() -> list[dict[str, str]]:
    """Paragraphs of prose of 30 to 150 words, each once, with the topic they come from."""
    found: dict[str, str] = {}
    for topic, text in pydoc_data.topics.topics.items():
        for paragraph in re.split(r"\n\s*\n", text):
            words = paragraph.split()
            if 30 <= len(words) <= 150 and re.search(r"[a-z)]\.(\s|$)", paragraph):
                found.setdefault(" ".join(words), topic)
    return [{"text": text, "topic": topic} for text, topic in found.items()]


class FirstStage:
    """BM25 over the passages."""

    def __init__(self, documents: Sequence[dict[str, str]]) -> None:
        self._documents = documents
        self._index = bm25s.BM25()
        self._index.index(self._tokens([document["text"] for document in documents]), show_progress=False)

    def search(self, question: str, count: int) -> list[dict[str, str]]:
        """The best ``count`` documents, best first."""
        found, _ = self._index.retrieve(self._tokens([question]), k=count, show_progress=False)
        return [self._documents[position] for position in found[0]]

    @staticmethod
    def _tokens(texts: list[str]) -> bm25s.tokenization.Tokenized:
        return bm25s.tokenize(texts, stopwords="en", show_progress=False)


def side_by_side(first: Sequence[dict[str, str]], ranking: Ranking[dict[str, str]]) -> Table:
    """The best few of both orders."""
    table = Table("", "BM25", "was", "score", "reranked", box=None, pad_edge=False, header_style="bold", padding=(0, 1))
    for place, (before, after) in enumerate(zip(first, ranking, strict=False), 1):
        if place > SHOWN:
            break
        moved = after.index + 1
        table.add_row(
            str(place),
            excerpt(before),
            Text(f"#{moved}", style="green" if moved > place else "dim"),
            f"{after.score:.2f}",
            excerpt(after.document),
        )
    return table


def excerpt(document: dict[str, str]) -> Text:
    """The topic, and the beginning of the text."""
    text = document["text"]
    shown = text if len(text) <= CHARACTERS else text[: CHARACTERS - 1] + "…"
    return Text.assemble((f"{document['topic']} ", "cyan"), shown)


def main(questions: Sequence[str]) -> None:
    """Answer each question twice and say what to type next."""
    screen = Console(highlight=False)
    documents = passages()
    started = time.perf_counter()
    first_stage = FirstStage(documents)
    indexed = time.perf_counter()
    with load_reranker("mini") as reranker:
        reranker.rerank("warm up", ["the first call loads the model"])
        loaded = time.perf_counter()
        screen.print(
            f"{len(documents)} passages of the Python reference. BM25 indexed them in {indexed - started:.2f} s; "
            f"mini was loaded in {loaded - indexed:.2f} s, from the wheel, without a download.",
            style="dim",
        )
        for question in questions:
            asked = time.perf_counter()
            candidates = first_stage.search(question, CANDIDATES)
            searched = time.perf_counter()
            ranking = reranker.rerank(question, candidates)
            reranked = time.perf_counter()
            screen.print(Text(f"\n{question}", style="bold yellow"))
            screen.print(side_by_side(candidates, ranking))
            screen.print(
                f"BM25 {1000 * (searched - asked):.1f} ms for {len(documents)} passages, "
                f"{ranking.served_by} {1000 * (reranked - searched):.0f} ms for {len(candidates)}; "
                f"scores are {ranking.score_kind}",
                style="dim",
            )
    screen.print("\nWhat to type next:", style="bold")
    for command, meaning in NEXT:
        screen.print(Text.assemble("  ", (command, "cyan"), "  ", (meaning, "dim")), soft_wrap=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or QUESTIONS)
    except RerankitError as error:
        sys.exit(f"{error.message}\n{error.remedy}")
