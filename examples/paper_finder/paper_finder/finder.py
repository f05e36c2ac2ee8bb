"""The pipeline: retrieve, rerank, aggregate to papers, keep those relevant enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from paper_finder.retriever import FullTextRetriever
from rerankit import AbstractReranker, Ranking, ScoreKind

__all__ = ["Answer", "FoundPaper", "PaperFinderWithReranker"]

_UNIT = (ScoreKind.PROBABILITY, ScoreKind.CALIBRATED)


@dataclass(frozen=True, slots=True)
class FoundPaper:
    """A paper and its passages that were kept, best first.

    Attributes:
        relevance_judgement: the highest score of its passages; ``None`` where nothing was scored.
    """

    corpus_id: str
    title: str
    relevance_judgement: float | None
    sentences: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Answer:
    """The papers, most relevant first, and what the reader should know about them."""

    papers: list[FoundPaper]
    candidates: int
    served_by: str | None = None
    notices: list[str] = field(default_factory=list)


class PaperFinderWithReranker:
    """Papers for a question.

    Args:
        retriever: the first stage.
        reranker: the second; ``None`` keeps the first stage's order.
        n_rerank: passages to keep after reranking; -1 for all.
        context_threshold: papers below this relevance are dropped. It is a share of certainty, so it needs scores
            in [0, 1]: of other kinds of scores it is not applied, and the answer says so.
    """

    def __init__(
        self,
        retriever: FullTextRetriever,
        reranker: AbstractReranker | None,
        n_rerank: int = -1,
        context_threshold: float = 0.5,
    ) -> None:
        self.retriever = retriever
        self.reranker = reranker
        self.n_rerank = n_rerank
        self.context_threshold = context_threshold

    def find(self, query: str) -> Answer:
        """The papers that answer ``query``.

        Raises:
            RerankitError: the query is empty, or the reranker failed.
        """
        candidates = self.candidates(query)
        if not self.reranker:
            return Answer(_aggregated(candidates), len(candidates), None, ["not reranked: papers as they were found"])
        ranking = self.rerank(query, candidates)
        snippets = [{**ranked.document, "rerank_score": ranked.score} for ranked in ranking[: _limit(self.n_rerank)]]
        papers = _aggregated(snippets)
        notices = _notices(ranking)
        if any(ranked.score is not None for ranked in ranking):
            if ranking.score_kind in _UNIT:
                best = papers[0].relevance_judgement or 0.0
                papers = [paper for paper in papers if (paper.relevance_judgement or 0.0) >= self.context_threshold]
                if not papers:
                    notices.append(
                        f"no paper reaches context_threshold {self.context_threshold}; the best is at {best:.2f}"
                    )
            else:
                notices.append(
                    f"context_threshold {self.context_threshold} was not applied: {ranking.served_by} gives scores of "
                    f"kind {ranking.score_kind}, and a threshold needs probability or calibrated ones "
                    "(ask the service for probabilities, or run `rerankit calibrate`)"
                )
        return Answer(papers, len(candidates), ranking.served_by, notices)

    def candidates(self, query: str) -> list[dict[str, Any]]:
        """The first stage: passages, then papers found by keywords that no passage is from."""
        passages = self.retriever.retrieve_passages(query)
        there = {passage["corpus_id"] for passage in passages}
        more = self.retriever.retrieve_additional_papers(query)
        return passages + [paper for paper in more if paper["corpus_id"] not in there]

    def rerank(self, query: str, candidates: Sequence[dict[str, Any]]) -> Ranking[dict[str, Any]]:
        """The candidates by relevance; a passage is judged by its paper's title and its text."""
        assert self.reranker is not None
        judged = [{**snippet, "passage": f"{snippet['title']} {snippet['text']}"} for snippet in candidates]
        return self.reranker.rerank(query, judged, text_field="passage")


def _limit(n_rerank: int) -> int | None:
    return None if n_rerank < 0 else n_rerank


def _aggregated(snippets: Sequence[dict[str, Any]]) -> list[FoundPaper]:
    """Snippets, best first, as papers: a paper is as relevant as its best passage, ties in order of appearance."""
    papers: dict[str, list[dict[str, Any]]] = {}
    for snippet in snippets:
        papers.setdefault(snippet["corpus_id"], []).append(snippet)
    # The first passage of each is its best, and papers appear in the order of their best passages.
    return [
        FoundPaper(corpus_id, passages[0]["title"], passages[0].get("rerank_score"), passages)
        for corpus_id, passages in papers.items()
    ]


def _notices(ranking: Ranking[Any]) -> list[str]:
    found = []
    if ranking.degraded:
        tried = ", ".join(f"{a.service}: {a.error}" for a in ranking.attempts if a.error)
        found.append(f"{ranking.served_by} answered instead ({tried})")
    if ranking.partial:
        unscored = sum(ranked.score is None for ranked in ranking)
        found.append(f"{unscored} of {len(ranking)} passages were not scored; they stand last")
    if ranking.truncated:
        found.append(f"{ranking.truncated} of {len(ranking)} passages were longer than the model reads")
    return found
