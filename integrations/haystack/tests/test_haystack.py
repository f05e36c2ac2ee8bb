"""Against the real framework: pipelines, YAML, asynchronous runs, life cycle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline

from rerankit.errors import InputError
from rerankit.plugins.manager import plugin_manager
from rerankit_haystack import RerankitRanker

TEXTS = ["bees make honey", "catch an exception", "an exception in Python", "Lisbon"]
QUERY = "catch an exception in Python"
PLUGIN = """
import rerankit
from pydantic import SecretStr
from rerankit.arguments import ServiceArguments
from rerankit.testing import FakeReranker

class Arguments(ServiceArguments):
    delay: float = 0.0
    api_key: SecretStr | None = None

def make(delay=0.0, api_key=None):
    return FakeReranker(delay=delay)

@rerankit.hookimpl
def rerankit_rerankers():
    return [rerankit.RerankerSpec("words", make, Arguments)]
"""


@pytest.fixture(autouse=True)
def _words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A service ``words``, installed: it scores by shared words."""
    (tmp_path / "words_plugin.py").write_text(PLUGIN)
    info = tmp_path / "words_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: words-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rerankit.plugins]\nwords = words_plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    plugin_manager.cache_clear()
    yield
    plugin_manager.cache_clear()


def documents() -> list[Document]:
    return [Document(id=str(i), content=text, meta={"n": i}, score=0.5) for i, text in enumerate(TEXTS)]


def test_documents_are_reranked_copies() -> None:
    """Id and meta ride along with the score; the originals are as they were."""
    given = documents()
    best = RerankitRanker("words", top_k=2).run(QUERY, given)["documents"]
    assert [(document.id, document.meta["n"], document.score) for document in best] == [("2", 2, 0.8), ("1", 1, 0.6)]
    assert given == documents()
    assert len(RerankitRanker("words", top_k=2).run(QUERY, given, top_k=3)["documents"]) == 3


def test_a_pipeline_survives_yaml() -> None:
    """Dumped, loaded with allowed_modules, and run: the same answer. Nothing is loaded by that."""
    pipeline = Pipeline()
    pipeline.add_component("ranker", RerankitRanker("words", {"delay": 0.001}, {"retries": 1}, top_k=1))
    text = pipeline.dumps()
    again = Pipeline.loads(text, allowed_modules=["rerankit_haystack.*"])
    assert again.dumps() == text
    data: dict[str, Any] = {"ranker": {"query": QUERY, "documents": documents()}}
    assert [document.id for document in again.run(data)["ranker"]["documents"]] == ["2"]
    assert again.run(data) == pipeline.run(data)


async def test_an_asynchronous_pipeline_runs_it() -> None:
    """By run_async."""
    pipeline = Pipeline()
    pipeline.add_component("ranker", RerankitRanker("words", top_k=1))
    found = await pipeline.run_async({"ranker": {"query": QUERY, "documents": documents()}})
    assert [document.id for document in found["ranker"]["documents"]] == ["2"]


def test_the_configuration_decides_where_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """As everywhere in rerankit."""
    monkeypatch.setenv("RERANKER_SERVICE", "words")
    assert [document.id for document in RerankitRanker(top_k=1).run(QUERY, documents())["documents"]] == ["2"]


def test_warm_up_loads_once_and_close_releases() -> None:
    """A closed ranker is loaded again by the next run."""
    ranker = RerankitRanker("words")
    ranker.warm_up()
    loaded = ranker._reranker
    ranker.warm_up()
    assert ranker._reranker is loaded
    ranker.close()
    ranker.close()
    assert ranker._reranker is None
    assert len(ranker.run(QUERY, documents())["documents"]) == 4


def test_no_secret_reaches_a_file() -> None:
    """The error says where it belongs."""
    with pytest.raises(ValueError, match="RERANKER_ARGS__API_KEY") as caught:
        RerankitRanker("words", {"api_key": "hunter2"}).to_dict()
    assert "hunter2" not in str(caught.value)


def test_bad_input_is_refused() -> None:
    """An empty query, top_k of 0."""
    with pytest.raises(InputError):
        RerankitRanker("words").run(" ", documents())
    with pytest.raises(ValueError, match="top_k"):
        RerankitRanker("words", top_k=0)


def test_documents_without_content_are_kept() -> None:
    """An image, say, scores as an empty text."""
    found = RerankitRanker("words").run(QUERY, [Document(id="a"), Document(id="b", content="Python")])["documents"]
    assert [document.id for document in found] == ["b", "a"]
    assert RerankitRanker("words").run(QUERY, [])["documents"] == []


def test_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Offline, with the embedded default."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    exec(compile(block, "README.md", "exec"), {})
    assert "The try statement" in capsys.readouterr().out.splitlines()[0]
