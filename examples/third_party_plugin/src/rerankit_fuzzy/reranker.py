"""The backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import rapidfuzz
from rapidfuzz import fuzz

from rerankit import Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.arguments import validated
from rerankit_fuzzy.arguments import FuzzyArguments

_SCORERS = {"whole": fuzz.ratio, "partial": fuzz.partial_ratio, "words": fuzz.token_set_ratio}


class FuzzyReranker(PairReranker):
    """Similarity in [0, 1] of query and document by edit distance.

    Args:
        match, ignore_case, max_characters: see ``FuzzyArguments``.

    Raises:
        InvalidArgumentError: an argument is wrong.
    """

    capabilities = Capabilities(score_kind=ScoreKind.SIMILARITY)

    def __init__(
        self,
        match: Literal["whole", "partial", "words"] = "words",
        ignore_case: bool = True,
        max_characters: int = 20_000,
    ) -> None:
        # Validated here too, so that whoever makes it without load_reranker gets the same errors.
        given = {"match": match, "ignore_case": ignore_case, "max_characters": max_characters}
        self.arguments = validated(FuzzyArguments, given, service="fuzzy")

    @property
    def fingerprint(self) -> str:
        """All that changes a score, so that the policy may cache it."""
        return f"fuzzy:{rapidfuzz.__version__}:{self.arguments}"

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """Looks at the deadline before each pair, and says how much of each document it saw."""
        scores, coverage = [], []
        for query, document in request.pairs:
            request.raise_if_stopped()
            seen = document[: self.arguments.max_characters]
            scores.append(self._similarity(query, seen))
            coverage.append(len(seen) / len(document) if document else 1.0)
        return ScoreBatch(scores, coverage, model="rapidfuzz", revision=rapidfuzz.__version__)

    def diagnose(self) -> Mapping[str, str]:
        """For `rerankit doctor`."""
        return {"rapidfuzz": rapidfuzz.__version__, "match": self.arguments.match}

    def _similarity(self, query: str, document: str) -> float:
        if self.arguments.ignore_case:
            query, document = query.lower(), document.lower()
        return float(_SCORERS[self.arguments.match](query, document)) / 100
