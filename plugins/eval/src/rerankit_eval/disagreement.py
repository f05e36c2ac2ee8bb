"""Documents on which contenders disagree most, by what the difference in rank means to a reader."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rerankit_eval.judged import JudgedSet
from rerankit_eval.scoring import Scored

__all__ = ["Disagreement", "disagreements"]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One document of one query.

    Attributes:
        ranks: from 1, by contender.
        grade: as judged; ``None`` where it was not.
        size: how far apart the ranks lie in nDCG's discount ``1 / log2(rank + 1)``: first against last is about 1.
    """

    query: str
    document: str
    text: str
    grade: int | None
    ranks: dict[str, int]
    size: float


def disagreements(judged: JudgedSet, scored: Sequence[Scored], count: int) -> list[Disagreement]:
    """The ``count`` biggest, at most one a query."""
    biggest: list[tuple[float, int, int, dict[str, int]]] = []
    for number, query in enumerate(judged.queries):
        ranks = {one.contender.label: _ranks(one.scores[query.id]) for one in scored}
        sizes = [
            max(discounts) - min(discounts)
            for discounts in zip(*([1 / math.log2(rank + 1) for rank in of] for of in ranks.values()), strict=True)
        ]
        if sizes:
            position = max(range(len(sizes)), key=sizes.__getitem__)
            biggest.append((sizes[position], number, position, {label: of[position] for label, of in ranks.items()}))
    found = []
    for size, number, position, of in sorted(biggest, key=lambda one: -one[0])[:count]:
        query = judged.queries[number]
        if size > 0:
            document = query.candidates[position]
            text = judged.corpus.texts(query)[position]
            found.append(Disagreement(query.text, document, text, query.relevance.get(document), of, size))
    return found


def _ranks(scores: Sequence[float]) -> list[int]:
    ranks = [0] * len(scores)
    for rank, position in enumerate(sorted(range(len(scores)), key=lambda place: -scores[place]), 1):
        ranks[position] = rank
    return ranks
