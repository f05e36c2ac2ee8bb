"""Calls that can be left behind: how a deadline is kept by code that cannot be told of it."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from rerankit.errors import DeadlineExceededError, UnavailableError

__all__ = ["DetachedCalls"]

T = TypeVar("T")


class DetachedCalls:
    """Runs each call in a daemon thread of its own; a caller that goes leaves it to end when it will.

    Not in a pool: what hangs must neither take the places of other work nor hold up the end of the program. What was
    left behind is counted, so that a backend that hangs for good does not gather threads.

    Args:
        label: who is called, named in errors.
        limit: so many calls may be left running.
    """

    def __init__(self, label: str, limit: int = 8) -> None:
        self._label = label
        self._limit = limit
        self._left: set[threading.Thread] = set()

    def call(self, seconds: float, function: Callable[..., T], *arguments: object) -> T:
        """The result of ``function(*arguments)``, called in a copy of the caller's context.

        Raises:
            DeadlineExceededError: it has not come after ``seconds``.
            UnavailableError: as many calls as may be were left behind, and still run.
        """
        future, thread = self._start(function, *arguments)
        try:
            return future.result(max(seconds, 0.0))
        except TimeoutError:
            if future.done():  # the function's own
                raise
            raise DeadlineExceededError("the deadline passed before the answer came", service=self._label) from None
        finally:
            self._leave(future, thread)

    async def acall(self, function: Callable[..., T], *arguments: object) -> T:
        """``call`` for asynchronous callers, who cancel it at their deadline."""
        future, thread = self._start(function, *arguments)
        try:
            return await asyncio.wrap_future(future)
        finally:
            self._leave(future, thread)

    def _start(self, function: Callable[..., T], *arguments: object) -> tuple[Future[T], threading.Thread]:
        # A forked child has its parent's list, and of the threads in it none is alive.
        self._left = {thread for thread in self._left if thread.is_alive()}
        if len(self._left) >= self._limit:
            raise UnavailableError(
                f"{len(self._left)} calls of {self._label} did not end by their deadline and still run",
                remedy="restart the process, and give the backend a time limit of its own",
                service=self._label,
            )
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()  # what runs cannot be cancelled: its caller goes, the future stays

        def run() -> None:
            try:
                future.set_result(function(*arguments))
            except BaseException as error:
                future.set_exception(error)

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(run,), name=f"rerankit-call-{self._label}", daemon=True)
        thread.start()
        return future, thread

    def _leave(self, future: Future[T], thread: threading.Thread) -> None:
        if not future.done():
            self._left.add(thread)
