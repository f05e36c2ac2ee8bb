"""What load_reranker gives keeps the contract, without a policy and with all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rerankit import PairReranker, load_reranker
from rerankit.testing import RerankerConformance

PLUGIN = """
from rerankit import AbstractReranker, Capabilities, RerankerSpec, ScoreKind, hookimpl
from rerankit.errors import UnavailableError
from rerankit.testing import FakeReranker, word_overlap

class Words(AbstractReranker):
    capabilities = Capabilities(ScoreKind.PROBABILITY)
    def get_scores(self, query, documents):
        return [word_overlap(query, document) for document in documents]

class Down(AbstractReranker):
    capabilities = Capabilities(ScoreKind.PROBABILITY)
    def get_scores(self, query, documents):
        raise UnavailableError("nobody answers")

def limited():
    limits = Capabilities(ScoreKind.PROBABILITY, max_documents=4, max_concurrency=2)
    return FakeReranker(capabilities=limits, fingerprint="fake")

@hookimpl
def rerankit_rerankers():
    return [RerankerSpec("words", Words), RerankerSpec("down", Down), RerankerSpec("limited", limited)]
"""

POLICIES = [
    ("words", {}),
    ("limited", {}),
    ("limited", {"deadline_s": 60, "on_deadline": "partial", "chunk_documents": 2, "cache_bytes": "1MB"}),
    ("limited", {"batch_tokens": 2_000, "retries": 2}),
    ("down", {"fallback": ["words"], "breaker_failures": 2, "deadline_s": 60}),
]


@pytest.fixture(params=POLICIES, ids=lambda policy: f"{policy[0]}-{'-'.join(policy[1]) or 'alone'}")
def reranker(
    request: pytest.FixtureRequest, install: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[PairReranker]:
    install("conformance-plugin", PLUGIN)
    monkeypatch.chdir(tmp_path)
    service, policy = request.param
    with load_reranker(service, policy=policy) as reranker:
        yield reranker


@pytest.fixture
def failing_reranker(install: Callable[..., Path]) -> PairReranker:
    install(
        "failing-plugin",
        PLUGIN.replace('"words"', '"words2"').replace('"down"', '"down2"').replace('"limited"', '"l2"'),
    )
    return load_reranker("down2")


class TestLoaded(RerankerConformance):
    """A reranker with its policy around it."""
