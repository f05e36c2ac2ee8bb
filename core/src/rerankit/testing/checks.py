"""What the conformance suite asserts in many places, each with a message for the backend's author."""

from __future__ import annotations

import asyncio
import inspect
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rerankit.errors import InputError
from rerankit.ranking import Ranking


def check_scores(scores: object, count: int) -> None:
    """A list of ``count`` plain finite floats."""
    assert isinstance(scores, list), f"scores came as {type(scores).__name__}, not as a list"
    assert len(scores) == count, f"{len(scores)} scores for {count} documents"
    for position, score in enumerate(scores):
        assert type(score) is float, f"score {position} is {type(score).__name__}, not float: {score!r}"
        assert math.isfinite(score), f"score {position} is {score}"


def check_ranking(ranking: Ranking[Any], documents: Sequence[Any] | None = None) -> None:
    """Scored, in order and, where ``documents`` are given, each of them once and the very same object."""
    order = [(math.inf if scored.score is None else -scored.score, scored.index) for scored in ranking]
    assert order == sorted(order), f"not by score descending, then input order: {order}"
    check_scores([scored.score for scored in ranking], len(ranking))
    if documents is not None:
        assert sorted(scored.index for scored in ranking) == list(range(len(documents))), "documents lost or doubled"
        for scored in ranking:
            assert scored.document is documents[scored.index], f"document {scored.index} is not the caller's own"


def check_refused(call: Callable[..., object], *arguments: object) -> None:
    """``call(*arguments)``, awaited where it is asynchronous, raises InputError."""
    try:
        answer = call(*arguments)
        if inspect.iscoroutine(answer):
            asyncio.run(answer)
    except InputError:
        return
    except Exception as error:
        raise AssertionError(f"{arguments!r} raised {type(error).__name__}, not InputError") from error
    raise AssertionError(f"{arguments!r} was accepted; it must be an InputError")


def together(function: Callable[[int], list[float]], count: int) -> Sequence[list[float]]:
    """``function(0)`` to ``function(count - 1)``, each in a thread, all started at the same moment."""
    start = threading.Barrier(count)

    def run(number: int) -> list[float]:
        start.wait()
        return function(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
