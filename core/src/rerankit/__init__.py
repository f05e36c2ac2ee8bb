"""A pluggable reranking layer: name a backend in the configuration, get relevance scores back."""

from rerankit.errors import RerankitError
from rerankit.loading import RERANKER_MAPPING, load_reranker
from rerankit.plugins import CommandSpec, RerankerSpec, hookimpl
from rerankit.ranking import RankedDocument, Ranking
from rerankit.reranker import AbstractReranker, AsyncReranker, PairReranker
from rerankit.scoring import Attempt, Capabilities, ScoreBatch, ScoreKind, ScoreRequest

__all__ = [
    "RERANKER_MAPPING",
    "AbstractReranker",
    "AsyncReranker",
    "Attempt",
    "Capabilities",
    "CommandSpec",
    "PairReranker",
    "RankedDocument",
    "Ranking",
    "RerankerSpec",
    "RerankitError",
    "ScoreBatch",
    "ScoreKind",
    "ScoreRequest",
    "hookimpl",
    "load_reranker",
]
