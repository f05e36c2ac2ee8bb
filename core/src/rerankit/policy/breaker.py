"""A circuit breaker: a backend that keeps failing is left alone for a while.

Our own, since the libraries for it keep separate circuits for synchronous and asynchronous callers, or let every
caller through at once when the circuit is half open.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from rerankit.errors import BackendError, CircuitOpenError
from rerankit.policy.steps import Layer, Score, Steps
from rerankit.reranker import PairReranker
from rerankit.scoring import ScoreRequest

__all__ = ["BreakerReranker", "Circuit"]


class Circuit:
    """Closed, open, or half open; shared by all callers of one backend.

    Args:
        failures: so many in a row open it.
        reset_s: seconds after which one caller may try; its success closes the circuit, its failure opens it anew.
        clock: seconds, rising.
    """

    def __init__(
        self, failures: int = 5, reset_s: float = 30.0, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = failures
        self._reset_s = reset_s
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> str:
        """``closed``, ``open`` or ``half_open``."""
        with self._lock:
            if self._opened_at is None:
                return "closed"
            return "half_open" if self._probing or self._opens_in() <= 0 else "open"

    def enter(self, label: str) -> bool:
        """Ask to make a call; whether it is the one that tries a half-open circuit.

        Raises:
            CircuitOpenError: open, or another caller is trying at the moment.
        """
        with self._lock:
            if self._opened_at is None:
                return False
            wait = self._opens_in()
            if self._probing or wait > 0:
                raise CircuitOpenError(
                    f"{label} failed {self._failures} times in a row and is left alone for now",
                    service=label,
                    retry_after=max(wait, 0.0),
                )
            self._probing = True
            return True

    def succeeded(self, *, probe: bool) -> None:
        """A call was answered. One that began before the circuit opened does not close it."""
        with self._lock:
            if probe or self._opened_at is None:
                self._failures, self._opened_at = 0, None
            if probe:
                self._probing = False

    def failed(self, *, probe: bool) -> None:
        """A call failed."""
        with self._lock:
            self._failures += 1
            if probe or (self._opened_at is None and self._failures >= self._limit):
                self._opened_at = self._clock()
            if probe:
                self._probing = False

    def left(self, *, probe: bool) -> None:
        """A call ended without telling anything about the backend."""
        if probe:
            with self._lock:
                self._probing = False

    def _opens_in(self) -> float:
        return 0.0 if self._opened_at is None else self._opened_at + self._reset_s - self._clock()


class BreakerReranker(Layer):
    """Calls the backend only while its circuit allows it.

    What counts as a failure is a ``BackendError``, a passed deadline included. Bad input and cancelled callers say
    nothing about the backend.

    Raises:
        CircuitOpenError: the backend was not called; ``retry_after`` says when it may be.
    """

    def __init__(self, inner: PairReranker, circuit: Circuit) -> None:
        super().__init__(inner)
        self.circuit = circuit

    def _steps(self, request: ScoreRequest) -> Steps:
        probe = self.circuit.enter(self.label)
        try:
            batch = yield from Score(self.inner, request)
        except BackendError:
            self.circuit.failed(probe=probe)
            raise
        except BaseException:
            self.circuit.left(probe=probe)
            raise
        self.circuit.succeeded(probe=probe)
        return batch
