"""What goes out, and what comes of every way an endpoint can fail."""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Any

import pytest

from rerankit import ScoreKind, ScoreRequest, load_reranker
from rerankit.errors import (
    AuthenticationError,
    BackendError,
    ConfigurationError,
    DeadlineExceededError,
    InvalidArgumentError,
    ModelNotFoundError,
    NotFoundError,
    OverloadedError,
    ProtocolError,
    RerankTimeoutError,
    UnavailableError,
)
from rerankit_http import HttpReranker

pytestmark = pytest.mark.usefixtures("elsewhere")

RESULTS = {"results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]}


def test_a_request_says_what_the_dialect_says(scripted: Any) -> None:
    """Path, key, model and texts; every result is asked for, and scores come back in input order."""
    scripted.say(200, {"model": "m-2", **RESULTS})
    with HttpReranker("cohere", scripted.url, "m", api_key="k") as reranker:
        ranking = reranker.rerank("q", ["a", "b"])
    assert [(scored.index, scored.score) for scored in ranking] == [(1, 0.9), (0, 0.1)]
    assert (ranking.model, ranking.score_kind) == ("m-2", ScoreKind.PROBABILITY)
    sent = scripted.seen[0]
    assert sent["path"] == "/v2/rerank"
    assert sent["body"] == {"model": "m", "query": "q", "documents": ["a", "b"]}
    assert {name.lower(): value for name, value in sent["headers"].items()}["authorization"] == "Bearer k"


@pytest.mark.parametrize(
    ("given", "path"),
    [("", "/v1/rerank"), ("/", "/v1/rerank"), ("/v1", "/v1/rerank"), ("/p/v1/rerank", "/p/v1/rerank")],
)
def test_the_url_may_be_a_base_or_whole(scripted: Any, given: str, path: str) -> None:
    """A version that is there already is not doubled."""
    scripted.say(200, RESULTS)
    with HttpReranker("vllm", scripted.url + given, "m") as reranker:
        reranker.get_scores("q", ["a", "b"])
    assert scripted.seen[0]["path"] == path


@pytest.mark.parametrize(
    ("status", "body", "error", "retryable"),
    [
        (400, {"message": "too many tokens"}, BackendError, False),
        (401, {"message": "invalid api token"}, AuthenticationError, False),
        (403, {"detail": "no"}, AuthenticationError, False),
        (404, {"detail": "model 'm' not found"}, ModelNotFoundError, False),
        (404, "nothing here", NotFoundError, False),
        (408, {}, RerankTimeoutError, True),
        (413, {"error": "batch size 64 > 32", "error_type": "Validation"}, BackendError, False),
        (422, {"error": {"message": "no"}}, BackendError, False),
        (429, {"message": "slow down"}, OverloadedError, True),
        (500, "oops", UnavailableError, True),
        (502, "<html>", UnavailableError, True),
        (503, {"error": "unhealthy"}, UnavailableError, True),
        (504, {}, RerankTimeoutError, True),
        (302, "", BackendError, False),
    ],
)
def test_a_refusal_becomes_the_error_it_means(
    scripted: Any, status: int, body: Any, error: type[BackendError], retryable: bool
) -> None:
    """With what the endpoint said, and whether the policy may try again."""
    scripted.say(status, body)
    with HttpReranker("cohere", scripted.url, "m") as reranker, pytest.raises(error) as caught:
        reranker.get_scores("q", ["a", "b"])
    assert type(caught.value) is error
    assert caught.value.retryable is retryable
    assert str(status) in caught.value.message
    assert "127.0.0.1" in caught.value.message


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("in an hour", 3600.0), ("soon", None)])
def test_retry_after_is_passed_on(scripted: Any, header: str, seconds: float | None) -> None:
    """As seconds, whether it came as seconds or as a date."""
    scripted.say(429, {}, retry_after=formatdate(time.time() + 3600) if header == "in an hour" else header)
    with HttpReranker("tei", scripted.url) as reranker, pytest.raises(OverloadedError) as caught:
        reranker.get_scores("q", ["a"])
    assert caught.value.retry_after == (None if seconds is None else pytest.approx(seconds, abs=30))


@pytest.mark.parametrize(
    "body",
    [
        "<html>",
        {"data": []},
        {"results": [{"index": 0, "relevance_score": 0.5}]},
        {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 0, "relevance_score": 0.5}]},
        {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 7, "relevance_score": 0.5}]},
        {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1, "relevance_score": None}]},
        {"results": [{"index": 0, "relevance_score": 0.5}, {"index": 1}]},
        {"results": [0.5, 0.6]},
        [0.5, 0.6],
        "null",
    ],
)
def test_an_answer_that_is_no_ranking_is_a_protocol_error(scripted: Any, body: Any) -> None:
    """Lost, doubled and unknown documents included: no score is made up."""
    scripted.say(200, body)
    with HttpReranker("cohere", scripted.url, "m") as reranker, pytest.raises(ProtocolError):
        reranker.get_scores("q", ["a", "b"])


def test_a_key_that_the_endpoint_repeats_is_blotted_out(scripted: Any) -> None:
    """Errors go to logs."""
    scripted.say(401, {"message": "bad key sk-secret"})
    with HttpReranker("cohere", scripted.url, "m", api_key="sk-secret") as reranker:
        with pytest.raises(AuthenticationError) as caught:
            reranker.get_scores("q", ["a"])
        assert "sk-secret" not in f"{caught.value} {caught.value.to_dict()}"
        assert reranker.diagnose()["key"] == "set"


def test_a_silent_endpoint_is_a_timeout(scripted: Any) -> None:
    """Of the service, or of the whole call where the deadline comes first."""
    scripted.say(0, "")
    with HttpReranker("tei", scripted.url, timeout=0.2) as reranker:
        with pytest.raises(RerankTimeoutError) as caught:
            reranker.get_scores("q", ["a"])
        assert not isinstance(caught.value, DeadlineExceededError)
        with pytest.raises(DeadlineExceededError):
            reranker.score_pairs(ScoreRequest([("q", "a")], deadline=time.monotonic() + 0.1))


async def test_cancelling_drops_the_request(scripted: Any) -> None:
    """The connection is given up at once, and the next call works."""
    scripted.say(0, "")
    scripted.say(200, RESULTS)
    async with HttpReranker("cohere", scripted.url, "m") as reranker:
        task = asyncio.create_task(reranker.aget_scores("q", ["a", "b"]))
        assert await asyncio.to_thread(scripted.asked.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await reranker.aget_scores("q", ["a", "b"]) == [0.1, 0.9]


def test_limits_are_kept_by_splitting(scripted: Any) -> None:
    """A call over the endpoint's limit is several requests, and one ranking."""
    scripted.say(200, [{"index": 0, "score": 0.5}, {"index": 1, "score": 0.25}])
    with load_reranker("http", dialect="tei", url=scripted.url, max_documents=2, max_concurrency=1) as reranker:
        assert reranker.get_scores("q", ["a", "b", "c", "d"]) == [0.5, 0.25, 0.5, 0.25]
    assert [sent["body"]["texts"] for sent in scripted.seen] == [["a", "b"], ["c", "d"]]


def test_keys_come_from_the_environment(scripted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The named variable, the hosted API's own, or RERANKER_ARGS__API_KEY; never a file, never by accident."""
    monkeypatch.setenv("CO_API_KEY", "hosted")
    scripted.say(200, RESULTS)
    with HttpReranker("cohere", scripted.url, "m") as reranker:
        reranker.get_scores("q", ["a", "b"])
    assert "authorization" not in {name.lower() for name in scripted.seen[0]["headers"]}, "sent to somebody else"
    monkeypatch.setenv("MY_KEY", "mine")
    with HttpReranker("cohere", scripted.url, "m", api_key_env="MY_KEY") as reranker:
        reranker.get_scores("q", ["a", "b"])
    assert "Bearer mine" in scripted.seen[1]["headers"].values()
    monkeypatch.setenv("RERANKER_SERVICE", "http")
    monkeypatch.setenv("RERANKER_ARGS__API_KEY", "configured")
    with load_reranker("http", dialect="cohere", url=scripted.url, model="m") as reranker:
        reranker.get_scores("q", ["a", "b"])
    assert "Bearer configured" in scripted.seen[2]["headers"].values()


def test_a_hosted_api_without_its_key_is_refused_at_once() -> None:
    """The remedy names the variable."""
    with pytest.raises(AuthenticationError) as caught:
        HttpReranker("jina", model="m")
    assert "JINA_API_KEY" in caught.value.remedy


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"dialect": "tei"}, "'url'"),
        ({"dialect": "vllm", "url": "http://localhost"}, "'model'"),
        ({"dialect": "telepathy"}, "'dialect'"),
        ({"dialect": "tei", "url": "localhost:80"}, "'url'"),
        ({"dialect": "tei", "url": "http://localhost", "timeout": 0}, "'timeout'"),
        ({"dialect": "tei", "url": "http://localhost", "modle": "m"}, "'model'"),
    ],
)
def test_a_wrong_argument_is_named(arguments: dict[str, Any], named: str) -> None:
    """From configuration and from Python alike."""
    with pytest.raises(InvalidArgumentError, match=named):
        load_reranker("http", **arguments)
    assert issubclass(InvalidArgumentError, ConfigurationError)


def test_a_url_with_a_password_does_not_show_it(scripted: Any) -> None:
    """Neither in errors nor in the diagnosis."""
    scripted.say(500, "")
    url = scripted.url.replace("http://", "http://user:hunter2@") + "/?key=hunter3"
    with HttpReranker("tei", url) as reranker, pytest.raises(UnavailableError) as caught:
        reranker.get_scores("q", ["a"])
    assert "hunter" not in f"{caught.value} {reranker.diagnose()} {reranker.fingerprint}"
