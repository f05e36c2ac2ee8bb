"""The ``local_service`` backend: a model in another process, with all it says about its scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from rerankit.arguments import validated
from rerankit.errors import DeadlineExceededError, RerankitError, UnavailableError
from rerankit.observers.tracing import trace_headers
from rerankit.policy.merge import Part, merge
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, ScoreBatch, ScoreRequest, checked_batch
from rerankit_local_service.arguments import LocalServiceArguments, client_environment
from rerankit_local_service.connection import Connection
from rerankit_local_service.failures import from_response, json_of, not_ours, unready
from rerankit_local_service.speakers import ASSUMED, FirstService, OurService, Wanted, our_service
from rerankit_local_service.talk import Send, Talk, acarry, carry
from rerankit_local_service.wire import TIMEOUT_HEADER

__all__ = ["LocalServiceReranker"]

_GLANCE_S = 1.0
"""How long a look at the service may take when only its capabilities are asked for."""
_LOOK_AGAIN_S = 5.0
"""After a look that found nobody, or a model that is still loading."""

T = TypeVar("T")


class LocalServiceReranker(PairReranker):
    """Scores by ``rerankit serve``, or by a service of the first application's dialect.

    Making one opens no connection. Connections are kept, one pool a process and one an event loop.

    Args:
        model_name_or_path: the model to ask for; ``None`` for the service's default.
        reranker_type: its kind, where several are served.
        batch_size: for a service of the first dialect only.
        timeout: seconds a request may take; ``None``: ``RERANKER_CLIENT_TIMEOUT``, else 120.
        url: of the service; ``None``: ``RERANKER_SERVICE_URL``, else ``http://127.0.0.1:10001``.
        api_key: ``None``: ``RERANKER_API_KEY``.

    Raises:
        InvalidArgumentError: an argument, or one of those variables, is wrong.
    """

    service = "local_service"

    def __init__(
        self,
        model_name_or_path: str | None = None,
        reranker_type: str | None = None,
        batch_size: int | None = None,
        timeout: float | None = None,
        url: str | None = None,
        api_key: str | SecretStr | None = None,
    ) -> None:
        given = {
            "model_name_or_path": model_name_or_path,
            "reranker_type": reranker_type,
            "batch_size": batch_size,
            "timeout": timeout,
            "url": url,
            "api_key": api_key,
        }
        arguments = validated(LocalServiceArguments, given, service="local_service")
        environment = client_environment()
        key = arguments.api_key or environment.reranker_api_key
        self.url = (arguments.url or environment.reranker_service_url).rstrip("/")
        self.timeout = arguments.timeout or environment.reranker_client_timeout
        self._wanted = Wanted(arguments.model_name_or_path, arguments.reranker_type, arguments.batch_size)
        headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
        self._connection = Connection(self.url, headers)
        # The service, once what it says of itself stays true; and what the last look found, while it may not.
        self._speaker: OurService | FirstService | None = None
        self._seen: OurService | FirstService | None = None
        self._looked_at = float("-inf")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self.url!r}, model_name_or_path={self._wanted.model!r})"

    @property
    def capabilities(self) -> Capabilities:  # type: ignore[override]
        """The model's, within the service's limits. While the service does not answer: scores in [0, 1], no limits."""
        speaker = self._known()
        return ASSUMED if speaker is None else speaker.capabilities

    @property
    def fingerprint(self) -> str | None:
        """The model's own, as the service tells it; ``None`` while it is not known."""
        speaker = self._known()
        found = None if speaker is None else speaker.facts.get("fingerprint")
        return found if isinstance(found, str) else None

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """The scores of the service.

        Raises:
            UnavailableError: nobody answers, or the connection was lost. Retryable.
            RerankTimeoutError, DeadlineExceededError: too late.
            OverloadedError: come back after ``retry_after`` seconds. Retryable.
            AuthenticationError, ModelNotFoundError, InputError: the service refused.
            ProtocolError: what answers is no rerank service.
            RerankitError: whatever the service's backend raised.
        """
        return self._carry(self._scored(request))

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """``score_pairs`` for asynchronous callers; cancelling it hangs up, and the service drops the work."""
        return await self._acarry(self._scored(request))

    async def aprepare(self) -> None:
        """Look at the service, unless it is known or was looked at lately: for a second at most."""
        await self._acarry(self._glance())

    def diagnose(self) -> Mapping[str, str]:
        """The service's model, device and version.

        Raises:
            UnavailableError: it is not ready; says what its model says.
            RerankitError: as ``score_pairs``.
        """
        speaker = self._carry(self._introduced())
        ready = self._carry(self._asked("/ready"))
        if ready.status_code != httpx.codes.OK:
            raise unready(ready, self.url, self.label)
        told = {name: str(speaker.facts[name]) for name in ("model", "revision") if speaker.facts.get(name)}
        return {"service at": self.url, **told, **speaker.facts.get("facts", {})}

    def close(self) -> None:
        """Close the connections of synchronous callers."""
        self._connection.close()

    async def aclose(self) -> None:
        """Close the connections of this event loop, too."""
        await self._connection.aclose()

    # --- the talk, written once ----------------------------------------------------------------------

    def _scored(self, request: ScoreRequest) -> Talk[ScoreBatch]:
        request.raise_if_stopped()
        speaker = self._speaker
        if speaker is None:
            speaker = yield from self._introduced()
        parts: list[Part] = []
        start = 0
        for body in speaker.bodies(request.pairs):
            count = _count(body)
            answer = yield from self._posted(speaker, body, request)
            batch = checked_batch(speaker.batch(answer, self.label), count, self.label)
            parts.append((range(start, start + count), batch))
            start += count
            if isinstance(answer, dict) and answer.get("instance") != speaker.instance:
                self._forget()
        return parts[0][1] if len(parts) == 1 else merge(parts, start)

    def _posted(self, speaker: OurService | FirstService, body: Any, request: ScoreRequest) -> Talk[Any]:
        request.raise_if_stopped()
        remaining = request.remaining()
        headers = trace_headers()
        seconds = self.timeout
        if remaining is not None:
            seconds = min(seconds, remaining)
            headers[TIMEOUT_HEADER] = f"{remaining:.3f}"
        started = time.monotonic()
        try:
            response = yield Send("POST", speaker.path, seconds, body, headers)
        except UnavailableError:
            # Another process, with another model, may answer next time.
            self._forget()
            raise
        except TimeoutError:
            if remaining is not None and time.monotonic() - started >= remaining:
                raise DeadlineExceededError(
                    f"the deadline passed while {self.url} was scoring", service=self.label
                ) from None
            raise
        if response.status_code != httpx.codes.OK:
            raise from_response(response, self.url, self.label)
        return json_of(response, self.url, self.label)

    def _introduced(self, seconds: float | None = None) -> Talk[OurService | FirstService]:
        """Find out which kind of service is there."""
        response = yield from self._asked("/info", seconds)
        speaker: OurService | FirstService
        if response.status_code == httpx.codes.OK:
            info = json_of(response, self.url, self.label)
            if not isinstance(info, dict) or not isinstance(info.get("rerankit"), dict):
                raise not_ours(self.url, self.label)
            speaker = our_service(info["rerankit"], self._wanted, self.label)
        elif response.status_code in (httpx.codes.NOT_FOUND, httpx.codes.METHOD_NOT_ALLOWED):
            health = yield from self._asked("/health", seconds)
            if health.status_code != httpx.codes.OK or not isinstance(json_of(health, self.url, self.label), dict):
                raise not_ours(self.url, self.label)
            speaker = FirstService(self._wanted)
        else:
            raise from_response(response, self.url, self.label)
        if speaker.settled:
            self._speaker = speaker
        return speaker

    def _asked(self, path: str, seconds: float | None = None) -> Talk[httpx.Response]:
        response = yield Send("GET", path, seconds or min(self.timeout, _GLANCE_S * 10))
        return response

    def _glance(self) -> Talk[None]:
        """A short look at a service that is not known, not too often."""
        if self._speaker is not None or time.monotonic() - self._looked_at < _LOOK_AGAIN_S:
            return
        try:
            self._seen = yield from self._introduced(_GLANCE_S)
        except RerankitError:
            self._seen = None
        self._looked_at = time.monotonic()

    def _forget(self) -> None:
        self._speaker = self._seen = None
        self._looked_at = float("-inf")

    def _known(self) -> OurService | FirstService | None:
        """The service as far as it is known, by a look at it if need be."""
        self._carry(self._glance())
        return self._speaker or self._seen

    def _carry(self, talk: Talk[T]) -> T:
        return carry(talk, self._connection, self.label)

    async def _acarry(self, talk: Talk[T]) -> T:
        return await acarry(talk, self._connection, self.label)


def _count(body: Mapping[str, Any]) -> int:
    groups = body.get("groups")
    return len(body["passages"]) if groups is None else sum(len(group["documents"]) for group in groups)
