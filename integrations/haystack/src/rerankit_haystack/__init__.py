"""Any rerankit reranker as a Haystack ranker."""

from rerankit_haystack.ranker import RerankitRanker

__all__ = ["RerankitRanker"]
