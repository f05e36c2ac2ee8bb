"""The document compressor."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableLambda
from pydantic import ConfigDict, Field, PositiveInt

from rerankit import AbstractReranker, Ranking, load_reranker

__all__ = ["RerankitCompressor"]


class RerankitCompressor(BaseDocumentCompressor):
    """Reranks documents; the score is in ``metadata["relevance_score"]``.

    Documents come back as copies. One that was not scored (reranking is off, or the deadline came first) has no
    ``relevance_score`` and stands last, in input order. A call is one run for ``callbacks``.

    Attributes:
        reranker: what scores; left out, the one that rerankit's configuration names.
        top_n: documents to keep; ``None`` for all.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    reranker: AbstractReranker = Field(default_factory=load_reranker)
    top_n: PositiveInt | None = None

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """The best documents, most relevant first.

        Raises:
            RerankitError: the query is empty, or the backend failed.
        """
        return self._run.invoke({"query": query, "documents": list(documents)}, {"callbacks": callbacks})

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks = None
    ) -> list[Document]:
        """``compress_documents`` for asynchronous callers."""
        return await self._run.ainvoke({"query": query, "documents": list(documents)}, {"callbacks": callbacks})

    @property
    def _run(self) -> RunnableLambda[dict[str, Any], list[Document]]:
        return RunnableLambda(self._rerank, self._arerank, name=type(self).__name__)

    def _rerank(self, given: dict[str, Any]) -> list[Document]:
        return _copies(self.reranker.rerank(given["query"], given["documents"], self.top_n))

    async def _arerank(self, given: dict[str, Any]) -> list[Document]:
        return _copies(await self.reranker.arerank(given["query"], given["documents"], self.top_n))


def _copies(ranking: Ranking[Document]) -> list[Document]:
    found = []
    for ranked in ranking:
        metadata = copy.deepcopy(ranked.document.metadata)
        metadata.pop("relevance_score", None)
        if ranked.score is not None:
            metadata["relevance_score"] = ranked.score
        found.append(ranked.document.model_copy(update={"metadata": metadata}))
    return found
