"""The first stage: passages by full-text search, and papers by keywords."""

from __future__ import annotations

from typing import Any

from paper_finder.index import PaperIndex

__all__ = ["FullTextRetriever"]


class FullTextRetriever:
    """Up to ``n_retrieval`` passages and ``n_keyword_srch`` papers.

    A snippet is a dict of ``corpus_id``, ``title``, ``text``, ``score``, ``section_title``, ``char_start_offset`` and
    ``stype``.
    """

    def __init__(self, index: PaperIndex, n_retrieval: int = 256, n_keyword_srch: int = 20) -> None:
        self.index = index
        self.n_retrieval = n_retrieval
        self.n_keyword_srch = n_keyword_srch

    def retrieve_passages(self, query: str) -> list[dict[str, Any]]:
        """Passages, best first."""
        return [{**found, "stype": "passage"} for found in self.index.search_passages(query, self.n_retrieval)]

    def retrieve_additional_papers(self, query: str) -> list[dict[str, Any]]:
        """Papers found by title and abstract: the abstract is the text, and the score is 0.0."""
        return [
            {
                "corpus_id": found["corpus_id"],
                "title": found["title"],
                "text": found["abstract"],
                "score": 0.0,
                "section_title": "abstract",
                "char_start_offset": 0,
                "stype": "paper",
            }
            for found in self.index.search_papers(query, self.n_keyword_srch)
        ]
