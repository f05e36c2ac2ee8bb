"""The answer to a call of ``rerank``: documents in order, with who scored them and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar, overload

from rerankit.scoring import Attempt, ScoreBatch, ScoreKind

__all__ = ["RankedDocument", "Ranking"]

D = TypeVar("D")
D_co = TypeVar("D_co", covariant=True)


@dataclass(frozen=True, slots=True)
class RankedDocument(Generic[D_co]):
    """One document of a ranking.

    Attributes:
        index: its position in the caller's list.
        score: relevance, in the unit of the ranking's ``score_kind``; ``None`` where nothing scored it
            (no reranker configured, or the deadline of a partial ranking came first).
        document: the caller's own object, untouched.
        coverage: the share in [0, 1] of the document's tokens the model saw; ``None`` where unknown.
    """

    index: int
    score: float | None
    document: D_co
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class Ranking(Sequence[RankedDocument[D_co]]):
    """An immutable sequence of documents: score descending, ties in input order, unscored ones last in input order.

    Attributes:
        documents: the ranked documents, at most ``top_n`` of them.
        served_by: the service that scored.
        model: name of the model; ``revision``: which version of it; ``None`` where unknown.
        score_kind: what a score means.
        degraded: a fallback, or nobody, answered for the service that was asked.
        partial: not every document was scored: the deadline came first, or nobody could score.
        truncated: how many of the call's documents (also those cut by ``top_n``) the model saw only in part;
            ``None`` where the backend does not say.
        tokens: tokens computed for the call; ``None`` where unknown.
        timings: seconds a stage; like those of ``attempts`` no part of what makes two rankings equal.
        attempts: every try at a service, failed ones with their error's code.
    """

    documents: tuple[RankedDocument[D_co], ...]
    served_by: str | None = None
    model: str | None = None
    revision: str | None = None
    score_kind: ScoreKind = ScoreKind.UNKNOWN
    degraded: bool = False
    partial: bool = False
    truncated: int | None = None
    tokens: int | None = None
    timings: Mapping[str, float] = field(default_factory=dict, compare=False)
    attempts: tuple[Attempt, ...] = ()

    @overload
    def __getitem__(self, key: int) -> RankedDocument[D_co]: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[RankedDocument[D_co], ...]: ...
    def __getitem__(self, key: int | slice) -> RankedDocument[D_co] | tuple[RankedDocument[D_co], ...]:
        return self.documents[key]

    def __len__(self) -> int:
        return len(self.documents)

    def __iter__(self) -> Iterator[RankedDocument[D_co]]:
        return iter(self.documents)

    def to_dict(self) -> dict[str, object]:
        """The ranking as JSON types; documents as the caller passed them."""
        return {
            "served_by": self.served_by,
            "model": self.model,
            "revision": self.revision,
            "score_kind": str(self.score_kind),
            "degraded": self.degraded,
            "partial": self.partial,
            "truncated": self.truncated,
            "tokens": self.tokens,
            "timings": dict(self.timings),
            "attempts": [{"service": a.service, "seconds": a.seconds, "error": a.error} for a in self.attempts],
            "results": [
                {"index": d.index, "score": d.score, "coverage": d.coverage, "document": d.document}
                for d in self.documents
            ],
        }

    @classmethod
    def from_batch(
        cls: type[Ranking[D]],
        documents: Sequence[D],
        batch: ScoreBatch,
        *,
        served_by: str,
        score_kind: ScoreKind,
        top_n: int | None = None,
        timings: Mapping[str, float] | None = None,
    ) -> Ranking[D]:
        """Order ``documents`` by the scores of ``batch``, which has one for each."""
        scores, coverage = batch.scores, batch.coverage
        if not isinstance(documents, (list, tuple)):
            documents = list(documents)  # by position: an index into a pandas Series would be one of its labels
        if batch.partial:
            scored = [i for i, score in enumerate(scores) if score is not None]
            unscored = [i for i, score in enumerate(scores) if score is None]
        else:
            scored, unscored = list(range(len(scores))), []
        # Negated keys, not reverse=True: a stable sort then leaves ties in input order.
        scored.sort(key=[-score if score is not None else 0.0 for score in scores].__getitem__)
        order = (scored + unscored)[:top_n]
        if coverage is None:
            ranked = tuple([RankedDocument(i, scores[i], documents[i]) for i in order])
        else:
            ranked = tuple([RankedDocument(i, scores[i], documents[i], coverage[i]) for i in order])
        return cls(
            documents=ranked,
            served_by=batch.served_by or served_by,
            model=batch.model,
            revision=batch.revision,
            score_kind=batch.score_kind or score_kind,
            degraded=batch.degraded,
            partial=batch.partial,
            truncated=None if coverage is None else sum(coverage[i] < 1.0 for i in scored),
            tokens=None if batch.tokens is None else sum(batch.tokens),
            timings=batch.timings if timings is None else timings,
            attempts=batch.attempts,
        )
