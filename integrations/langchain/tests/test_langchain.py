"""Against the real framework: compressor, retriever, langchain-tests' suite."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests
from pydantic import ValidationError

from rerankit import load_reranker
from rerankit.errors import InputError, UnavailableError
from rerankit.testing import FakeReranker
from rerankit_langchain import RerankitCompressor, RerankitRetriever

TEXTS = ["bees make honey", "catch an exception", "an exception in Python", "Lisbon", "Python is a snake"]
QUERY = "catch an exception in Python"


def documents() -> list[Document]:
    return [Document(text, id=str(i), metadata={"n": i, "tags": ["a"]}) for i, text in enumerate(TEXTS)]


class Fixed(BaseRetriever):
    """A first stage that finds everything."""

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return documents()


class Seen(BaseCallbackHandler):
    """Which runs began, ended and failed, by name."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **kwargs: Any) -> None:
        self.events.append(("start", kwargs.get("name")))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.events.append(("end", len(outputs)))

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append(("error", type(error).__name__))


def test_documents_are_reranked_copies() -> None:
    """Id and metadata ride along with the score; the originals are as they were."""
    given = documents()
    best = RerankitCompressor(reranker=FakeReranker(), top_n=2).compress_documents(given, QUERY)
    assert [document.metadata["n"] for document in best] == [2, 1]
    assert [document.id for document in best] == ["2", "1"]
    assert best[0].metadata["relevance_score"] == pytest.approx(4 / 5)
    best[0].metadata["tags"].append("changed")
    assert given == documents()


async def test_asynchronous_callers_get_the_same() -> None:
    """By the backend's own asynchronous face."""
    compressor = RerankitCompressor(reranker=FakeReranker(), top_n=3)
    assert await compressor.acompress_documents(documents(), QUERY) == compressor.compress_documents(documents(), QUERY)


def test_callbacks_see_a_run() -> None:
    """Its beginning, its end, and its failure."""
    seen = Seen()
    RerankitCompressor(reranker=FakeReranker()).compress_documents(documents(), QUERY, callbacks=[seen])
    assert seen.events == [("start", "RerankitCompressor"), ("end", 5)]
    down = RerankitCompressor(reranker=FakeReranker(faults=[UnavailableError("down")]))
    with pytest.raises(UnavailableError):
        down.compress_documents(documents(), QUERY, callbacks=[seen])
    assert seen.events[-1] == ("error", "UnavailableError")


def test_unscored_documents_carry_no_score() -> None:
    """Reranking switched off keeps the input order; an old score is not taken for ours."""
    given = [Document("a", metadata={"relevance_score": 0.9}), Document("b")]
    kept = RerankitCompressor(reranker=load_reranker(None)).compress_documents(given, "q")
    assert [document.page_content for document in kept] == ["a", "b"]
    assert all("relevance_score" not in document.metadata for document in kept)


def test_bad_input_is_refused() -> None:
    """An empty query, top_n of 0, an argument nobody knows."""
    with pytest.raises(InputError):
        RerankitCompressor(reranker=FakeReranker()).compress_documents(documents(), " ")
    for wrong in ({"top_n": 0}, {"topn": 3}):
        with pytest.raises(ValidationError):
            RerankitCompressor(reranker=FakeReranker(), **wrong)


def test_no_documents_no_call() -> None:
    """Nothing found is nothing to rerank."""
    fake = FakeReranker()
    assert RerankitCompressor(reranker=fake).compress_documents([], QUERY) == []
    assert fake.requests == []


def test_the_frameworks_own_compression_retriever_takes_it() -> None:
    """Sync, in LangChain's ContextualCompressionRetriever."""
    compressor = RerankitCompressor(reranker=FakeReranker(), top_n=1)
    retriever = ContextualCompressionRetriever(base_compressor=compressor, base_retriever=Fixed())
    assert [document.metadata["n"] for document in retriever.invoke(QUERY)] == [2]


def test_the_retriever_traces_its_two_stages() -> None:
    """The first stage and the reranking are children of one run."""
    seen = Seen()
    retriever = RerankitRetriever(retriever=Fixed(), compressor=RerankitCompressor(reranker=FakeReranker()), k=1)
    assert len(retriever.invoke(QUERY, {"callbacks": [seen]})) == 1
    assert ("start", "RerankitCompressor") in seen.events


def test_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Offline, with the embedded default."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    assert "2 The try statement" in capsys.readouterr().out.splitlines()[0]


class TestRetriever(RetrieversIntegrationTests):
    """LangChain's own suite."""

    @property
    def retriever_constructor(self) -> type[RerankitRetriever]:
        return RerankitRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": Fixed(), "compressor": RerankitCompressor(reranker=FakeReranker())}

    @property
    def retriever_query_example(self) -> str:
        return QUERY
