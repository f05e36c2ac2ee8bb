"""What this distribution brings, as data: read by rerankit without importing OpenVINO."""

from __future__ import annotations

from rerankit.plugins import RerankerSpec, hookimpl

__all__ = ["rerankit_rerankers"]


@hookimpl
def rerankit_rerankers() -> list[RerankerSpec]:
    return [
        RerankerSpec(
            "mini",
            target="rerankit_mini.reranker:MiniReranker",
            arguments="rerankit_mini.arguments:MiniArguments",
            summary="the embedded default: a small model inside the wheel, no torch, no download",
            install='pip install "rerankit[mini]"',
        )
    ]
