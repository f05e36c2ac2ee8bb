"""In-process reranking models: cross-encoders and bi-encoders, run by the engine that is fastest and exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rerankit_crossencoder.biencoder import BiEncoderReranker
    from rerankit_crossencoder.reranker import CrossEncoderReranker

__all__ = ["BiEncoderReranker", "CrossEncoderReranker"]


def __getattr__(name: str) -> Any:
    if name == "CrossEncoderReranker":
        from rerankit_crossencoder.reranker import CrossEncoderReranker

        return CrossEncoderReranker
    if name == "BiEncoderReranker":
        from rerankit_crossencoder.biencoder import BiEncoderReranker

        return BiEncoderReranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
