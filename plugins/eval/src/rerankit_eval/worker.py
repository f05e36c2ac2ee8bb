"""A contender in a process of its own: its start, its memory and its end are its own, and nobody else's."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from rerankit import PairReranker
from rerankit.errors import BackendError, RerankitError
from rerankit_eval.contenders import Contender
from rerankit_eval.machine import peak_memory

__all__ = ["Answer", "Worker"]

_START_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One call: ``seconds`` it took inside the worker, tokens and truncated documents where the backend tells."""

    seconds: float
    tokens: int | None
    truncated: int | None


class Worker:
    """Starts the process and makes the first call, which is what a cold start costs.

    Attributes:
        cold_seconds: from starting the process to the first scores: interpreter, imports, model, first call.

    Raises:
        RerankitError: the contender cannot be loaded, fails, or its process dies (killed for memory, say).
    """

    def __init__(self, contender: Contender, query: str, documents: Sequence[str]) -> None:
        self.contender = contender
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        started = time.perf_counter()
        self._process = context.Process(target=_serve, args=(theirs, contender), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self.rerank(query, documents)
        except BaseException:
            self.close()
            raise
        self.cold_seconds = time.perf_counter() - started

    def rerank(self, query: str, documents: Sequence[str]) -> Answer:
        """One call of ``rerank``."""
        answer: Answer = self._ask(("rerank", query, list(documents)))
        return answer

    def together(self, query: str, documents: Sequence[str], clients: int) -> float:
        """Seconds until ``clients`` threads that call ``rerank`` at the same time all have their answer."""
        seconds: float = self._ask(("together", query, list(documents), clients))
        return seconds

    def peak_memory(self) -> int | None:
        """The most bytes the process has held so far."""
        bytes_held: int | None = self._ask(("memory",))
        return bytes_held

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, question: tuple[Any, ...]) -> Any:
        try:
            self._connection.send(question)
            if not self._connection.poll(_START_SECONDS):
                raise self._died(f"did not answer within {_START_SECONDS:.0f} s")
            answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            raise self._died(f"ended with status {self._process.exitcode}") from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _died(self, how: str) -> BackendError:
        return BackendError(
            f"the process of {self.contender.label} {how}",
            remedy="see its output above; status -9 often means that memory ran out",
            service=self.contender.service,
        )


def _serve(connection: Connection, contender: Contender) -> None:
    try:
        reranker = contender.build()
    except RerankitError as error:
        connection.recv()
        connection.send(error)
        return
    with reranker:
        while True:
            try:
                question = connection.recv()
            except EOFError:
                return
            try:
                connection.send(_answered(reranker, *question))
            except RerankitError as error:
                connection.send(error)


def _answered(reranker: PairReranker, what: str, *details: Any) -> Any:
    if what == "rerank":
        return _timed(reranker, *details)
    return _together(reranker, *details) if what == "together" else peak_memory()


def _timed(reranker: PairReranker, query: str, documents: list[str]) -> Answer:
    started = time.perf_counter()
    ranking = reranker.rerank(query, documents)
    return Answer(time.perf_counter() - started, ranking.tokens, ranking.truncated)


def _together(reranker: PairReranker, query: str, documents: list[str], clients: int) -> float:
    with ThreadPoolExecutor(clients) as pool:
        started = time.perf_counter()
        calls = [pool.submit(reranker.rerank, query, documents) for _ in range(clients)]
        for call in calls:
            call.result()
        return time.perf_counter() - started
