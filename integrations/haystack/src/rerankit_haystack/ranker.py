"""The ranker component."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from rerankit import PairReranker, Ranking, load_reranker
from rerankit.arguments import secret_names
from rerankit.loading import arguments_model
from rerankit.plugins.manager import plugin_manager

__all__ = ["RerankitRanker"]


@component
class RerankitRanker:
    """Reranks documents; the score is the document's ``score``.

    Documents come back as copies. One that was not scored (reranking is off, or the deadline came first) has
    ``score`` ``None`` and stands last, in input order.

    A pipeline's YAML holds the service and its arguments, no model and no secret; loading it needs
    ``allowed_modules=["rerankit_haystack.*"]``.
    """

    def __init__(
        self,
        service: str | None = None,
        service_args: dict[str, Any] | None = None,
        policy: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> None:
        """
        :param service: which of rerankit's services reranks; ``None``: the one its configuration names.
        :param service_args: the service's arguments. Keys belong in the environment.
        :param policy: what happens around the service: deadline, retries, fallback.
        :param top_k: documents to keep; ``None`` for all.
        """
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1 or None, not {top_k}")
        self.service = service
        self.service_args = service_args or {}
        self.policy = policy or {}
        self.top_k = top_k
        self._reranker: PairReranker | None = None

    def warm_up(self) -> None:
        """Load the reranker; once."""
        self._loaded()

    async def warm_up_async(self) -> None:
        """``warm_up`` off the event loop."""
        await asyncio.to_thread(self._loaded)

    def close(self) -> None:
        """Release the reranker; the next run loads it again."""
        reranker, self._reranker = self._reranker, None
        if reranker is not None:
            reranker.close()

    async def close_async(self) -> None:
        """``close`` for asynchronous callers."""
        reranker, self._reranker = self._reranker, None
        if reranker is not None:
            await reranker.aclose()

    def to_dict(self) -> dict[str, Any]:
        """
        The component as data.

        :raises ValueError: ``service_args`` holds a secret.
        """
        if self.service is not None and self.service_args:
            model = arguments_model(plugin_manager().service(self.service))
            held = secret_names(model) & self.service_args.keys() if model else set()
            for name in held:
                raise ValueError(
                    f"{name!r} is a secret and does not belong in a pipeline's file: "
                    f"set RERANKER_SERVICE={self.service} and RERANKER_ARGS__{name.upper()} in the environment"
                )
        return default_to_dict(
            self, service=self.service, service_args=self.service_args, policy=self.policy, top_k=self.top_k
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> RerankitRanker:
        """The component from data."""
        made: RerankitRanker = default_from_dict(cls, data)
        return made

    @component.output_types(documents=list[Document])
    def run(self, query: str, documents: list[Document], top_k: int | None = None) -> dict[str, list[Document]]:
        """
        Rerank.

        :param query: what the documents should be relevant to.
        :param documents: one without ``content`` is scored as an empty text.
        :param top_k: instead of the component's.
        :raises RerankitError: the query is empty, or the backend failed.
        """
        ranking = self._loaded().rerank(query, _texts(documents), top_k or self.top_k)
        return {"documents": _copies(documents, ranking)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, documents: list[Document], top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """``run`` for asynchronous pipelines."""
        await self.warm_up_async()
        ranking = await self._loaded().arerank(query, _texts(documents), top_k or self.top_k)
        return {"documents": _copies(documents, ranking)}

    def _loaded(self) -> PairReranker:
        if self._reranker is None:
            named = () if self.service is None else (self.service,)
            self._reranker = load_reranker(*named, policy=self.policy, **self.service_args)
        return self._reranker


def _texts(documents: list[Document]) -> list[str]:
    return [document.content or "" for document in documents]


def _copies(documents: list[Document], ranking: Ranking[str]) -> list[Document]:
    return [replace(documents[ranked.index], score=ranked.score) for ranked in ranking]
