"""The dialects of rerank services, one module a family: pure translation, no HTTP and no model.

``/rerank`` belongs to several of them, so the body decides: ``texts`` is TEI's, ``passages`` SolaceAI's,
``parameters`` Pinecone's, and all others send ``documents``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Discriminator, Tag

from rerankit_local_service.server.dialects.call import Dialect
from rerankit_local_service.server.dialects.documents import DOCUMENTS_BARE, DocumentsRequest
from rerankit_local_service.server.dialects.pinecone import PINECONE, PineconeRequest
from rerankit_local_service.server.dialects.solaceai import SOLACEAI, SolaceRequest
from rerankit_local_service.server.dialects.tei import TEI, TeiRequest

__all__ = ["AnyRequest", "dialect_of_body"]

_BARE: dict[str, Dialect] = {"tei": TEI, "solaceai": SOLACEAI, "pinecone": PINECONE, "documents": DOCUMENTS_BARE}


def dialect_of_body(body: object, *, api_key_header: bool = False) -> Dialect:
    """Whose body came to ``/rerank``; Pinecone's clients are also known by their ``Api-Key`` header."""
    return _BARE["pinecone" if api_key_header and _tag(body) == "documents" else _tag(body)]


def _tag(body: object) -> str:
    if not isinstance(body, Mapping):
        return next((tag for model, tag in _TAGS if isinstance(body, model)), "documents")
    if "documents" not in body and "texts" in body:
        return "tei"
    if "documents" not in body and "passages" in body:
        return "solaceai"
    return "pinecone" if isinstance(body.get("parameters"), Mapping) else "documents"


_TAGS = ((TeiRequest, "tei"), (SolaceRequest, "solaceai"), (PineconeRequest, "pinecone"))
AnyRequest = Annotated[
    Annotated[DocumentsRequest, Tag("documents")]
    | Annotated[TeiRequest, Tag("tei")]
    | Annotated[SolaceRequest, Tag("solaceai")]
    | Annotated[PineconeRequest, Tag("pinecone")],
    Discriminator(_tag),
]
"""A body of ``/rerank``."""
