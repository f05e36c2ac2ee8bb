"""An exchange with a service, written once as a generator, and carried by whoever the caller is."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx

from rerankit_local_service.connection import Connection
from rerankit_local_service.failures import from_transport

__all__ = ["Send", "Talk", "acarry", "carry"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """One request over HTTP; sent back the response, or thrown the typed error."""

    method: str
    path: str
    seconds: float
    body: Any = None
    headers: Mapping[str, str] | None = None

    @property
    def options(self) -> dict[str, Any]:
        """As httpx takes them."""
        return {"headers": self.headers} if self.body is None else {"headers": self.headers, "json": self.body}


Talk: TypeAlias = Generator[Send, httpx.Response, T]


def carry(talk: Talk[T], connection: Connection, service: str) -> T:
    """What ``talk`` returns; its requests are sent from this thread."""
    try:
        step = next(talk)
        while True:
            try:
                response = connection.send(step.method, step.path, step.seconds, **step.options)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                step = talk.throw(from_transport(error, connection.url, service, step.seconds))
            else:
                step = talk.send(response)
    except StopIteration as end:
        result: T = end.value
        return result


async def acarry(talk: Talk[T], connection: Connection, service: str) -> T:
    """``carry`` for asynchronous callers; cancelling it hangs up."""
    try:
        step = next(talk)
        while True:
            try:
                # httpx counts the time between two signs of life; this one counts it all.
                async with asyncio.timeout(step.seconds):
                    response = await connection.asend(step.method, step.path, step.seconds, **step.options)
            except TimeoutError:
                timeout = httpx.ReadTimeout("too late")
                step = talk.throw(from_transport(timeout, connection.url, service, step.seconds))
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                step = talk.throw(from_transport(error, connection.url, service, step.seconds))
            else:
                step = talk.send(response)
    except StopIteration as end:
        result: T = end.value
        return result
