"""The retriever: a first stage, then the compressor."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import Field, PositiveInt

from rerankit_langchain.compressor import RerankitCompressor

__all__ = ["RerankitRetriever"]


class RerankitRetriever(BaseRetriever):
    """What ``retriever`` finds, reranked.

    Attributes:
        retriever: the first stage.
        compressor: what reranks; left out, the reranker that rerankit's configuration names.
        k: documents to return, also ``invoke(query, k=3)``; ``None`` for all that the first stage found.
    """

    retriever: BaseRetriever
    compressor: RerankitCompressor = Field(default_factory=RerankitCompressor)
    k: PositiveInt | None = None

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **kwargs: Any
    ) -> list[Document]:
        callbacks = run_manager.get_child()
        found = self.retriever.invoke(query, {"callbacks": callbacks}, **kwargs)
        return self.compressor.compress_documents(found, query, callbacks)[: k or self.k]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None, **kwargs: Any
    ) -> list[Document]:
        callbacks = run_manager.get_child()
        found = await self.retriever.ainvoke(query, {"callbacks": callbacks}, **kwargs)
        return (await self.compressor.acompress_documents(found, query, callbacks))[: k or self.k]
