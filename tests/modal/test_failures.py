"""Whatever goes wrong on the way to Modal is a typed error, in time, with the command that cures it."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from grpclib import Status

from rerankit.errors import (
    AppNotFoundError,
    AuthenticationError,
    BackendError,
    ClassNotFoundError,
    ColdStartTimeoutError,
    DeadlineExceededError,
    FunctionNotFoundError,
    OutOfMemoryError,
    OverloadedError,
    ProtocolError,
    RerankitError,
    RerankTimeoutError,
    UnavailableError,
)
from rerankit.scoring import ScoreRequest
from rerankit_modal import ModalEngine, ModalReranker

from .conftest import APPS, run
from .control_plane import LocalModal

PASSAGES = ["a short one", "one that is a little longer"]


def test_a_function_of_somebody_elses_is_called_by_its_name(loopback: LocalModal, faulty: str) -> None:
    """Query, passages and batch size, and a plain list back; nobody says what such scores mean."""
    with ModalReranker(faulty) as reranker:
        ranking = reranker.rerank("which is longer?", PASSAGES)
    assert [document.index for document in ranking] == [1, 0]
    assert ranking.score_kind == "unknown"


def test_generation_options_reach_the_function(loopback: LocalModal, faulty: str) -> None:
    """``gen_options`` are further keyword arguments, and none are sent unless given."""
    with ModalReranker(faulty, gen_options={"scale": 10.0}) as reranker:
        assert reranker.get_scores("q", PASSAGES) == [1.1, 2.7]


@pytest.mark.parametrize(
    ("api_name", "query", "error", "message", "remedy", "retryable"),
    [
        ("broken", "word", BackendError, "ValueError: bad pair: word", "modal app logs faulty", False),
        ("broken", "cuda", OutOfMemoryError, "CUDA out of memory", "RERANKIT_MODAL_GPU", False),
        ("broken", "short", ProtocolError, "returned 1 scores for 2 documents", "", False),
        ("broken", "nan", ProtocolError, "must be a finite float", "", False),
        ("slow", "q", RerankTimeoutError, "the function on Modal timed out", "RERANKIT_MODAL_TIMEOUT", True),
        ("crash", "q", UnavailableError, "ended in mid-request", "modal app logs faulty", True),
        ("devour", "q", OutOfMemoryError, "ran out of memory", "RERANKIT_MODAL_MEMORY", False),
        ("Sluggish.scores", "q", ColdStartTimeoutError, "timed out during cold start", "MIN_CONTAINERS", True),
        ("Unloadable.scores", "q", BackendError, "FileNotFoundError", "modal app logs faulty", False),
        ("nothing", "q", FunctionNotFoundError, "no function named 'nothing'", "modal app info faulty", False),
        ("Nobody.scores", "q", ClassNotFoundError, "no class named 'Nobody'", "modal app info faulty", False),
    ],
)
def test_what_fails_on_modal_is_a_typed_error_with_a_cure(
    loopback: LocalModal,
    faulty: str,
    api_name: str,
    query: str,
    error: type[RerankitError],
    message: str,
    remedy: str,
    retryable: bool,
) -> None:
    """Each row of the guide's table of errors, caused for real."""
    with ModalReranker(faulty, api_name) as reranker, pytest.raises(error, match=message) as raised:
        reranker.get_scores(query, PASSAGES)
    assert type(raised.value) is error
    assert remedy in raised.value.remedy
    assert raised.value.retryable is retryable


def test_an_app_that_is_not_deployed_is_named(loopback: LocalModal) -> None:
    """... with the command that deploys it."""
    with (
        ModalReranker("nowhere") as reranker,
        pytest.raises(AppNotFoundError, match="no app named 'nowhere'") as raised,
    ):
        reranker.get_scores("q", PASSAGES)
    assert "rerankit modal deploy" in raised.value.remedy


def test_an_app_that_was_stopped_is_found_again_when_it_is_back(loopback: LocalModal) -> None:
    """What was looked up is forgotten when it is gone."""
    deploy = ["modal", "deploy", "--name", "passing", str(APPS / "faulty.py")]
    run(deploy, loopback.environment)
    with ModalReranker("passing") as reranker:
        assert reranker.get_scores("q", ["x" * 50]) == [0.5]
        run(["modal", "app", "stop", "--yes", "passing"], loopback.environment)
        with pytest.raises(AppNotFoundError, match="does not take calls any more"):
            reranker.get_scores("q", PASSAGES)
        run(deploy, loopback.environment)
        assert reranker.get_scores("q", ["x" * 50]) == [0.5]


def test_an_exception_in_a_container_of_ours_runs_no_code_here(
    loopback: LocalModal, faulty: str, tmp_path: Path
) -> None:
    """Where pickles are switched off for output, as in our app, an exception comes as text."""
    mark = tmp_path / "mark"
    with ModalReranker(faulty, "trap") as reranker, pytest.raises(BackendError, match="TrapError"):
        reranker.get_scores(str(mark), PASSAGES)
    assert not mark.exists()


def test_our_own_deadline_ends_a_call_that_hangs(loopback: LocalModal, faulty: str) -> None:
    """``timeout`` is kept, and a container that works is told from one that is still to start."""
    with ModalReranker(faulty, "stuck", timeout=3) as reranker:
        started = time.monotonic()
        with pytest.raises(RerankTimeoutError, match="did not answer within 3 s") as raised:
            reranker.get_scores("q", PASSAGES)
        assert type(raised.value) is RerankTimeoutError
        assert time.monotonic() - started < 20, "the function itself sleeps for 50 s"


async def test_waiting_behind_others_is_no_cold_start(loopback: LocalModal, faulty: str) -> None:
    """Two requests, one container that takes one at a time: both say how many run and wait, and what helps."""
    async with ModalReranker(faulty, "narrow", timeout=4) as reranker:
        calls = (reranker.aget_scores("q", PASSAGES) for _ in range(2))
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert type(error) is RerankTimeoutError
            assert "containers: 1, requests running: 1, waiting: 1" in error.message
            assert "RERANKIT_MODAL_MAX_CONTAINERS" in error.remedy


@pytest.mark.parametrize(
    ("status", "error", "message", "remedy", "retryable"),
    [
        (Status.RESOURCE_EXHAUSTED, OverloadedError, "Modal's limits are reached", "", True),
        (Status.PERMISSION_DENIED, AuthenticationError, "may not use app 'faulty'", "modal token info", False),
        (Status.FAILED_PRECONDITION, AppNotFoundError, "does not take calls", "rerankit modal deploy", False),
        (Status.INVALID_ARGUMENT, BackendError, "Modal refused the request", "rerankit modal deploy", False),
        (Status.UNAVAILABLE, UnavailableError, "Modal cannot be reached", "status.modal.com", True),
        (Status.INTERNAL, UnavailableError, "Modal cannot be reached", "status.modal.com", True),
        (Status.UNIMPLEMENTED, UnavailableError, "Modal cannot be reached", "status.modal.com", True),
    ],
)
def test_what_modal_itself_refuses_is_a_typed_error_too(
    loopback: LocalModal,
    faulty: str,
    monkeypatch: pytest.MonkeyPatch,
    status: Status,
    error: type[RerankitError],
    message: str,
    remedy: str,
    retryable: bool,
) -> None:
    """The server answers a call with each status that modal's client knows."""
    with ModalReranker(faulty) as reranker:
        assert reranker.get_scores("q", ["x" * 50]) == [0.5]
        monkeypatch.setitem(loopback.control.refusals, "FunctionMap", status)
        with pytest.raises(error, match=message) as raised:
            reranker.get_scores("q", PASSAGES)
    assert type(raised.value) is error
    assert remedy in raised.value.remedy
    assert raised.value.retryable is retryable


async def test_concurrent_first_calls_share_a_connection(loopback: LocalModal) -> None:
    """Whoever comes second takes the first one's."""
    engine = ModalEngine("any")
    first, *others = await asyncio.gather(*(engine.client() for _ in range(8)))
    assert all(other is first for other in others)
    await engine.aclose()


def test_the_requests_deadline_goes_before_the_timeout(loopback: LocalModal, faulty: str) -> None:
    """A deadline that passes is not to be tried again."""
    with ModalReranker(faulty, "stuck") as reranker, pytest.raises(DeadlineExceededError) as raised:
        reranker.score_pairs(ScoreRequest([("q", "p")], deadline=time.monotonic() + 1))
    assert not raised.value.retryable


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("MODAL_TOKEN_SECRET", "as-wrong", "refused the token from the environment"),
        ("MODAL_TOKEN_SECRET", "", "half of a Modal token: MODAL_TOKEN_SECRET is missing"),
    ],
)
def test_wrong_credentials_say_where_they_came_from(
    loopback: LocalModal, faulty: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    """... and what to set; never what they are."""
    monkeypatch.setenv(name, value)
    with ModalReranker(faulty) as reranker, pytest.raises(AuthenticationError, match=message) as raised:
        reranker.get_scores("q", PASSAGES)
    assert "modal token new" in raised.value.remedy
    assert "as-wrong" not in str(raised.value)


def test_doctor_says_what_to_do_about_a_refused_token(loopback: LocalModal) -> None:
    """The whole way by the command line: exit status 1, and the cure."""
    environment = {**loopback.environment, "MODAL_TOKEN_SECRET": "as-wrong", "RERANKER_SERVICE": "modal"}
    done = run(["rerankit", "doctor"], environment, succeeds=False)
    assert done.returncode == 1
    assert "refused the token from the environment" in done.stdout
    assert "modal token new" in done.stdout
    assert "as-wrong" not in done.stdout + done.stderr


def test_doctor_says_what_to_do_about_an_unreachable_server(loopback: LocalModal, closed_port: str) -> None:
    """Within the connect time-out, and not after the minute that modal takes."""
    unreachable = {"MODAL_SERVER_URL": closed_port, "RERANKER_ARGS__CONNECT_TIMEOUT": "1"}
    done = run(["rerankit", "doctor", "modal"], {**unreachable, "RERANKER_SERVICE": "modal"}, succeeds=False)
    assert done.returncode == 1
    assert "did not answer within 1 s" in done.stdout
    assert "status.modal.com" in done.stdout


def test_an_image_that_cannot_be_built_names_its_log(loopback: LocalModal, models: dict[str, Path]) -> None:
    """A package that is not there: nothing is deployed, and modal's command shows why."""
    wrong = {"RERANKIT_MODAL_PACKAGES": "/root/absent.whl", "RERANKIT_MODAL_MODEL": str(models["other"])}
    done = run(
        ["rerankit", "modal", "deploy"],
        {**loopback.environment, **wrong, "RERANKIT_MODAL_APP_NAME": "unbuilt"},
        succeeds=False,
    )
    assert done.returncode == 5
    assert "an image could not be built" in done.stderr
    assert "modal image logs im-" in done.stderr
    assert "unbuilt" not in loopback.control.deployed


@pytest.mark.slow
def test_deploying_to_an_unreachable_server_says_so(loopback: LocalModal, closed_port: str) -> None:
    """Without a traceback, before anything is built; takes the 10 s that a connection may."""
    done = run(["rerankit", "modal", "deploy"], {"MODAL_SERVER_URL": closed_port}, succeeds=False)
    assert done.returncode == 5
    assert "did not answer within 10 s" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_credentials_at_all(loopback: LocalModal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is sent, and the cure is named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODAL_TOKEN_ID")
    monkeypatch.delenv("MODAL_TOKEN_SECRET")
    with ModalReranker("any") as reranker, pytest.raises(AuthenticationError, match="there is no Modal token"):
        reranker.get_scores("q", PASSAGES)


def test_modal_token_is_accepted_for_the_id(
    loopback: LocalModal, faulty: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The name that existing ``.env`` files use."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MODAL_TOKEN_ID")
    monkeypatch.delenv("MODAL_TOKEN_SECRET")
    token = loopback.environment
    lines = [f"MODAL_TOKEN={token['MODAL_TOKEN_ID']}", f"MODAL_TOKEN_SECRET={token['MODAL_TOKEN_SECRET']}"]
    (tmp_path / ".env").write_text("\n".join(lines))
    with ModalReranker(faulty) as reranker:
        assert reranker.get_scores("q", ["x" * 50]) == [0.5]
        assert reranker.engine.credentials.source == ".env"


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("server", ["silent_server", "closed_port"])
def test_a_modal_that_cannot_be_reached_costs_the_connect_timeout(
    loopback: LocalModal, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, server: str
) -> None:
    """Modal's own client would go on trying for up to a minute."""
    monkeypatch.setenv("MODAL_SERVER_URL", request.getfixturevalue(server))
    started = time.monotonic()
    with ModalReranker("any", connect_timeout=1) as reranker:
        with pytest.raises(UnavailableError, match=r"did not answer within 1 s|cannot be reached") as raised:
            reranker.get_scores("q", PASSAGES)
        assert time.monotonic() - started < 20, "modal itself goes on for 39 to 56 s"
    assert raised.value.retryable


def test_a_server_lost_in_mid_call_costs_the_timeout(
    tmp_path: Path, image_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends by our deadline, as unavailable."""
    with LocalModal(tmp_path, image_cache) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        run(["modal", "deploy", str(APPS / "faulty.py")], server.environment)
        with ModalReranker("faulty", "stuck", timeout=4) as reranker:
            threading.Timer(2, server.stop).start()
            with pytest.raises(UnavailableError) as raised:
                reranker.get_scores("q", PASSAGES)
    assert raised.value.retryable


async def test_cancelling_the_caller_ends_the_call(loopback: LocalModal, faulty: str) -> None:
    """Nothing is waited for."""
    async with ModalReranker(faulty, "stuck") as reranker:
        call = asyncio.ensure_future(reranker.aget_scores("q", PASSAGES))
        await asyncio.sleep(1)
        call.cancel()
        started = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert time.monotonic() - started < 20, "the function itself sleeps for 50 s"
