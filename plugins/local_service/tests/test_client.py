"""The local_service backend: nothing is lost on the way, and every failure is typed and says what to type."""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest

from rerankit import Attempt, Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest, load_reranker
from rerankit.errors import (
    AuthenticationError,
    BackendError,
    DeadlineExceededError,
    InputError,
    InvalidArgumentError,
    ModelNotFoundError,
    OverloadedError,
    ProtocolError,
    RerankitError,
    RerankTimeoutError,
    UnavailableError,
)
from rerankit.policy.split import SplitReranker
from rerankit.testing import FakeReranker, RerankerConformance
from rerankit_local_service import LocalServiceReranker
from rerankit_local_service.testing import Served, serving

PAIRS = [("red planet", "mars the red planet"), ("red planet", ""), ("hot", "venus is hot")]


@pytest.fixture(scope="class")
def reranker(request: pytest.FixtureRequest) -> Iterator[LocalServiceReranker]:
    """A client of a service of its own."""
    with serving() as served, LocalServiceReranker(url=served.url) as reranker:
        yield reranker


@pytest.fixture
def failing_reranker() -> Iterator[LocalServiceReranker]:
    """A client of nobody."""
    with LocalServiceReranker(url="http://127.0.0.1:9") as reranker:
        yield reranker


class TestConformance(RerankerConformance):
    """The client keeps the contract, through a real service."""


class Knowing(PairReranker):
    """Knows everything a batch can say."""

    capabilities = Capabilities(ScoreKind.CALIBRATED)
    fingerprint = "knowing@7/bf16"

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """Scores by length, and tells all about it."""
        return ScoreBatch(
            [min(1.0, len(text) / 100) for _, text in request.pairs],
            coverage=[0.5] * len(request.pairs),
            tokens=[7] * len(request.pairs),
            model="knowing",
            revision="7",
            timings={"inference": 0.25},
            served_by="other",
            degraded=True,
            attempts=(Attempt("first", 0.5, "unavailable"), Attempt("other", 0.25)),
        )


class TestCarriesAll:
    """What the backend knows arrives, and what the service allows is declared."""

    @pytest.mark.parametrize("asynchronous", [False, True])
    def test_a_batch_arrives_whole(self, serve: Callable[..., Served], asynchronous: bool) -> None:
        """Coverage, tokens, model, revision, meaning, timings, who served and every attempt."""
        with LocalServiceReranker(url=serve(Knowing, self_test=False).url) as client:
            request = ScoreRequest(PAIRS)
            batch = asyncio.run(client.ascore_pairs(request)) if asynchronous else client.score_pairs(request)
        sent = Knowing().score_pairs(ScoreRequest(PAIRS))
        for name in ("scores", "coverage", "tokens", "model", "revision", "served_by", "degraded", "attempts"):
            assert list(getattr(batch, name) or ()) == list(getattr(sent, name) or ()) if name != "degraded" else True
        assert batch.degraded
        assert batch.score_kind is ScoreKind.CALIBRATED
        assert batch.timings["inference"] == 0.25
        assert "queue" in batch.timings

    def test_a_partial_batch_arrives(self, serve: Callable[..., Served]) -> None:
        """Unscored documents are told from others."""

        class Late(FakeReranker):
            def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
                batch = super().score_pairs(request)
                return batch if len(batch.scores) < 3 else ScoreBatch([0.5, None, None], partial=True)

        server = serve(Late)
        with LocalServiceReranker(url=server.url) as client:
            batch = client.score_pairs(ScoreRequest(PAIRS))
        assert (batch.scores, batch.partial) == ([0.5, None, None], True)
        answer = server.post("/rerank", {"query": "q", "passages": ["a", "b", "c"]})
        assert (answer.status_code, "not scored in time" in answer.json()["detail"]) == (504, True)

    def test_capabilities_and_fingerprint_are_the_services(self, serve: Callable[..., Served]) -> None:
        """Limits of the service, meaning of the model."""
        with LocalServiceReranker(url=serve(Knowing, self_test=False, max_documents=17).url) as client:
            assert client.capabilities.max_documents == 17
            assert client.capabilities.score_kind is ScoreKind.CALIBRATED
            assert client.capabilities.max_concurrency > 1
            assert client.fingerprint == "knowing@7/bf16"

    async def test_an_event_loop_is_never_held_up_by_the_first_look(self) -> None:
        """Asked asynchronously, a service that is slow to introduce itself is awaited, by the policy's layers too."""
        looked, go = threading.Event(), threading.Event()
        looks: list[str] = []

        class Slow(Elsewhere):
            def do_GET(self) -> None:
                looks.append(self.path)
                looked.set()
                assert go.wait(10)
                super().do_GET()

        limits = {"protocol": 1, "max_documents": 2, "max_characters": 100, "max_concurrency": 1, "instance": "x"}
        model = {"name": "m", "names": ["m"], "service": "mini", "state": "ready", "model": "m", "listwise": False}
        info = {"rerankit": limits | {"models": [model | {"score_kind": "probability"}]}}
        scores = {"instance": "x", "scores": [0.5, 0.5]}
        answers = {path: (200, "application/json", json.dumps(told)) for path, told in (("/info", info), ("*", scores))}
        with elsewhere(answers, Slow) as url:
            async with SplitReranker(LocalServiceReranker(url=url)) as reranker:
                call = asyncio.create_task(reranker.aget_scores("q", list("abcd")))
                await asyncio.to_thread(looked.wait, 10)
                go.set()
                assert await call == [0.5] * 4
        # Had the look blocked this loop, it would have been given up, and another one would have been needed.
        assert looks == ["/info"]

    def test_another_process_on_the_port_is_noticed(self, serve: Callable[..., Served]) -> None:
        """A service that came back with another model: nothing is cached under the old one's name."""
        with serving(lambda: FakeReranker(fingerprint="one")) as first:
            client = LocalServiceReranker(url=first.url)
            assert client.fingerprint == "one"
            assert client.get_scores("q", ["q"]) == [1.0]
        serve(lambda: FakeReranker(fingerprint="two"), port=int(first.url.rpartition(":")[2]))
        with client, contextlib.suppress(UnavailableError):
            client.get_scores("q", ["q"])
        with client:
            client.get_scores("q", ["q"])
            assert client.fingerprint == "two"


class Elsewhere(BaseHTTPRequestHandler):
    """Some other server."""

    answers: ClassVar[dict[str, tuple[int, str, str]]] = {}

    def do_GET(self) -> None:
        """What ``answers`` has, by path, or for every path under ``*``."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        status, kind, body = self.answers.get(self.path, self.answers.get("*", (404, "text/html", "<p>no</p>")))
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_GET  # noqa: N815 - the base class's names

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextlib.contextmanager
def elsewhere(answers: dict[str, tuple[int, str, str]], kind: type[Elsewhere] | None = None) -> Iterator[str]:
    """A server that is not ours."""
    handler = type("Handler", (kind or Elsewhere,), {"answers": answers})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def both(client: LocalServiceReranker) -> list[RerankitError]:
    """The errors of a synchronous and of an asynchronous call."""
    errors = []
    calls: tuple[Callable[[], object], ...] = (
        lambda: client.get_scores("q", ["d"]),
        lambda: asyncio.run(client.aget_scores("q", ["d"])),
    )
    for call in calls:
        with pytest.raises(RerankitError) as caught:
            call()
        errors.append(caught.value)
    return errors


class TestFailures:
    """Each has its class and the command that cures it."""

    def test_nobody_there(self) -> None:
        """Start it."""
        for error in both(LocalServiceReranker(url="http://127.0.0.1:9")):
            assert type(error) is UnavailableError
            assert error.retryable
            assert error.remedy == "rerankit serve --port 9"

    def test_another_machine_that_is_not_there(self) -> None:
        """Start it there; a name that does not resolve is no crash."""
        (error, _) = both(LocalServiceReranker(url="http://nowhere.invalid:1234"))
        assert isinstance(error, UnavailableError)
        assert "rerankit serve --port 1234 on nowhere.invalid" in error.remedy

    @pytest.mark.parametrize(
        "answers",
        [
            {},
            {"*": (200, "text/html", "<p>hello</p>")},
            {"/info": (200, "application/json", "[]")},
            {"/info": (200, "application/json", '{"model_id": "a TEI"}')},
            {"/info": (200, "application/json", '{"rerankit": {"protocol": 99}}')},
            {"/info": (200, "application/json", '{"rerankit": {"protocol": 1, "models": []}}')},
        ],
    )
    def test_something_else_there(self, answers: dict[str, tuple[int, str, str]]) -> None:
        """A web server, another kind of service, a newer protocol."""
        with elsewhere(answers) as url:
            for error in both(LocalServiceReranker(url=url)):
                assert type(error) is ProtocolError
                assert (
                    "RERANKER_SERVICE_URL" in error.remedy or "pip install" in error.remedy or "report" in error.remedy
                )

    def test_no_key_and_a_wrong_one(self, serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
        """Export it; the right one, from the environment, is not shown anywhere."""
        monkeypatch.setenv("RERANKER_API_KEYS", "right-key")
        url = serve().url
        monkeypatch.delenv("RERANKER_API_KEYS")
        for key in (None, "wrong-key"):
            for error in both(LocalServiceReranker(url=url, api_key=key)):
                assert type(error) is AuthenticationError
                assert "export RERANKER_API_KEY=" in error.remedy
                assert "wrong-key" not in str(error)
        monkeypatch.setenv("RERANKER_API_KEY", "right-key")
        client = LocalServiceReranker(url=url)
        assert client.get_scores("q", ["q"]) == [1.0]
        assert "right-key" not in repr(client) + repr(vars(client)["_connection"])

    @pytest.mark.parametrize(
        "fault",
        [
            OverloadedError("full", retry_after=7.0),
            BackendError("broken", remedy="mend it", retryable=True),
            ModelNotFoundError("gone"),
            UnavailableError("down"),
        ],
    )
    def test_the_backends_own_error_arrives(self, serve: Callable[..., Served], fault: RerankitError) -> None:
        """Class, remedy, whether to retry, and when."""
        url = serve(lambda: FakeReranker(faults=[None, fault, fault])).url
        for error in both(LocalServiceReranker(url=url)):
            assert type(error) is type(fault)
            assert (error.message, error.retryable, error.retry_after) == (
                fault.message,
                fault.retryable,
                fault.retry_after,
            )

    def test_a_model_that_is_not_served(self, serve: Callable[..., Served]) -> None:
        """The names of those that are."""
        for error in both(LocalServiceReranker("other/model", url=serve().url)):
            assert type(error) is ModelNotFoundError
            assert "served: fake" in error.message

    def test_too_many_documents(self, serve: Callable[..., Served]) -> None:
        """Refused by the service; the policy's splitting reads the same limit and never gets here."""
        url = serve(max_documents=3).url
        with pytest.raises(InputError, match="4 documents"):
            LocalServiceReranker(url=url).get_scores("q", list("abcd"))
        with load_reranker("local_service", url=url) as reranker:
            assert len(reranker.get_scores("q", list("abcd"))) == 4

    def test_slower_than_the_timeout(self, serve: Callable[..., Served]) -> None:
        """Retryable, and the variable to raise."""
        url = serve(lambda: FakeReranker(delay=1.0), self_test=False).url
        for error in both(LocalServiceReranker(url=url, timeout=0.2)):
            assert type(error) is RerankTimeoutError
            assert "RERANKER_CLIENT_TIMEOUT" in error.remedy

    def test_the_deadline_goes_along(self, serve: Callable[..., Served]) -> None:
        """The service drops the work; the caller gets the deadline's error in time."""
        server = serve(lambda: FakeReranker(delay=0.5), self_test=False)
        with LocalServiceReranker(url=server.url) as client:
            client.get_scores("q", ["d"])
            for call in (client.score_pairs, lambda request: asyncio.run(client.ascore_pairs(request))):
                started = time.monotonic()
                with pytest.raises(DeadlineExceededError):
                    call(ScoreRequest(PAIRS, deadline=started + 0.1))
                assert time.monotonic() - started < 0.4
        assert 'rerankit_errors_total{code="deadline_exceeded"}' in server.http.get("/metrics").text

    def test_a_connection_lost_in_the_middle(self) -> None:
        """As a service killed with -9 looks: retryable."""
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def hang_up() -> None:
                for _ in range(2):
                    connection, _ = listener.accept()
                    connection.recv(1000)
                    connection.close()

            thread = threading.Thread(target=hang_up)
            thread.start()
            for error in both(LocalServiceReranker(url=f"http://127.0.0.1:{listener.getsockname()[1]}")):
                assert type(error) is UnavailableError
                assert error.retryable
            thread.join()

    @pytest.mark.parametrize(
        "arguments", [{"timeout": 0}, {"timeout": float("nan")}, {"url": "localhost:1"}, {"batch_size": 0}]
    )
    def test_wrong_arguments(self, arguments: dict[str, Any]) -> None:
        """Refused when it is made."""
        with pytest.raises(InvalidArgumentError):
            LocalServiceReranker(**arguments)

    def test_wrong_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Named."""
        monkeypatch.setenv("RERANKER_CLIENT_TIMEOUT", "soon")
        with pytest.raises(InvalidArgumentError, match="RERANKER_CLIENT_TIMEOUT"):
            LocalServiceReranker()


class TestDiagnosis:
    """What rerankit doctor is told."""

    def test_the_services_facts(self, serve: Callable[..., Served]) -> None:
        """The model, and what its backend says of itself over there."""

        class Telling(FakeReranker):
            def diagnose(self) -> dict[str, str]:
                return {"device": "abacus"}

        told = LocalServiceReranker(url=(server := serve(Telling)).url).diagnose()
        assert told == {"service at": server.url, "model": "fake", "device": "abacus"}
        assert server.post("/rerank", {"query": "q", "passages": ["q"]}).json()["device"] == "abacus"

    def test_a_service_that_is_not_ready(self, serve: Callable[..., Served]) -> None:
        """Its model's own error; a model that misses its published scores is never ready."""

        class Wrong(FakeReranker):
            def diagnose(self) -> dict[str, str]:
                raise ProtocolError("misses its published scores", remedy="load it again")

        server = serve(Wrong, wait=False)
        assert server.post("/rerank", {"query": "q", "passages": ["q"]}).status_code == 503
        with pytest.raises(ProtocolError, match="published scores") as caught:
            LocalServiceReranker(url=server.url).diagnose()
        assert caught.value.remedy == "load it again"


class TestConnections:
    """Kept, and neither shared with a fork nor left open."""

    def test_variables_of_the_first_client(self, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
        """RERANKER_SERVICE_URL, RERANKER_CLIENT_TIMEOUT; arguments go before them."""
        monkeypatch.setenv("RERANKER_SERVICE_URL", served.url + "/")
        monkeypatch.setenv("RERANKER_CLIENT_TIMEOUT", "7.5")
        client = LocalServiceReranker()
        assert (client.url, client.timeout) == (served.url, 7.5)
        assert client.get_scores("q", ["q"]) == [1.0]
        assert LocalServiceReranker(timeout=3, url="http://127.0.0.1:9").timeout == 3

    def test_making_one_opens_nothing(self) -> None:
        """An application makes one for every question."""
        started = time.monotonic()
        for _ in range(100):
            LocalServiceReranker(url="http://10.255.255.1:1")
        assert time.monotonic() - started < 2

    def test_many_loops_and_threads(self, served: Served) -> None:
        """One client serves them all; no warning of an open socket is left (warnings are errors)."""
        client = LocalServiceReranker(url=served.url)

        async def several() -> list[list[float]]:
            return await asyncio.gather(*(client.aget_scores("q", ["q"] * n) for n in range(1, 9)))

        for _ in range(3):
            assert asyncio.run(several()) == [[1.0] * n for n in range(1, 9)]
        client.close()
        client.close()

    def test_after_a_fork(self, served: Served) -> None:
        """A child asks on a connection of its own, and the parent's goes on."""
        client = LocalServiceReranker(url=served.url)
        assert client.get_scores("q", ["q"]) == [1.0]
        context = multiprocessing.get_context("fork")
        answers: Any = context.Queue()
        child = context.Process(target=lambda: answers.put(client.get_scores("q w", ["q"])))
        child.start()
        assert answers.get(timeout=20) == [0.5]
        child.join(20)
        assert client.get_scores("q", ["q"]) == [1.0]

    def test_cancelling_hangs_up(self, serve: Callable[..., Served]) -> None:
        """And the service drops the work."""
        server = serve(lambda: FakeReranker(delay=5.0), self_test=False, wait=False)
        client = LocalServiceReranker(url=server.url)

        async def give_up() -> None:
            async with asyncio.timeout(0.3):
                await client.aget_scores("q", ["q"])

        with pytest.raises(TimeoutError):
            asyncio.run(give_up())


class TestFirstService:
    """Crosswise with the first application."""

    def test_our_client_and_its_service(self) -> None:
        """No /info, but /health: passages are sent, none of them blank, batch_size within 16 and 128."""
        bodies: list[dict[str, Any]] = []

        class First(Elsewhere):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                bodies.append(body)
                scores = [len(passage) / 100 for passage in body["passages"]]
                answers = {"scores": scores, "ranked_indices": [], "model_used": "mxbai", "device": "cpu"}
                type(self).answers = {"*": (200, "application/json", json.dumps(answers))}
                del self.headers["content-length"]
                self.do_GET()

        First.answers = {"/health": (200, "application/json", '{"status": "healthy"}')}
        with ThreadingHTTPServer(("127.0.0.1", 0), First) as server:
            thread = threading.Thread(target=server.serve_forever, daemon=True)
            thread.start()
            client = LocalServiceReranker("mxbai", "crossencoder", 256, url=f"http://127.0.0.1:{server.server_port}")
            batch = client.score_pairs(ScoreRequest(PAIRS))
            assert client.capabilities.max_documents == 1_000
            server.shutdown()
            thread.join()
        assert batch.scores == [0.19, 0.01, 0.12]
        assert batch.model == "mxbai"
        assert [body["passages"] for body in bodies] == [["mars the red planet", "-"], ["venus is hot"]]
        assert bodies[0]["batch_size"] == 128
        assert (bodies[0]["model_name_or_path"], bodies[0]["reranker_type"]) == ("mxbai", "crossencoder")
