"""Every dialect, over loopback against rerankit's own service: the conformance suite."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from rerankit.errors import AuthenticationError
from rerankit.testing import RerankerConformance
from rerankit_http import HttpReranker
from rerankit_http.arguments import DialectName
from rerankit_http.dialects import DIALECTS


@pytest.fixture(scope="class", params=list(DIALECTS))
def reranker(request: pytest.FixtureRequest, service_url: str) -> Iterator[HttpReranker]:
    dialect: DialectName = request.param
    with HttpReranker(dialect, service_url, "any-model", api_key="right-key") as reranker:
        yield reranker


@pytest.fixture
def failing_reranker(unused_port: int) -> HttpReranker:
    return HttpReranker("tei", f"http://127.0.0.1:{unused_port}")


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class TestDialects(RerankerConformance):
    """Cohere, Jina, Voyage, TEI, vLLM."""


def test_a_wrong_key_is_an_authentication_error(service_url: str) -> None:
    """Refused by the real service; the key is in neither the error nor the repr."""
    with HttpReranker("vllm", service_url, "any-model", api_key="wrong-key") as reranker:
        with pytest.raises(AuthenticationError) as caught:
            reranker.get_scores("q", ["a"])
        assert "wrong-key" not in f"{caught.value}{caught.value!r}{reranker!r}{vars(reranker)['_arguments']!r}"
