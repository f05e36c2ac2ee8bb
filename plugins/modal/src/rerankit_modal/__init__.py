"""Reranking on Modal: the client of a deployment, and the deployment itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rerankit_modal.engine import ModalEngine
    from rerankit_modal.reranker import ModalReranker

__all__ = ["ModalEngine", "ModalReranker"]

_HOMES = {"ModalEngine": "rerankit_modal.engine", "ModalReranker": "rerankit_modal.reranker"}


def __getattr__(name: str) -> Any:
    # The entry point's module lives in this package, so importing the package must stay cheap.
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
