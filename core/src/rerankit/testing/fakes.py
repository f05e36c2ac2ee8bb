"""A reranker without a model: real enough for an application's tests, and able to fail in every way a backend can."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, ScoreBatch, ScoreKind, ScoreRequest

__all__ = ["FakeReranker", "Fault", "not_finite", "one_too_few", "word_overlap"]

Fault: TypeAlias = BaseException | Callable[[list[float]], Sequence[float]] | None
"""What happens to one call: an exception is raised, a function spoils the scores, ``None`` leaves it alone."""

_WORD = re.compile(r"\w+")


def word_overlap(query: str, document: str) -> float:
    """The share in [0, 1] of the query's words that the document has."""
    wanted = set(_WORD.findall(query.lower()))
    return len(wanted & set(_WORD.findall(document.lower()))) / len(wanted) if wanted else 0.0


def one_too_few(scores: list[float]) -> list[float]:
    """The fault of a backend that loses a document."""
    return scores[:-1]


def not_finite(scores: list[float]) -> list[float]:
    """The fault of a backend whose first score is NaN."""
    return [math.nan, *scores[1:]]


class FakeReranker(PairReranker):
    """Scores by ``score`` and remembers what it was asked.

    ::

        FakeReranker()                                                      # works: shared words
        FakeReranker(lambda query, document: prices[document])              # works: your scores
        FakeReranker(delay=0.2)                                             # slow
        FakeReranker(faults=itertools.repeat(UnavailableError("down")))     # down
        FakeReranker(faults=[OverloadedError("busy")] * 2)                  # busy twice, then works
        FakeReranker(faults=itertools.cycle([UnavailableError("x"), None])) # flaps
        FakeReranker(faults=[one_too_few, not_finite])                      # breaks the protocol twice

    Args:
        score: gives the score of a (query, document) pair.
        delay: seconds a call takes; it ends early at the request's deadline and when it is cancelled.
        faults: one a call, in order; when they are used up, calls succeed.
        capabilities: what it says it can do.
        fingerprint: what it says its scores depend on beside the pair; ``None`` forbids caching.

    Attributes:
        requests: every request it got, in order, failed ones too.
        closed: how many times it was closed.
    """

    def __init__(
        self,
        score: Callable[[str, str], float] = word_overlap,
        *,
        delay: float = 0.0,
        faults: Iterable[Fault] = (),
        capabilities: Capabilities | None = None,
        fingerprint: str | None = None,
    ) -> None:
        self.capabilities = capabilities or Capabilities(ScoreKind.PROBABILITY, max_concurrency=64)
        self.requests: list[ScoreRequest] = []
        self.closed = 0
        self._score = score
        self._delay = delay
        self._faults: Iterator[Fault] = iter(faults)
        self._fingerprint = fingerprint
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str | None:
        """As given."""
        return self._fingerprint

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """The score of each pair, after ``delay``, or this call's fault."""
        with self._lock:
            self.requests.append(request)
            fault = next(self._faults, None)
        _wait(request, self._delay)
        if isinstance(fault, BaseException):
            raise fault
        scores = [self._score(query, document) for query, document in request.pairs]
        return ScoreBatch(scores if fault is None else fault(scores), model="fake")

    def close(self) -> None:
        """Count it."""
        self.closed += 1


def _wait(request: ScoreRequest, seconds: float) -> None:
    end = time.monotonic() + seconds
    request.raise_if_stopped()
    while (left := end - time.monotonic()) > 0:
        if (remaining := request.remaining()) is not None:
            left = min(left, max(remaining, 0.0))
        if request.cancelled is None:
            time.sleep(left)
        else:
            request.cancelled.wait(left)
        request.raise_if_stopped()
