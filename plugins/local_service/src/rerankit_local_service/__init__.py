"""One warm reranking model for every process: the HTTP service, and the ``local_service`` backend that talks to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rerankit_local_service.reranker import LocalServiceReranker

__all__ = ["LocalServiceReranker", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # The plugin's light module imports this package, which therefore imports no httpx.
    if name == "LocalServiceReranker":
        from rerankit_local_service.reranker import LocalServiceReranker

        return LocalServiceReranker
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
