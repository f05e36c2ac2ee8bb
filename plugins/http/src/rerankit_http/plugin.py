"""What this distribution brings, as data: read by rerankit without importing httpx."""

from __future__ import annotations

from rerankit.plugins import RerankerSpec, hookimpl

__all__ = ["rerankit_rerankers"]


@hookimpl
def rerankit_rerankers() -> list[RerankerSpec]:
    return [
        RerankerSpec(
            "http",
            target="rerankit_http.reranker:HttpReranker",
            arguments="rerankit_http.arguments:HttpArguments",
            summary="any endpoint that speaks Cohere's, Jina's, Voyage's, TEI's or vLLM's dialect",
            install='pip install "rerankit[http]"',
        )
    ]
