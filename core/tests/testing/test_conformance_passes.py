"""The conformance suite passes backends of every base that keep the contract."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence

import pytest

from rerankit import AbstractReranker, AsyncReranker, Capabilities, ScoreKind
from rerankit.errors import UnavailableError
from rerankit.testing import FakeReranker, RerankerConformance, word_overlap


class Plain(AbstractReranker):
    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        return [word_overlap(query, document) for document in documents]


class Asynchronous(AsyncReranker):
    async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        await asyncio.sleep(0)
        return [word_overlap(query, document) for document in documents]


class TestPlain(RerankerConformance):
    @pytest.fixture
    def reranker(self) -> AbstractReranker:
        return Plain()


@pytest.fixture(scope="class")
def reranker() -> AbstractReranker:
    return Asynchronous()


class TestAsynchronous(RerankerConformance):
    """One instance serves the whole suite."""


class TestFake(RerankerConformance):
    @pytest.fixture
    def reranker(self) -> AbstractReranker:
        return FakeReranker()

    @pytest.fixture
    def failing_reranker(self) -> AbstractReranker:
        return FakeReranker(faults=itertools.repeat(UnavailableError("nobody answers")))


class TestFakeWithLimits(RerankerConformance):
    @pytest.fixture
    def reranker(self) -> AbstractReranker:
        limits = Capabilities(ScoreKind.PROBABILITY, max_documents=4, max_characters=1_000, max_tokens=300)
        return FakeReranker(capabilities=limits)


class TestListwise(RerankerConformance):
    @pytest.fixture
    def reranker(self) -> AbstractReranker:
        return FakeReranker(capabilities=Capabilities(ScoreKind.LOGIT, listwise=True))
