"""A full-text index of papers and their passages in one SQLite file (FTS5, BM25)."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

from paper_finder.documents import Paper

__all__ = ["PaperIndex"]

_SCHEMA = """
CREATE VIRTUAL TABLE papers USING fts5(corpus_id UNINDEXED, title, abstract, tokenize='porter unicode61');
CREATE VIRTUAL TABLE passages USING fts5(
    corpus_id UNINDEXED, title, text, section_title UNINDEXED, char_start_offset UNINDEXED,
    tokenize='porter unicode61'
);
"""


class PaperIndex:
    """The index in ``path``; every call has a connection of its own, so threads and forks may share it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def build(self, papers: Iterable[Paper]) -> tuple[int, int]:
        """Write the index anew; how many papers and passages it holds. The old one stays until the new one is whole."""
        unfinished = self.path.with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)
        first: dict[str, Paper] = {}
        count = 0
        with closing(sqlite3.connect(unfinished)) as database, database:
            database.executescript(_SCHEMA)
            for paper in papers:
                first.setdefault(paper.corpus_id, paper)
                rows = [
                    (paper.corpus_id, paper.title, p.text, p.section_title, p.char_start_offset) for p in paper.passages
                ]
                database.executemany("INSERT INTO passages VALUES (?, ?, ?, ?, ?)", rows)
                count += len(rows)
            database.executemany("INSERT INTO papers VALUES (?, ?, ?)", [_row(paper) for paper in first.values()])
        unfinished.replace(self.path)
        return len(first), count

    def search_passages(self, query: str, count: int) -> list[dict[str, Any]]:
        """The best ``count`` passages by BM25, best first: the columns and ``score``, higher is better."""
        return self._search("passages", query, count)

    def search_papers(self, query: str, count: int) -> list[dict[str, Any]]:
        """The best ``count`` papers by title and abstract."""
        return self._search("papers", query, count)

    def _search(self, table: str, query: str, count: int) -> list[dict[str, Any]]:
        words = re.findall(r"\w+", query)
        if not words:
            return []
        with closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as database:
            database.row_factory = sqlite3.Row
            found = database.execute(
                f"SELECT *, -rank AS score FROM {table} WHERE {table} MATCH ? ORDER BY rank, rowid LIMIT ?",
                (" OR ".join(f'"{word}"' for word in words), count),
            )
            return [dict(row) for row in found]


def _row(paper: Paper) -> tuple[str, str, str]:
    return paper.corpus_id, paper.title, paper.abstract or next((passage.text for passage in paper.passages), "")
