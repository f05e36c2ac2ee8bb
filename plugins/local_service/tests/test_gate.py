"""Who may ask, how much is read, and what is never told."""

from __future__ import annotations

import asyncio
import http.client
import json
import logging
import time
from collections.abc import Callable

import pytest

from rerankit.errors import ConfigurationError, InvalidArgumentError
from rerankit_local_service.server.settings import server_settings
from rerankit_local_service.testing import Served

BODY = {"query": "secret question", "documents": ["secret passage"]}


class TestKeys:
    """Optional, from the environment."""

    @pytest.fixture
    def locked(self, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> Served:
        """A service with two keys."""
        monkeypatch.setenv("RERANKER_API_KEYS", "one, two")
        return serve()

    @pytest.mark.parametrize(
        "header",
        [
            {"Authorization": "Bearer one"},
            {"Authorization": "bearer two"},
            {"Api-Key": "two"},
            {"X-API-Key": "one"},
        ],
    )
    def test_each_key_in_each_dialects_header(self, locked: Served, header: dict[str, str]) -> None:
        """Bearer, Pinecone's Api-Key, and X-API-Key."""
        assert locked.post("/v2/rerank", BODY, headers=header).status_code == 200

    @pytest.mark.parametrize(
        "header", [{}, {"Authorization": "Bearer None"}, {"Authorization": "Basic one"}, {"Api-Key": ""}]
    )
    def test_others_are_refused(self, locked: Served, header: dict[str, str]) -> None:
        """401 before the body is read, in words every dialect has."""
        answer = locked.post("/v2/rerank", BODY, headers=header)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "RERANKER_API_KEY" in answer.json()["message"]
        for path in ("/metrics", "/info", "/v1/models", "/models"):
            assert locked.http.get(path, headers=header).status_code == 401
        assert locked.http.delete("/models/mini", headers=header).status_code == 401
        assert locked.http.post("/models/cleanup", headers=header).status_code == 401
        (model,) = locked.http.get("/models", headers={"X-API-Key": "one"}).json()["models"]
        assert model["state"] == "ready"

    def test_probes_and_the_page_need_none(self, locked: Served) -> None:
        """Orchestrators have no keys."""
        for path in ("/health", "/ready", "/", "/openapi.json", "/docs"):
            assert locked.http.get(path).status_code == 200

    def test_beyond_loopback_a_key_is_needed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Unless it is forced; the error says all three ways out."""
        with pytest.raises(ConfigurationError, match="no API key") as caught:
            server_settings(host="0.0.0.0")
        for way in ("RERANKER_API_KEYS", "--host 127.0.0.1", "--allow-no-key"):
            assert way in caught.value.remedy
        assert server_settings(host="0.0.0.0", allow_no_key=True).host == "0.0.0.0"
        assert server_settings(host="::1").loopback
        monkeypatch.setenv("RERANKER_API_KEYS", "k")
        settings = server_settings(host="0.0.0.0")
        assert "k" not in repr(settings.api_keys).replace("SecretStr", "").replace("*", "")

    def test_settings_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """RERANKER_SERVER_..., the command line before it, wrong ones refused by name."""
        monkeypatch.setenv("RERANKER_SERVER_MAX_DOCUMENTS", "5")
        assert server_settings().max_documents == 5
        assert server_settings(max_documents=6).max_documents == 6
        with pytest.raises(InvalidArgumentError, match="max_documents") as caught:
            server_settings(max_documents=0)
        assert "--max-documents" in caught.value.remedy


class TestForeignPages:
    """A browser's page cannot use a service on loopback."""

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
    def test_a_foreign_name_for_loopback(self, served: Served, host: str) -> None:
        """As DNS rebinding makes it."""
        answer = served.post("/v2/rerank", BODY, headers={"host": host})
        assert answer.status_code == 400
        assert "its own machine's name" in answer.json()["message"]

    @pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "[::1]:10001"])
    def test_own_names(self, served: Served, host: str) -> None:
        """On any port: it may be forwarded."""
        assert served.post("/v2/rerank", BODY, headers={"host": host}).status_code == 200

    def test_a_form_cannot_post(self, served: Served) -> None:
        """Only JSON that says so, which browsers ask leave for first; and leave is not given."""
        for kind in ("text/plain", "application/x-www-form-urlencoded", None):
            headers = {"content-type": kind} if kind else {}
            answer = served.http.post("/v2/rerank", content=json.dumps(BODY), headers=headers)
            assert answer.status_code == 422
        asked = served.http.options(
            "/v2/rerank", headers={"origin": "http://evil", "access-control-request-method": "POST"}
        )
        assert "access-control-allow-origin" not in asked.headers

    @pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1.evil.example", "null"])
    def test_a_page_elsewhere_changes_nothing(self, serve: Callable[..., Served], origin: str) -> None:
        """A POST without a body needs no leave from a browser, which says where the page is from; ours may."""
        server = serve()
        answer = server.http.post("/models/cleanup", headers={"origin": origin})
        assert answer.status_code == 400
        assert server.http.get("/models").json()["models"][0]["state"] == "ready"
        assert server.http.post("/models/cleanup", headers={"origin": server.url}).json()["count"] == 1

    def test_headers(self, served: Served) -> None:
        """No sniffing, no frames, no referrer, nothing cached, and a policy for content."""
        for path in ("/", "/health", "/nowhere", "/docs"):
            headers = served.http.get(path).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert headers["content-security-policy"].startswith("default-src 'none'")
            assert "server" not in headers


class TestLimits:
    """Bodies before they are parsed, documents before they are scored."""

    def test_a_body_too_large_is_413_whether_declared_or_not(self, serve: Callable[..., Served]) -> None:
        """And the service goes on."""
        server = serve(max_body_bytes=10_000)
        body = json.dumps({"query": "q", "documents": ["x" * 20_000]}).encode()
        kind = {"content-type": "application/json"}
        for content in (body, iter([body[:9_000], body[9_000:]])):
            answer = server.http.post("/v2/rerank", content=content, headers=kind)
            assert answer.status_code == 413, answer.text
            assert "10000 bytes" in answer.json()["message"]
        assert server.post("/v2/rerank", BODY).status_code == 200

    @pytest.mark.parametrize(
        ("body", "word"),
        [
            ({"query": "q", "documents": ["x"] * 4}, "4 documents"),
            ({"query": "q", "documents": ["x" * 101]}, "101 characters"),
            ({"query": "q" * 101, "documents": ["x"]}, "101 characters"),
        ],
    )
    def test_documents_beyond_a_limit_are_422(
        self, serve: Callable[..., Served], body: dict[str, object], word: str
    ) -> None:
        """Too many, or too long."""
        answer = serve(max_documents=3, max_document_characters=100).post("/v2/rerank", body)
        assert answer.status_code == 422
        assert word in answer.json()["message"]

    def test_bodies_in_flight_are_bounded(self, serve: Callable[..., Served]) -> None:
        """Beyond it 429 with Retry-After; given back when a request ends."""
        server = serve(max_waiting_bytes=5_000)
        big = {"query": "q", "documents": ["x" * 6_000]}
        answer = server.post("/v2/rerank", big)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        for _ in range(9):
            assert server.post("/v2/rerank", {"query": "q", "documents": ["x" * 4_000]}).status_code == 200
        assert "rerankit_body_bytes 0.0" in server.http.get("/metrics").text

    def test_a_slow_body_is_given_up(self, serve: Callable[..., Served]) -> None:
        """504, and its bytes are given back."""
        server = serve(body_timeout=0.2)
        host, port = server.url.removeprefix("http://").split(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=10)
        connection.putrequest("POST", "/v2/rerank")
        connection.putheader("content-type", "application/json")
        connection.putheader("content-length", "1000")
        connection.endheaders(b'{"query"')
        assert connection.getresponse().status == 504
        connection.close()
        time.sleep(0.05)
        assert "rerankit_body_bytes 0.0" in server.http.get("/metrics").text

    @pytest.mark.parametrize(
        "body", [b"[" * 100_000, b'{"query": 1e999, "documents": NaN}', b"\xff\xfe", b"null", b"[]"]
    )
    def test_strange_bodies(self, served: Served, body: bytes) -> None:
        """400 or 422, never a crash."""
        for path in ("/rerank", "/v1/rerank", "/score", "/v1/score_pairs"):
            answer = served.http.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422), answer.text


class TestTelling:
    """Logs and ids."""

    def test_a_request_id_comes_back(self, served: Served) -> None:
        """The caller's own, or one of ours; not one that could break a log."""
        assert served.post("/v2/rerank", BODY, headers={"x-request-id": "abc-1"}).headers["x-request-id"] == "abc-1"
        for bad in ("", "a b", "x" * 200, 'a"b'):
            given = served.post("/v2/rerank", BODY, headers={"x-request-id": bad}).headers["x-request-id"]
            assert given != bad
            assert len(given) == 32

    def test_the_log_has_figures_and_no_texts(
        self, serve: Callable[..., Served], caplog: pytest.LogCaptureFixture
    ) -> None:
        """Unless texts are asked for."""
        caplog.set_level(logging.DEBUG)
        answer = serve().post("/v2/rerank", BODY)
        wait_until(lambda: any(getattr(record, "route", "") == "/v2/rerank" for record in caplog.records))
        (line,) = [record for record in caplog.records if getattr(record, "route", "") == "/v2/rerank"]
        assert (line.status, line.dialect, line.documents, line.model) == (200, "documents", 1, "fake")  # type: ignore[attr-defined]
        assert line.request_id == answer.headers["x-request-id"]  # type: ignore[attr-defined]
        assert "secret" not in str([vars(record) for record in caplog.records])
        serve(log_texts=True).post("/v2/rerank", BODY)
        wait_until(lambda: "secret passage" in str([vars(record) for record in caplog.records]))
        assert "secret passage" in str([vars(record) for record in caplog.records])

    def test_metrics(self, serve: Callable[..., Served]) -> None:
        """Requests, documents, tokens, queue, batches, latency by stage, truncation, saturation, errors by code."""
        server = serve()
        server.post("/v2/rerank", BODY)
        server.post("/v2/rerank", BODY | {"model": "nobody"})
        server.post("/rerank", {"query": "q", "texts": ["q", "z"]})
        wait_until(lambda: 'route="/rerank",status="200"} 1.0' in server.http.get("/metrics").text)
        text = server.http.get("/metrics").text
        for line in (
            'rerankit_requests_total{dialect="documents",route="/v2/rerank",status="200"} 1.0',
            'rerankit_requests_total{dialect="tei",route="/rerank",status="200"} 1.0',
            'rerankit_errors_total{code="model_not_found"} 1.0',
            'rerankit_documents_total{model="mini"} 3.0',
            'rerankit_saturated_scores_total{model="mini"} 1.0',
            'rerankit_truncated_documents_total{model="mini"} 0.0',
            'rerankit_stage_seconds_count{stage="queue"} 2.0',
            'rerankit_stage_seconds_count{stage="total"} 2.0',
            'rerankit_batching_queued_tokens{service="mini"} 0.0',
            'rerankit_batching_accepted_total{service="mini"} 2.0',
            'rerankit_model_ready{model="mini",state="ready"} 1.0',
        ):
            assert line in text, line
        assert "rerankit_batching_batch_fill" in text
        assert "secret" not in text


def wait_until(seen: Callable[[], bool]) -> None:
    """The service tells of a request once its answer is sent, so the caller may have it first."""
    deadline = time.monotonic() + 10
    while not seen() and time.monotonic() < deadline:
        time.sleep(0.01)


async def test_a_timeout_header_that_is_none(served: Served) -> None:
    """422; and one that has passed is 504."""
    for value, status in (("soon", 422), ("nan", 422), ("0", 504), ("-1", 504), ("1e9", 200), ("5", 200)):
        answer = await asyncio.to_thread(served.post, "/v2/rerank", BODY, headers={"x-rerankit-timeout": value})
        assert answer.status_code == status
