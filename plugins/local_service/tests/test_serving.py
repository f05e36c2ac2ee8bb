"""One model for many callers: shared batches, fairness, fullness, deadlines, loading, idleness, poison."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from rerankit import Capabilities, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.errors import MissingExtraError
from rerankit.testing import FakeReranker, word_overlap
from rerankit_local_service.server.serving import ModelSpec
from rerankit_local_service.testing import Served


def body(documents: int, word: str = "mars") -> dict[str, object]:
    return {"query": "mars", "documents": [f"{word} {n}" for n in range(documents)]}


class Held(FakeReranker):
    """Waits at each call until it is let go on; remembers how many pairs each batch had."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self.held = False

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """Wait, then score."""
        self.sizes.append(len(request.pairs))
        if self.held:
            self.entered.set()
            while not self.gate.wait(0.01):
                request.raise_if_stopped()
        return super().score_pairs(request)


@pytest.fixture
def held() -> Held:
    """A model that waits."""
    return Held()


def hold(held: Held, served: Served, pool: ThreadPoolExecutor) -> None:
    """Occupy the model: one worker at a time, so that what comes now has to wait."""
    held.held = True
    pool.submit(served.post, "/v2/rerank", body(1))
    assert held.entered.wait(10)


def one_at_a_time(held: Held) -> Held:
    """The model, scoring one batch at a time."""
    from dataclasses import replace

    held.capabilities = replace(held.capabilities, max_concurrency=1)
    return held


def wait_for(served: Served, line: str) -> None:
    """Until /metrics says so."""
    end = time.monotonic() + 10
    while line not in served.http.get("/metrics").text:
        assert time.monotonic() < end, served.http.get("/metrics").text
        time.sleep(0.01)


def test_concurrent_requests_share_batches(serve: Callable[..., Served], held: Held) -> None:
    """Eight callers that wait together are scored together, each getting its own scores."""
    server = serve(lambda: one_at_a_time(held))
    with ThreadPoolExecutor(9) as pool:
        hold(held, server, pool)
        held.sizes.clear()
        words = ["mars", "venus"] * 4
        calls = [pool.submit(server.post, "/v2/rerank", body(3, word)) for word in words]
        wait_for(server, 'rerankit_batching_queued_requests{service="mini"} 8.0')
        held.gate.set()
        for word, call in zip(words, calls, strict=True):
            found = call.result().json()["results"]
            assert [result["relevance_score"] for result in found] == [word_overlap("mars", word)] * 3
    assert held.sizes == [24]


def test_a_full_queue_says_when_to_come_back(serve: Callable[..., Served], held: Held) -> None:
    """429 with Retry-After, at once; what was accepted is answered."""
    server = serve(lambda: one_at_a_time(held), max_queue_tokens=30)
    with ThreadPoolExecutor(9) as pool:
        hold(held, server, pool)
        waiting = pool.submit(server.post, "/v2/rerank", body(8))
        wait_for(server, 'rerankit_batching_queued_requests{service="mini"} 1.0')
        answer = server.post("/v2/rerank", body(8))
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        held.gate.set()
        assert waiting.result().status_code == 200


def test_work_is_dropped_at_the_deadline(serve: Callable[..., Served], held: Held) -> None:
    """The caller's own, or the service's: 504, and nothing of it is scored later."""
    server = serve(lambda: one_at_a_time(held), timeout=5.0)
    with ThreadPoolExecutor(9) as pool:
        hold(held, server, pool)
        started = time.monotonic()
        answer = server.post("/v2/rerank", body(7), headers={"x-rerankit-timeout": "0.2"})
        assert answer.status_code == 504
        assert time.monotonic() - started < 2
        held.gate.set()
    assert 7 not in held.sizes


def test_work_is_dropped_when_the_caller_has_gone(serve: Callable[..., Served], held: Held) -> None:
    """Hanging up takes the request out of the queue."""
    server = serve(lambda: one_at_a_time(held))
    with ThreadPoolExecutor(9) as pool:
        hold(held, server, pool)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/v2/rerank", json=body(7), timeout=0.3)
        wait_for(server, 'rerankit_batching_dropped_total{service="mini"} 1.0')
        wait_for(server, 'status="499"')
        held.gate.set()
    assert 7 not in held.sizes


def test_a_big_request_does_not_hold_up_a_small_one(serve: Callable[..., Served]) -> None:
    """A thousand documents are interleaved with two: the two are answered first, and both rightly."""
    ended: list[int] = []
    # About 60 of these documents make a batch, which takes 20 ms: a third of a second for the big request.
    slow = FakeReranker(delay=0.02, capabilities=Capabilities(ScoreKind.PROBABILITY, max_concurrency=1))
    server = serve(lambda: slow, max_batch_tokens=200)
    with ThreadPoolExecutor(2) as pool:

        def ask(documents: int) -> list[float]:
            found = server.post("/v2/rerank", body(documents)).json()["results"]
            ended.append(documents)
            return [result["relevance_score"] for result in found]

        big = pool.submit(ask, 1_000)
        wait_for(server, 'rerankit_batching_queued_requests{service="mini"} 1.0')
        small = pool.submit(ask, 2)
        assert small.result() == [1.0] * 2
        assert big.result() == [1.0] * 1_000
    assert ended == [2, 1_000]


def test_a_poisoned_request_fails_alone(serve: Callable[..., Served]) -> None:
    """The others in its batch get their scores."""

    def poisonous(query: str, text: str) -> float:
        if text == "poison":
            raise ZeroDivisionError("poisoned")
        return word_overlap(query, text)

    server = serve(lambda: FakeReranker(poisonous, delay=0.05))
    bodies = [body(3), {"query": "q", "documents": ["x", "poison"]}] * 4
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda b: server.post("/v2/rerank", b), bodies)]
    assert statuses == [200, 500] * 4
    assert server.post("/v2/rerank", body(3)).status_code == 200


class TestLoading:
    """A model that is not there yet, or not at all."""

    def test_alive_before_ready_and_callers_wait(self, serve: Callable[..., Served]) -> None:
        """/health at once, /ready 503 meanwhile; a request waits, within its time."""
        go = threading.Event()

        def slow() -> FakeReranker:
            assert go.wait(10)
            return FakeReranker()

        server = serve(slow, wait=False)
        assert server.http.get("/health").status_code == 200
        ready = server.http.get("/ready")
        assert (ready.status_code, ready.json()["models"]["mini"]["state"]) == (503, "loading")
        answer = server.post("/v2/rerank", body(1), headers={"x-rerankit-timeout": "0.1"})
        assert (answer.status_code, answer.json()["error"]["type"]) == (504, "cold_start")
        assert "retry-after" in answer.headers
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(server.post, "/v2/rerank", body(1))
            time.sleep(0.05)
            go.set()
            assert call.result().status_code == 200
        assert server.http.get("/ready").status_code == 200

    def test_a_failure_is_told_and_no_crash(self, serve: Callable[..., Served]) -> None:
        """/ready and callers hear why, and what to type."""

        def broken() -> FakeReranker:
            raise MissingExtraError("no torch", remedy="pip install torch")

        server = serve(broken, wait=False)
        answer = server.post("/v2/rerank", body(1))
        assert answer.status_code == 503
        assert "pip install torch" in answer.json()["message"]
        told = server.http.get("/ready").json()["models"]["mini"]
        assert (told["state"], told["error"]["code"]) == ("failed", "missing_extra")
        assert server.http.get("/health").status_code == 200

    def test_it_is_tried_again_later(self, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
        """By the first request half a minute after."""
        tries: list[int] = []

        def flaky() -> FakeReranker:
            tries.append(1)
            if len(tries) == 1:
                raise OSError("the network was away")
            return FakeReranker()

        server = serve(flaky, wait=False)
        assert server.post("/v2/rerank", body(1)).status_code == 503
        assert server.post("/v2/rerank", body(1)).status_code == 503
        monkeypatch.setattr("rerankit_local_service.server.serving._RETRY_LOAD_S", 0.0)
        assert server.post("/v2/rerank", body(1)).status_code == 200
        assert len(tries) == 2

    @pytest.mark.parametrize(
        "model",
        [
            lambda: FakeReranker(lambda query, text: 0.5),
            lambda: FakeReranker(lambda query, text: -word_overlap(query, text)),
            lambda: FakeReranker(lambda query, text: 2 * word_overlap(query, text)),
            lambda: FakeReranker(lambda query, text: float("nan")),
        ],
    )
    def test_a_wrong_model_never_gets_ready(
        self, serve: Callable[..., Served], model: Callable[[], FakeReranker]
    ) -> None:
        """All alike, upside down, out of range, not a number: the self-test says so."""
        server = serve(model, wait=False)
        assert server.post("/v2/rerank", body(1)).status_code == 503
        assert server.http.get("/ready").status_code == 503
        assert server.http.get("/ready").json()["models"]["mini"]["error"]["code"] == "backend_protocol"

    def test_the_order_may_go_untested_but_not_the_range(self, serve: Callable[..., Served]) -> None:
        """For models that read no English."""
        assert (
            serve(lambda: FakeReranker(lambda query, text: 0.5), self_test=False).post("/v2/rerank", body(1)).is_success
        )

    def test_an_idle_model_is_dropped_and_comes_back(self, serve: Callable[..., Served]) -> None:
        """The next request loads it again; it stays ready to."""
        made: list[FakeReranker] = []

        def make() -> FakeReranker:
            made.append(FakeReranker())
            return made[-1]

        server = serve(make, unload_after=0.2)
        wait_for(server, 'rerankit_model_ready{model="mini",state="unloaded"} 0.0')
        assert made[0].closed == 1
        assert server.http.get("/ready").status_code == 200
        assert server.post("/v2/rerank", body(2)).status_code == 200
        assert len(made) == 2

    def test_a_model_is_dropped_on_demand_and_comes_back(self, serve: Callable[..., Served]) -> None:
        """SolaceAI's DELETE /models/{key}: by any of its names, told when there is nothing to drop."""
        made: list[FakeReranker] = []

        def make() -> FakeReranker:
            made.append(FakeReranker())
            return made[-1]

        server = serve(ModelSpec("small", "mini", make, {"model_name_or_path": "a/b"}))
        for key, dropped in (("small", True), ("a/b", False)):
            answer = server.http.delete(f"/models/{key}")
            assert (answer.status_code, answer.json()["key"], answer.json()["unloaded"]) == (200, "small", dropped)
        assert made[0].closed == 1
        assert [model["state"] for model in server.http.get("/models").json()["models"]] == ["unloaded"]
        assert server.http.get("/ready").status_code == 200
        assert server.post("/v2/rerank", body(2)).status_code == 200
        assert (len(made), made[1].closed) == (2, 0)
        unknown = server.http.delete("/models/nobody")
        assert (unknown.status_code, list(unknown.json())) == (404, ["detail"])

    def test_a_model_in_use_is_not_dropped(self, serve: Callable[..., Served], held: Held) -> None:
        """503 with Retry-After, and its request is answered; POST /models/cleanup passes it over and takes the rest."""
        server = serve(ModelSpec("busy", "mini", lambda: held), ModelSpec("idle", "mini", FakeReranker))
        with ThreadPoolExecutor(1) as pool:
            held.held = True
            call = pool.submit(server.post, "/v2/rerank", body(1))
            assert held.entered.wait(10)
            answer = server.http.delete("/models/busy")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert "in use" in answer.json()["detail"]
            assert server.http.post("/models/cleanup").json() == {"unloaded": ["idle"], "count": 1}
            held.gate.set()
            assert call.result().status_code == 200
        wait_for(server, "rerankit_requests_in_flight 1.0")
        assert server.http.post("/models/cleanup").json() == {"unloaded": ["busy"], "count": 1}
        assert held.closed == 1

    def test_several_models_by_name(self, serve: Callable[..., Served]) -> None:
        """The first is the default; aliases, kinds and * stand for others; each is told its own state."""
        server = serve(
            ModelSpec("small", "mini", lambda: FakeReranker(), aliases=frozenset({"rerank-v3.5"})),
            ModelSpec("big", "crossencoder", FakeReranker, {"model_name_or_path": "a/b"}, frozenset({"*"})),
        )
        for asked, served_by in (
            ({}, "mini"),
            ({"model": "small"}, "mini"),
            ({"model": "rerank-v3.5"}, "mini"),
            ({"model": "a/b"}, "crossencoder"),
            ({"model": "anything"}, "crossencoder"),
        ):
            before = server.http.get("/metrics").text
            assert server.post("/v2/rerank", body(1) | asked).status_code == 200
            name = {"mini": "small", "crossencoder": "big"}[served_by]
            assert _count(server, name) == _count_in(before, name) + 1
        assert [model["name"] for model in server.http.get("/v1/models").json()["data"]] == ["small", "big"]
        passages = {"query": "q", "passages": ["q"], "reranker_type": "biencoder"}
        assert server.post("/rerank", passages).status_code == 404


def _count(served: Served, name: str) -> float:
    return _count_in(served.http.get("/metrics").text, name)


def _count_in(text: str, name: str) -> float:
    line = f'rerankit_documents_total{{model="{name}"}} '
    return next((float(found.removeprefix(line)) for found in text.splitlines() if found.startswith(line)), 0.0)
