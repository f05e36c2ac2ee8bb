"""The node postprocessor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]  # re-exported unsaid
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from pydantic import Field, PositiveInt

from rerankit import AbstractReranker, Ranking, load_reranker

__all__ = ["RerankitPostprocessor"]

_dispatcher = get_dispatcher(__name__)


class RerankitPostprocessor(BaseNodePostprocessor):
    """Reranks nodes by their text with the metadata that is meant for embedding; the score is the node's ``score``.

    The ``NodeWithScore`` of the caller are left as they are: others are returned around the same nodes. One that
    was not scored (reranking is off, or the deadline came first) has ``score`` ``None`` and stands last. LlamaIndex's
    rerank events and the ``reranking`` callback are sent for each call.

    Attributes:
        reranker: what scores; left out, the one that rerankit's configuration names.
        top_n: nodes to keep; ``None`` for all.
    """

    reranker: AbstractReranker = Field(default_factory=load_reranker, exclude=True)
    top_n: PositiveInt | None = None

    @classmethod
    def class_name(cls) -> str:
        return "RerankitPostprocessor"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("rerankit needs the query: pass query_bundle or query_str")
        if not nodes:
            return []
        with self._events(nodes, query_bundle) as ended:
            ended += _reordered(nodes, self.reranker.rerank(query_bundle.query_str, _texts(nodes), self.top_n))
        return ended

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise ValueError("rerankit needs the query: pass query_bundle or query_str")
        if not nodes:
            return []
        with self._events(nodes, query_bundle) as ended:
            ended += _reordered(nodes, await self.reranker.arerank(query_bundle.query_str, _texts(nodes), self.top_n))
        return ended

    @contextmanager
    def _events(self, nodes: list[NodeWithScore], query: QueryBundle) -> Iterator[list[NodeWithScore]]:
        """Tell the framework that reranking begins and, of the nodes put into the list, that it ended."""
        top_n = len(nodes) if self.top_n is None else self.top_n
        name = self.reranker.label
        ended: list[NodeWithScore] = []
        _dispatcher.event(ReRankStartEvent(query=query, nodes=nodes, top_n=top_n, model_name=name))
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query.query_str,
            EventPayload.TOP_K: top_n,
        }
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield ended
            event.on_end(payload={EventPayload.NODES: ended})
        _dispatcher.event(ReRankEndEvent(nodes=ended))


def _texts(nodes: list[NodeWithScore]) -> list[str]:
    return [node.node.get_content(metadata_mode=MetadataMode.EMBED) for node in nodes]


def _reordered(nodes: list[NodeWithScore], ranking: Ranking[str]) -> list[NodeWithScore]:
    return [NodeWithScore(node=nodes[ranked.index].node, score=ranked.score) for ranked in ranking]
