"""Against the real framework: nodes, events, callbacks, a query engine's retriever."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from llama_index.core import Settings
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.instrumentation import get_dispatcher  # type: ignore[attr-defined]
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import ResponseMode, get_response_synthesizer
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import PrivateAttr, ValidationError

from rerankit import load_reranker
from rerankit.errors import InputError, UnavailableError
from rerankit.testing import FakeReranker
from rerankit_llama_index import RerankitPostprocessor

TEXTS = ["bees make honey", "catch an exception", "an exception in Python", "Lisbon"]
QUERY = "catch an exception in Python"


def nodes() -> list[NodeWithScore]:
    return [
        NodeWithScore(
            node=TextNode(id_=str(i), text=text, metadata={"n": i}, excluded_embed_metadata_keys=["n"]), score=0.5
        )
        for i, text in enumerate(TEXTS)
    ]


class Events(BaseEventHandler):
    """The rerank events of a test."""

    _seen: list[Any] = PrivateAttr(default_factory=list)

    @classmethod
    def class_name(cls) -> str:
        return "Events"

    def handle(self, event: Any, **kwargs: Any) -> None:
        if isinstance(event, (ReRankStartEvent, ReRankEndEvent)):
            self._seen.append(event)


def test_nodes_are_reranked_and_the_originals_left_alone() -> None:
    """New scores on the same nodes; the caller's NodeWithScore keep theirs."""
    given = nodes()
    best = RerankitPostprocessor(reranker=FakeReranker(), top_n=2).postprocess_nodes(given, query_str=QUERY)
    assert [(node.node.node_id, node.score) for node in best] == [("2", 0.8), ("1", 0.6)]
    assert best[0].node is given[2].node
    assert given == nodes()


async def test_asynchronous_callers_get_the_same() -> None:
    """With a query bundle as well as with a string."""
    postprocessor = RerankitPostprocessor(reranker=FakeReranker(), top_n=3)
    found = await postprocessor.apostprocess_nodes(nodes(), QueryBundle(QUERY))
    assert [node.node.node_id for node in found] == ["2", "1", "0"]


def test_the_text_is_what_the_framework_embeds() -> None:
    """Metadata counts unless it is excluded from embedding."""
    fake = FakeReranker()
    node = NodeWithScore(
        node=TextNode(text="body", metadata={"title": "Heading", "page": 3}, excluded_embed_metadata_keys=["page"])
    )
    RerankitPostprocessor(reranker=fake).postprocess_nodes([node], query_str="q")
    ((_, text),) = fake.requests[0].pairs
    assert "Heading" in text
    assert "body" in text
    assert "3" not in text


def test_events_and_callbacks_are_sent() -> None:
    """ReRankStartEvent, ReRankEndEvent, and the reranking callback with both ends."""
    events, debug = Events(), LlamaDebugHandler(print_trace_on_end=False)
    get_dispatcher().add_event_handler(events)
    postprocessor = RerankitPostprocessor(reranker=FakeReranker(), top_n=2, callback_manager=CallbackManager([debug]))
    postprocessor.postprocess_nodes(nodes(), query_str=QUERY)
    start, end = events._seen
    assert (start.top_n, start.model_name, len(start.nodes), len(end.nodes)) == (2, "FakeReranker", 4, 2)
    ((first, last),) = debug.get_event_pairs(CBEventType.RERANKING)
    assert first.payload is not None
    assert last.payload is not None
    assert len(last.payload["nodes"]) == 2


def test_a_failure_reaches_the_caller() -> None:
    """As rerankit's error; no end is told."""
    down = RerankitPostprocessor(reranker=FakeReranker(faults=[UnavailableError("down")]))
    with pytest.raises(UnavailableError):
        down.postprocess_nodes(nodes(), query_str=QUERY)


def test_bad_input_is_refused() -> None:
    """No query, an empty one, top_n of 0."""
    postprocessor = RerankitPostprocessor(reranker=FakeReranker())
    with pytest.raises(ValueError, match="query"):
        postprocessor.postprocess_nodes(nodes())
    with pytest.raises(InputError):
        postprocessor.postprocess_nodes(nodes(), query_str=" ")
    with pytest.raises(ValidationError):
        RerankitPostprocessor(reranker=FakeReranker(), top_n=0)
    assert postprocessor.postprocess_nodes([], query_str=QUERY) == []


def test_unscored_nodes_have_no_score() -> None:
    """Reranking switched off keeps the input order and does not pass the retrieval's score off as its own."""
    found = RerankitPostprocessor(reranker=load_reranker(None)).postprocess_nodes(nodes(), query_str=QUERY)
    assert [(node.node.node_id, node.score) for node in found] == [("0", None), ("1", None), ("2", None), ("3", None)]


def test_a_query_engine_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of its node_postprocessors."""
    monkeypatch.setattr(Settings, "_llm", MockLLM())

    class Everything(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            return nodes()

    engine = RetrieverQueryEngine(
        Everything(),
        get_response_synthesizer(response_mode=ResponseMode.NO_TEXT),
        [RerankitPostprocessor(reranker=FakeReranker(), top_n=1)],
    )
    assert [node.node.node_id for node in engine.query(QUERY).source_nodes] == ["2"]


def test_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Offline, with the embedded default."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    assert "The try statement" in capsys.readouterr().out.splitlines()[0]
