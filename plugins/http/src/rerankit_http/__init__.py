"""Reranking by an HTTP endpoint in one of the common dialects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rerankit_http.reranker import HttpReranker

__all__ = ["HttpReranker"]


def __getattr__(name: str) -> Any:
    # The entry point's module lives in this package, so importing the package must stay cheap.
    if name == "HttpReranker":
        from rerankit_http.reranker import HttpReranker

        return HttpReranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
