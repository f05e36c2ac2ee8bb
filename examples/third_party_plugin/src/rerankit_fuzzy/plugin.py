"""What this distribution brings. Imports rerankit and nothing else; the targets are imported when they are used."""

from __future__ import annotations

from rerankit import CommandSpec, RerankerSpec, hookimpl


@hookimpl
def rerankit_rerankers() -> list[RerankerSpec]:
    return [
        RerankerSpec(
            "fuzzy",
            "rerankit_fuzzy.reranker:FuzzyReranker",
            arguments="rerankit_fuzzy.arguments:FuzzyArguments",
            summary="how well the query's words are found in a document, misspelt ones too",
            install="pip install rerankit-fuzzy",
        )
    ]


@hookimpl
def rerankit_commands() -> list[CommandSpec]:
    return [CommandSpec("fuzzy", "rerankit_fuzzy.command:fuzzy", summary="show how alike two texts are")]
