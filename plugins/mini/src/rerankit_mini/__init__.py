"""The embedded reranker: a small real model inside the wheel, no torch, no download."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rerankit_mini.reranker import MiniReranker

__all__ = ["MiniReranker"]


def __getattr__(name: str) -> Any:
    if name == "MiniReranker":
        from rerankit_mini.reranker import MiniReranker

        return MiniReranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
