"""In-process reranking models: cross-encoders and bi-encoders, run by the engine that is fastest and exact."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rerankit_crossencoder.biencoder import BiEncoderReranker
    from rerankit_crossencoder.reranker import CrossEncoderReranker

__all__ = ["BiEncoderReranker", "CrossEncoderReranker"]

# Shapes whose compiled kernels oneDNN keeps, in torch and in OpenVINO; read at its first use. With 1,024, as it comes,
# memory goes on growing for thousands of mixed requests (docs/crossencoder.md).
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")


def __getattr__(name: str) -> Any:
    if name == "CrossEncoderReranker":
        from rerankit_crossencoder.reranker import CrossEncoderReranker

        return CrossEncoderReranker
    if name == "BiEncoderReranker":
        from rerankit_crossencoder.biencoder import BiEncoderReranker

        return BiEncoderReranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
