"""The core's own plugin: the services that need nothing but other services."""

from __future__ import annotations

from rerankit.plugins import RerankerSpec, hookimpl

__all__ = ["rerankit_rerankers"]


@hookimpl
def rerankit_rerankers() -> list[RerankerSpec]:
    """``cascade``."""
    return [
        RerankerSpec(
            "cascade",
            "rerankit.cascade:cascade",
            arguments="rerankit.cascade:CascadeArguments",
            summary="a cheap service over all documents, an expensive one over the best of them",
        )
    ]
