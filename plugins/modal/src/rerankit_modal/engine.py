"""Calls to a deployed app, by name, each within a deadline of our own.

Modal's client tries for up to a minute to reach a server that is not there; nobody's search waits that long.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from rerankit.errors import (
    AppNotFoundError,
    ClassNotFoundError,
    FunctionNotFoundError,
    RerankitError,
    RerankTimeoutError,
)
from rerankit_modal.credentials import Credentials, find_credentials
from rerankit_modal.failures import SERVICE, cold_start, translated, unreachable

__all__ = ["ContainerFigures", "ModalEngine"]

T = TypeVar("T")
_FIGURES_S = 3.0
"""What finding out why a call took too long may cost on top."""


@dataclass(frozen=True, slots=True)
class ContainerFigures:
    """A function's containers now: how many there are, and how many inputs run and wait."""

    containers: int
    running: int
    waiting: int


class ModalEngine:
    """Calls one app. Nothing is connected before the first call, and look-ups happen once.

    Names are those of functions (``"inference_api"``) or of methods (``"Scorer.score_pairs"``). May be used from
    several threads and event loops, and on both sides of a fork.

    Args:
        app_name: the deployed app.
        connect_timeout: seconds to connect and to look a name up.

    Raises (all calls):
        AuthenticationError, AppNotFoundError, FunctionNotFoundError, ClassNotFoundError, ColdStartTimeoutError,
        RerankTimeoutError, OutOfMemoryError, OverloadedError, UnavailableError, BackendError: see
        ``rerankit_modal.failures``.
    """

    def __init__(self, app_name: str, *, connect_timeout: float = 10.0) -> None:
        self.app_name = app_name
        self._connect_timeout = connect_timeout
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        self._pid = os.getpid()
        self._client: Any = None
        self._credentials: Credentials | None = None
        self._handles: dict[str, Any] = {}

    @property
    def credentials(self) -> Credentials:
        """The token in use.

        Raises:
            AuthenticationError: there is none.
        """
        if self._credentials is None:
            self._credentials = find_credentials()
        return self._credentials

    async def call(self, name: str, *args: Any, seconds: float, **keywords: Any) -> Any:
        """The result of the function or method ``name``, within ``seconds``."""
        handle = await self._handle(name)
        task = asyncio.ensure_future(handle.remote.aio(*args, **keywords))
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
            if not done:
                raise await self._too_long(name, seconds)
            return task.result()
        except Exception as error:
            raise self._failed(error) from _shown(error)
        finally:
            task.cancel()

    async def stream(self, name: str, *args: Any, seconds: float) -> AsyncGenerator[Any]:
        """What the generator ``name`` yields, as it comes, all within ``seconds``."""
        handle = await self._handle(name)
        end = asyncio.get_running_loop().time() + seconds
        async with aclosing(handle.remote_gen.aio(*args)) as items:
            while True:
                # A limit an item: the caller may ask for each from another task.
                limit = asyncio.timeout_at(end)
                try:
                    async with limit:
                        item = await anext(items)
                except StopAsyncIteration:
                    return
                except Exception as error:
                    if limit.expired():
                        raise await self._too_long(name, seconds) from None
                    raise self._failed(error) from _shown(error)
                yield item

    async def client(self) -> Any:
        """The open connection to Modal; the first call makes it."""
        import modal

        with self._lock:
            if self._pid != os.getpid():  # a forked child cannot use its parent's connection
                self._reset()
            kept = self._client
        if kept is None:
            token = self.credentials
            opened = await self._connecting(modal.Client.from_credentials.aio(token.token_id, token.token_secret))
            with self._lock:
                kept = self._client = self._client or opened
            if kept is not opened:  # another caller was faster
                await opened.close.aio()
        return kept

    async def figures(self, name: str) -> ContainerFigures:
        """How many containers ``name`` has, and what they do; asking starts none."""
        handle = await self._handle(name)
        stats = await self._connecting(handle.get_current_stats.aio())
        return ContainerFigures(stats.num_total_runners, stats.num_running_inputs, stats.backlog)

    async def aclose(self) -> None:
        """Close the connection; the next call opens another. May be called more than once."""
        client = self._client if self._pid == os.getpid() else None
        self._reset()
        if client is not None:
            await client.close.aio()

    async def _handle(self, name: str) -> Any:
        """The function or bound method, looked up once."""
        import modal

        client = await self.client()
        if name not in self._handles:
            owner, dot, method = name.partition(".")
            if dot:
                cls = modal.Cls.from_name(self.app_name, owner, client=client)
                await self._looked_up(cls, ClassNotFoundError, owner)
                self._handles[name] = getattr(cls(), method)
            else:
                function = modal.Function.from_name(self.app_name, name, client=client)
                await self._looked_up(function, FunctionNotFoundError, name)
                self._handles[name] = function
        return self._handles[name]

    async def _looked_up(self, handle: Any, missing: type[RerankitError], name: str) -> None:
        from modal.exception import NotFoundError

        try:
            await self._connecting(handle.hydrate.aio())
        except NotFoundError:
            if not await self._app_exists():
                raise AppNotFoundError(
                    f"there is no app named {self.app_name!r} on Modal",
                    remedy="run `rerankit modal deploy`; `modal app list` shows what is deployed",
                    value=self.app_name,
                    service=SERVICE,
                ) from None
            kind = "class" if missing is ClassNotFoundError else "function"
            raise missing(
                f"app {self.app_name!r} has no {kind} named {name!r}",
                remedy=f"run `modal app info {self.app_name}` to see what it has, or `rerankit modal deploy`",
                value=name,
                service=SERVICE,
            ) from None

    async def _app_exists(self) -> bool:
        import modal
        from modal.exception import NotFoundError

        try:
            await self._connecting(modal.App.lookup.aio(self.app_name, client=self._client))
        except NotFoundError:
            return False
        return True

    async def _connecting(self, step: Awaitable[T]) -> T:
        """A step before the call itself, within ``connect_timeout``. ``NotFoundError`` passes as it is."""
        from modal.exception import NotFoundError

        try:
            async with asyncio.timeout(self._connect_timeout) as limit:
                return await step
        except NotFoundError:
            raise
        except Exception as error:
            if limit.expired():
                raise unreachable(f"Modal did not answer within {self._connect_timeout:g} s") from None
            raise translated(error, self.app_name, self.credentials.source) from _shown(error)

    def _failed(self, error: Exception) -> RerankitError:
        """The error of a call."""
        mapped = translated(error, self.app_name, self.credentials.source)
        if isinstance(mapped, AppNotFoundError):
            self._handles.clear()  # what is deployed later has other functions
        return mapped

    async def _too_long(self, name: str, seconds: float) -> RerankitError:
        """Why a call took too long: what Modal says about its containers tells a cold start from a slow function."""
        try:
            async with asyncio.timeout(_FIGURES_S):
                now = await self.figures(name)
        except Exception:
            return unreachable(f"Modal did not answer within {seconds:g} s and cannot be asked why")
        if now.waiting and not now.running:
            return cold_start(
                f"the request timed out during cold start: after {seconds:g} s it still waited for a container",
                self.app_name,
            )
        return RerankTimeoutError(
            f"{self.app_name!r} did not answer within {seconds:g} s "
            f"(containers: {now.containers}, requests running: {now.running}, waiting: {now.waiting})",
            remedy=(
                "send fewer documents, raise reranker_args.timeout, or, where requests wait, raise "
                "RERANKIT_MODAL_MAX_CONTAINERS and run `rerankit modal deploy`"
            ),
            service=SERVICE,
        )


def _shown(error: BaseException) -> BaseException | None:
    """The cause to show: modal's own errors, not the remote traceback that it attaches to others'."""
    return None if isinstance(error, RerankitError) else error
