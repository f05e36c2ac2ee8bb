"""Handlers as plain methods: each takes the request and returns, awaits or yields the response."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, TypeVar

from grpclib import GRPCError, Status
from grpclib.events import RecvRequest
from grpclib.server import Stream
from modal_proto import api_pb2 as pb
from modal_proto.api_grpc import ModalClientBase

MODAL_VERSION = "1.6.4"
CONTAINER_HEADER = "x-local-container"
"""Containers are told apart by a header that their environment injects (MODAL_OVERRIDE_HEADERS)."""

T = TypeVar("T")
RPCS: frozenset[str] = ModalClientBase.__abstractmethods__


class Service:
    """What every group of handlers stands on."""

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        self.container_ids: set[str] = set()
        self.requests: list[tuple[str, str]] = []
        """(client type, RPC) of everything that was asked."""
        self.refusals: dict[str, Status] = {}
        """RPCs that a test wants refused."""
        self.unimplemented: list[str] = []
        self._caller: ContextVar[str] = ContextVar("caller")
        self._waiters: set[asyncio.Event] = set()
        self._background: set[asyncio.Future[Any]] = set()

    async def authenticate(self, event: RecvRequest) -> None:
        rpc = event.method_name.rsplit("/", 1)[1]
        headers = {key: str(value) for key, value in event.metadata.items()}
        kind = headers.get("x-modal-client-type", "")
        self.requests.append((kind, rpc))
        if kind == str(pb.CLIENT_TYPE_CONTAINER):
            container = headers.get(CONTAINER_HEADER, "")
            if container not in self.container_ids:
                raise GRPCError(Status.UNAUTHENTICATED, "Unknown container")
            self._caller.set(container)
        else:
            token = headers.get("x-modal-token-id", "")
            if not token or self.tokens.get(token) != headers.get("x-modal-token-secret"):
                raise GRPCError(Status.UNAUTHENTICATED, "Token validation failed")
            self._caller.set(token)
        if rpc in self.refusals:
            raise GRPCError(self.refusals[rpc], f"{rpc} was refused")

    @property
    def caller(self) -> str:
        """The token, or the container, whose request is being handled."""
        return self._caller.get()

    def notify(self) -> None:
        """Something happened: whoever waits looks again."""
        for event in self._waiters:
            event.set()

    async def wait_for(self, predicate: Callable[[], T], seconds: float) -> T:
        """The predicate's value once it is true, or what it is after ``seconds``.

        An event a waiter, since ``asyncio.Condition`` with ``wait_for`` loses its lock on Python 3.11.
        """
        loop, event = asyncio.get_running_loop(), asyncio.Event()
        end = loop.time() + seconds
        self._waiters.add(event)
        try:
            while not (found := predicate()) and loop.time() < end:
                event.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), end - loop.time())
            return found
        finally:
            self._waiters.discard(event)

    def spawn(self, coroutine: Any) -> asyncio.Future[Any]:
        task: asyncio.Future[Any] = asyncio.ensure_future(coroutine)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:22]}"


def found(table: Mapping[str, T], key: str, what: str) -> T:
    if key not in table:
        raise GRPCError(Status.NOT_FOUND, f"{what} '{key}' not found")
    return table[key]


def servicer(cls: type[Any]) -> type[Any]:
    """``cls`` as a complete grpclib servicer: its handlers wrapped, all other RPCs answered UNIMPLEMENTED.

    Raises:
        RuntimeError: a handler of ours is no RPC of the installed modal: its protocol has moved.
    """
    ours = {name for name in dir(cls) if name[0].isupper() and callable(getattr(cls, name))}
    if moved := sorted(ours - RPCS):
        raise RuntimeError(
            f"modal's protocol moved: it has no {', '.join(moved)} any more. The control plane in tests/modal "
            f"was written for modal {MODAL_VERSION}; install that, or adapt the handlers and MODAL_VERSION."
        )
    wrapped = {name: _rpc(getattr(cls, name)) if name in ours else _refusal(name) for name in RPCS}
    return type(cls.__name__, (cls, ModalClientBase), wrapped)


def _rpc(handler: Callable[..., Any]) -> Callable[..., Any]:
    async def rpc(self: Service, stream: Stream[Any, Any]) -> None:
        request = await stream.recv_message()
        answer = handler(self, request)
        if inspect.isasyncgen(answer):
            async for message in answer:
                await stream.send_message(message)
        else:
            await stream.send_message(await answer if inspect.isawaitable(answer) else answer)

    return rpc


def _refusal(name: str) -> Callable[..., Any]:
    async def rpc(self: Service, stream: Stream[Any, Any]) -> None:
        self.unimplemented.append(name)
        raise GRPCError(
            Status.UNIMPLEMENTED,
            f"tests/modal/control_plane has no handler for {name}, which modal {MODAL_VERSION} asked for; add one",
        )

    return rpc
