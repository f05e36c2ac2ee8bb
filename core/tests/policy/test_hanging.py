"""A plain backend that hangs cannot be interrupted; its callers get their answer at the deadline all the same."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from rerankit import AbstractReranker, Capabilities, ScoreKind
from rerankit.detached import DetachedCalls
from rerankit.errors import DeadlineExceededError, UnavailableError
from rerankit.policy.compose import apply_policy
from rerankit.policy.front import FrontReranker
from rerankit.policy.settings import PolicySettings
from rerankit.testing import FakeReranker

DEADLINE = 0.1


class Hanging(AbstractReranker):
    """Answers when it is let go."""

    capabilities = Capabilities(ScoreKind.PROBABILITY)

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.entered = 0

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        self.entered += 1
        self.let_go.wait()
        return [0.5] * len(documents)


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    backend = Hanging()
    yield backend
    backend.let_go.set()
    for thread in threading.enumerate():
        if thread.name.startswith("rerankit-call"):
            thread.join(10)


def around(backend: AbstractReranker, **policy: Any) -> FrontReranker:
    settings = PolicySettings.model_validate({"deadline_s": DEADLINE, "breaker_failures": 0, **policy})
    return apply_policy(backend, settings, lambda name, args: FakeReranker())


def synchronous(reranker: FrontReranker) -> list[float]:
    return reranker.get_scores("red", ["red"])


def asynchronous(reranker: FrontReranker) -> list[float]:
    return asyncio.run(reranker.aget_scores("red", ["red"]))  # its end waits for the threads of the loop's own pool


Call = Callable[[FrontReranker], list[float]]


@pytest.mark.parametrize("call", [synchronous, asynchronous])
def test_the_caller_gets_a_deadline_error(hanging: Hanging, call: Call) -> None:
    """While the backend still hangs."""
    with pytest.raises(DeadlineExceededError):
        call(around(hanging))
    assert not hanging.let_go.is_set()


@pytest.mark.parametrize("call", [synchronous, asynchronous])
def test_the_fallback_has_the_other_half_of_the_time(hanging: Hanging, call: Call) -> None:
    """It answers, degraded."""
    reranker = around(hanging, fallback=["fake"], deadline_s=2)
    assert call(reranker) == [1.0]
    assert reranker.rerank("red", ["red"]).degraded


@pytest.mark.parametrize("call", [synchronous, asynchronous])
def test_so_many_calls_are_left_behind_and_no_more(hanging: Hanging, call: Call) -> None:
    """The ninth does not reach the backend; once one has come back, the next one does."""
    reranker = around(hanging, deadline_s=0.02)
    for _ in range(8):
        with pytest.raises(DeadlineExceededError):
            call(reranker)
    with pytest.raises(UnavailableError, match="8 calls of Hanging did not end"):
        call(reranker)
    assert hanging.entered == 8
    hanging.let_go.set()
    for thread in threading.enumerate():
        if thread.name == "rerankit-call-Hanging":
            thread.join(10)
    assert call(around(hanging)) == [0.5]
    assert call(reranker) == [0.5]


def test_without_a_deadline_there_is_no_thread(hanging: Hanging) -> None:
    """It runs in the caller's own."""
    seen: list[threading.Thread] = []

    class Notes(Hanging):
        def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
            seen.append(threading.current_thread())
            return [0.5]

    assert synchronous(around(Notes(), deadline_s=None)) == [0.5]
    assert seen == [threading.current_thread()]


def test_a_call_sees_its_callers_context_and_its_errors_come_back() -> None:
    """A span of the caller stays the current one, and a TimeoutError of the backend is no deadline."""
    variable = contextvars.ContextVar("variable", default="none")
    variable.set("the caller's")
    calls = DetachedCalls("x")
    assert calls.call(10, variable.get) == "the caller's"
    assert asyncio.run(calls.acall(variable.get)) == "the caller's"

    def late() -> None:
        raise TimeoutError("the backend's")

    with pytest.raises(TimeoutError, match="the backend's"):
        calls.call(10, late)
    with pytest.raises(TimeoutError, match="the backend's"):
        asyncio.run(calls.acall(late))


PROGRAM = """
import threading
from rerankit import AbstractReranker
from rerankit.errors import DeadlineExceededError
from rerankit.policy.compose import apply_policy
from rerankit.policy.settings import PolicySettings

class Hanging(AbstractReranker):
    def get_scores(self, query, documents):
        threading.Event().wait()

try:
    apply_policy(Hanging(), PolicySettings(deadline_s=0.1), None).get_scores("q", ["a"])
except DeadlineExceededError:
    print("late")
"""


def test_what_hangs_does_not_hold_up_the_end_of_the_program() -> None:
    """A pool's threads would be waited for."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "late\n")
