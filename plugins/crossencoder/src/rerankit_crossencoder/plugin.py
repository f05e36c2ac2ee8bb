"""What this distribution brings, as data: read by rerankit without importing torch."""

from __future__ import annotations

from rerankit.plugins import RerankerSpec, hookimpl

__all__ = ["rerankit_rerankers"]

_INSTALL = 'pip install "rerankit[crossencoder]"'


@hookimpl
def rerankit_rerankers() -> list[RerankerSpec]:
    cross_encoder = "rerankit_crossencoder.reranker:CrossEncoderReranker"
    arguments = "rerankit_crossencoder.arguments:CrossEncoderArguments"
    return [
        RerankerSpec(
            "crossencoder",
            target=cross_encoder,
            arguments=arguments,
            summary="a cross-encoder in this process: the best quality, on CPU or GPU",
            install=_INSTALL,
        ),
        RerankerSpec(
            "flag_embedding",
            target=cross_encoder,
            arguments=arguments,
            summary="a BGE reranker in this process: another name for crossencoder",
            install=_INSTALL,
        ),
        RerankerSpec(
            "biencoder",
            target="rerankit_crossencoder.biencoder:BiEncoderReranker",
            arguments="rerankit_crossencoder.arguments:BiEncoderArguments",
            summary="an embedding model in this process: cosine similarities, faster and coarser",
            install=_INSTALL,
        ),
    ]
