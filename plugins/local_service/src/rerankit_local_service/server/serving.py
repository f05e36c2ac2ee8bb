"""One model being served: loaded when the service starts, tested, batched, dropped when idle, loaded again."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from rerankit.errors import BackendError, ColdStartTimeoutError, OverloadedError, RerankitError, UnavailableError
from rerankit.policy.batching import BatchingReranker
from rerankit.policy.guard import GuardReranker
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities
from rerankit_local_service.server.selftest import self_test
from rerankit_local_service.server.settings import ServerSettings

__all__ = ["ModelSpec", "ServedModel", "State"]

_RETRY_LOAD_S = 30.0
"""A model that failed to load is tried again by the first request this long after."""
_STILL_LOADING_S = 5.0
"""When a caller that could not wait for a model is told to come back."""
_STILL_IN_USE_S = 1.0
"""When who wants to drop a model that is in use is told to come back."""

T = TypeVar("T")
_log = logging.getLogger(__name__)


class State(StrEnum):
    """Where a model is."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"
    UNLOADED = "unloaded"


@dataclass(frozen=True)
class ModelSpec:
    """What to serve.

    Attributes:
        name: what callers call it.
        service: the installed service that makes it.
        build: makes the backend; may take minutes.
        arguments: the service's arguments, with no secrets in the repr.
        aliases: other names callers may use; ``*`` stands for any.
    """

    name: str
    service: str
    build: Callable[[], PairReranker]
    arguments: Mapping[str, Any] = field(default_factory=dict, repr=False)
    aliases: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All names it answers to, without those of its weights, which are known once it is loaded."""
        given = self.arguments.get("model_name_or_path")
        return self.aliases | {self.name, self.service} | ({str(given)} if given else set())


class ServedModel:
    """A model and its life. All methods belong to the service's event loop."""

    def __init__(self, spec: ModelSpec, settings: ServerSettings) -> None:
        self.spec = spec
        self.state = State.UNLOADED
        self.error: RerankitError | None = None
        self.model: str | None = None
        self.revision: str | None = None
        self.facts: Mapping[str, str] = {}
        self.capabilities = Capabilities()
        self.fingerprint: str | None = None
        self._settings = settings
        self._reranker: BatchingReranker | None = None
        self._loading: asyncio.Task[BatchingReranker] | None = None
        self._ended_at = 0.0
        self._in_use = 0

    @property
    def reranker(self) -> BatchingReranker | None:
        """The loaded model, for figures."""
        return self._reranker

    @property
    def device(self) -> str:
        """Where the model computes, as far as its backend says."""
        return self.facts.get("device", "unknown")

    @property
    def label(self) -> str:
        """What answers call the model."""
        given = self.spec.arguments.get("model_name_or_path")
        return self.model or (str(given) if given else self.spec.name)

    @property
    def names(self) -> frozenset[str]:
        """What callers may call it."""
        return self.spec.names | {self.label}

    def start_loading(self) -> asyncio.Task[BatchingReranker]:
        """Load, unless that is under way or done; gives what there is to wait for."""
        if self._loading is None:
            self.state, self.error = State.LOADING, None
            self._loading = asyncio.create_task(self._load(), name=f"load {self.spec.name}")
            self._loading.add_done_callback(_heard)
        return self._loading

    @asynccontextmanager
    async def in_use(self, seconds: float) -> AsyncIterator[BatchingReranker]:
        """The loaded model; waits for it, and keeps it from being dropped meanwhile.

        Raises:
            ColdStartTimeoutError: it is still loading after ``seconds``.
            UnavailableError: it could not be loaded; says why.
        """
        self._in_use += 1
        try:
            yield await self._loaded(seconds)
        finally:
            self._in_use -= 1
            self._ended_at = time.monotonic()

    async def unload(self) -> bool:
        """Drop the model; whether there was something to drop.

        Raises:
            OverloadedError: it is in use, or being loaded.
        """
        if self._in_use or self.state is State.LOADING:
            raise OverloadedError(
                f"{self.spec.name} is in use, and is dropped only when nobody is waiting for it",
                remedy="try again when its requests are done",
                service=self.spec.name,
                retry_after=_STILL_IN_USE_S,
            )
        return await self.unload_if_idle(0.0)

    async def unload_if_idle(self, seconds: float) -> bool:
        """Drop the model if it is loaded and nobody used it for ``seconds``; whether it was dropped."""
        idle = time.monotonic() - self._ended_at
        if self.state is not State.READY or self._in_use or idle < seconds:
            return False
        _log.info("model unloaded", extra={"model": self.spec.name, "idle_s": round(idle, 1)})
        reranker, self._reranker, self._loading = self._reranker, None, None
        self.state = State.UNLOADED
        if reranker is not None:
            await in_thread(reranker.close)
            gc.collect()
        return True

    async def close(self) -> None:
        """Give up loading, and release the model."""
        if self._loading is not None and not self._loading.done():
            self._loading.cancel()
        if self._reranker is not None:
            await in_thread(self._reranker.close)

    async def _loaded(self, seconds: float) -> BatchingReranker:
        if self._reranker is not None:
            return self._reranker
        if self.state is State.FAILED and time.monotonic() - self._ended_at >= _RETRY_LOAD_S:
            self._loading = None
        try:
            # Shielded: one caller's patience must not end the loading that others wait for.
            return await asyncio.wait_for(asyncio.shield(self.start_loading()), max(0.0, seconds))
        except TimeoutError as error:
            if isinstance(error, RerankitError):
                raise self._failed(error) from None
            raise ColdStartTimeoutError(
                f"{self.spec.name} is still loading", service=self.spec.name, retry_after=_STILL_LOADING_S
            ) from None
        except RerankitError as error:
            raise self._failed(error) from None

    def _failed(self, error: RerankitError) -> UnavailableError:
        return UnavailableError(
            f"{self.spec.name} could not be loaded: {error.message} [{error.code}]",
            remedy=error.remedy,
            service=self.spec.name,
            retry_after=_RETRY_LOAD_S,
        )

    async def _load(self) -> BatchingReranker:
        started = time.monotonic()
        try:
            reranker = self._reranker = await in_thread(self._build)
        except Exception as error:
            self.error = error if isinstance(error, RerankitError) else _wrapped(error, self.spec)
            self.state, self._ended_at = State.FAILED, time.monotonic()
            # The reason goes to the operator's log; it holds no request's text.
            _log.error("model failed", extra={"model": self.spec.name, "code": self.error.code, "why": str(self.error)})
            raise self.error from None
        self.state, self._ended_at = State.READY, time.monotonic()
        seconds = round(self._ended_at - started, 2)
        _log.info("model ready", extra={"model": self.spec.name, "weights": self.model, "seconds": seconds})
        return reranker

    def _build(self) -> BatchingReranker:
        inner = self.spec.build()
        try:
            batch = self_test(inner, self.spec.name, order=self._settings.self_test)
            # The backend's own check, which may compare the model's published scores.
            self.facts = inner.diagnose() if self._settings.self_test else {}
        except BaseException:
            inner.close()
            raise
        self.model, self.revision = batch.model, batch.revision
        self.capabilities, self.fingerprint = inner.capabilities, inner.fingerprint
        return BatchingReranker(
            GuardReranker(inner),
            max_batch_tokens=self._settings.max_batch_tokens,
            max_queue_tokens=self._settings.max_queue_tokens,
            refuse_late=True,
        )


def _heard(task: asyncio.Task[BatchingReranker]) -> None:
    """What went wrong is in the model's state; nobody need be waiting for the task itself."""
    if not task.cancelled():
        task.exception()


def _wrapped(error: Exception, spec: ModelSpec) -> RerankitError:
    return BackendError(f"{spec.service} raised {type(error).__name__}: {error}", service=spec.name)


async def in_thread(function: Callable[[], T]) -> T:
    """``function`` in a daemon thread, which a process that has to end leaves behind."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="rerankit-serving", daemon=True).start()
    return await asyncio.wrap_future(future)
