"""What this distribution brings, as data: read by rerankit without importing modal."""

from __future__ import annotations

from rerankit.plugins import CommandSpec, RerankerSpec, hookimpl

__all__ = ["rerankit_commands", "rerankit_rerankers"]


@hookimpl
def rerankit_rerankers() -> list[RerankerSpec]:
    return [
        RerankerSpec(
            "modal",
            target="rerankit_modal.reranker:ModalReranker",
            arguments="rerankit_modal.arguments:ModalArguments",
            summary="a cross-encoder on Modal's GPUs, deployed by `rerankit modal deploy`",
            install='pip install "rerankit[modal]"',
        )
    ]


@hookimpl
def rerankit_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            "modal",
            target="rerankit_modal.commands:modal_commands",
            summary="Deploy to Modal, see how the deployment is, estimate what it costs.",
        )
    ]
