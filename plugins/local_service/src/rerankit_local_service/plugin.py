"""What this plugin brings; imports rerankit and nothing heavier."""

from __future__ import annotations

from rerankit import CommandSpec, RerankerSpec, hookimpl


@hookimpl
def rerankit_rerankers() -> list[RerankerSpec]:
    """The client of the service."""
    return [
        RerankerSpec(
            "local_service",
            "rerankit_local_service.reranker:LocalServiceReranker",
            arguments="rerankit_local_service.arguments:LocalServiceArguments",
            summary="a model in another process: `rerankit serve` and every service that speaks its dialects",
            install='pip install "rerankit[local-service]"',
        )
    ]


@hookimpl
def rerankit_commands() -> list[CommandSpec]:
    """``rerankit serve``."""
    return [
        CommandSpec(
            "serve", "rerankit_local_service.command:serve", summary="serve rerankers over HTTP, in every dialect"
        )
    ]
