"""Any rerankit reranker as an MTEB cross-encoder."""

from rerankit_mteb.cross_encoder import RerankitCrossEncoder

__all__ = ["RerankitCrossEncoder"]
