"""Against the real frameworks: mteb's mock tasks, beir's Rerank."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pytest
from beir.reranking import Rerank  # type: ignore[import-untyped]
from mteb.mocks.mock_run import mock_run
from mteb.mocks.mock_tasks import MockRerankingTask
from mteb.models import CrossEncoderProtocol
from mteb.results import TaskResult
from mteb.results.task_result import TaskError

from rerankit.compat import CrossEncoderFace
from rerankit.errors import UnavailableError
from rerankit.testing import FakeReranker
from rerankit_mteb import RerankitCrossEncoder


def test_it_is_what_mteb_asks_for() -> None:
    """By mteb's own runtime check, under a name it can file."""
    model = RerankitCrossEncoder(FakeReranker())
    assert isinstance(model, CrossEncoderProtocol)
    assert model.mteb_model_meta.name == "rerankit/FakeReranker"
    assert RerankitCrossEncoder(FakeReranker(), "org/model", "1").mteb_model_meta.revision == "1"


def test_the_mock_reranking_task_runs() -> None:
    """Offline; a reranker that knows the answers gets full marks, one that has them the wrong way round does not."""
    task = MockRerankingTask()
    task.load_data()
    data = task.dataset["default"]["test"]
    queries = {row["id"]: row["text"] for row in data["queries"]}
    relevant = {
        (queries[query], row["text"])
        for query, judged in data["relevant_docs"].items()
        for row in data["corpus"]
        if judged.get(row["id"], 0) > 0
    }

    def score(query: str, document: str) -> float:
        return float(any(query == q and text in document for q, text in relevant))

    for judge, expected in ((score, 1.0), (lambda query, document: -score(query, document), 0.5)):
        results = mteb.evaluate(RerankitCrossEncoder(FakeReranker(judge)), MockRerankingTask(), cache=None)
        assert results[0].get_score() == pytest.approx(expected)


def test_every_mock_reranking_task_runs() -> None:
    """mteb's own check of an implementation; retrieval tasks without a first stage are for no cross-encoder."""
    results = mock_run(RerankitCrossEncoder(FakeReranker())).task_results
    done = {name: status for name, status in results.items() if status is not None}
    failed = [str(status) for status in done.values() if isinstance(status, TaskError)]
    assert [error for error in failed if "top_ranked" not in error] == []
    assert isinstance(done["MockRerankingTask"], TaskResult)
    assert isinstance(done["MockMultilingualRerankingTask"], TaskResult)


def test_pairs_are_scored_a_batch_at_a_time() -> None:
    """The framework's batches are the backend's requests; scores come as float32, in order."""
    fake = FakeReranker()
    first: Any = [{"text": ["red planet", "a"]}, {"text": ["b"]}]
    second: Any = [{"text": ["red", "a"]}, {"text": ["c"]}]
    metadata: Any = MockRerankingTask.metadata
    scores = RerankitCrossEncoder(fake).predict(
        first, second, task_metadata=metadata, hf_split="test", hf_subset="default"
    )
    assert isinstance(scores, np.ndarray)
    assert scores.dtype == np.float32
    assert scores.tolist() == [0.5, 1.0, 0.0]
    assert [len(request.pairs) for request in fake.requests] == [2, 1]


def test_a_failure_reaches_mteb() -> None:
    """As rerankit's error."""
    down = RerankitCrossEncoder(FakeReranker(faults=[UnavailableError("down")]))
    with pytest.raises(UnavailableError):
        mteb.evaluate(down, MockRerankingTask(), cache=None)


def test_beir_reranks_with_it() -> None:
    """beir's Rerank gets a score for each of the best documents of each query."""
    corpus = {"d1": {"title": "bees", "text": "honey"}, "d2": {"title": "", "text": "red planet"}}
    found = Rerank(CrossEncoderFace(FakeReranker()), batch_size=1).rerank(
        corpus, {"q": "red planet"}, {"q": {"d1": 2.0, "d2": 1.0}}, top_k=2
    )
    assert found == {"q": {"d1": 0.0, "d2": 1.0}}


def test_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Offline, with the embedded default."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        exec(compile(block, "README.md", "exec"), {})
    assert "'q1'" in capsys.readouterr().out
