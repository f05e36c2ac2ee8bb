"""The ``http`` service."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping, Sequence

import httpx
from pydantic import SecretStr

from rerankit.arguments import validated
from rerankit.errors import (
    AuthenticationError,
    DeadlineExceededError,
    ProtocolError,
    RerankTimeoutError,
    UnavailableError,
)
from rerankit.portal import Portal
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, ScoreBatch, ScoreKind, ScoreRequest
from rerankit_http.arguments import DialectName, HttpArguments
from rerankit_http.dialects import DIALECTS
from rerankit_http.failures import failure_of

__all__ = ["HttpReranker"]

SERVICE = "http"


class HttpReranker(PairReranker):
    """Scores documents by an endpoint of one of the common dialects.

    All requests go over one connection pool on one private event loop, whichever thread or loop asks; neither
    retries nor redirects are followed: retrying is the policy's.

    Args:
        dialect, url, model, api_key, api_key_env, timeout, max_documents, max_tokens, max_concurrency,
            score_kind: see ``HttpArguments``.

    Raises:
        InvalidArgumentError: an argument is wrong.
        AuthenticationError: a hosted API is asked for, and there is no key.
    """

    service = SERVICE

    def __init__(
        self,
        dialect: DialectName,
        url: str | None = None,
        model: str | None = None,
        api_key: SecretStr | str | None = None,
        api_key_env: str | None = None,
        timeout: float = 30.0,
        max_documents: int | None = None,
        max_tokens: int | None = None,
        max_concurrency: int = 4,
        score_kind: ScoreKind | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name in HttpArguments.model_fields}
        arguments = validated(HttpArguments, given, service=SERVICE)
        self.dialect = DIALECTS[arguments.dialect]
        self.model = arguments.model
        self.capabilities = Capabilities(
            score_kind=arguments.score_kind or self.dialect.score_kind,
            max_documents=arguments.max_documents or self.dialect.max_documents,
            max_tokens=arguments.max_tokens or self.dialect.max_tokens,
            max_concurrency=arguments.max_concurrency,
        )
        self._arguments = arguments
        self._url = _endpoint(str(arguments.url or self.dialect.url), self.dialect.path)
        self._key = self._found_key()
        self._portal = Portal()
        self._client: httpx.AsyncClient | None = None
        self._pid = 0

    @property
    def where(self) -> str:
        """The endpoint, without what a URL may hold of secrets."""
        return str(self._url.copy_with(username=None, password=None, query=None, fragment=None))

    @property
    def fingerprint(self) -> str | None:
        """Endpoint and model; ``None`` where the endpoint takes no name, since then it may change unseen."""
        return None if self.model is None else f"http:{self._arguments.dialect}:{self.where}:{self.model}"

    def diagnose(self) -> Mapping[str, str]:
        """The endpoint, the model, and whether there is a key."""
        return {
            "endpoint": self.where,
            "dialect": self._arguments.dialect,
            "model": self.model or "the server's",
            "key": "set" if self._key else "none",
        }

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        return self._portal.call(self._score(request))

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        return await self._portal.acall(self._score(request))

    def close(self) -> None:
        self._portal.call(self._disconnect())
        self._portal.close()

    async def aclose(self) -> None:
        await asyncio.to_thread(self.close)

    def _found_key(self) -> str | None:
        if self._arguments.api_key is not None:
            return self._arguments.api_key.get_secret_value()
        hosted = self._arguments.url is None
        variable = self._arguments.api_key_env or (self.dialect.key_variable if hosted else None)
        if variable is None:
            return None
        if key := os.environ.get(variable):
            return key
        raise AuthenticationError(
            f"there is no key for {self.where}: {variable} is not set",
            remedy=f"export {variable}=..., or RERANKER_ARGS__API_KEY=...",
            value=variable,
            service=SERVICE,
        )

    async def _score(self, request: ScoreRequest) -> ScoreBatch:
        queries: dict[str, list[int]] = {}
        for position, (query, _) in enumerate(request.pairs):
            queries.setdefault(query, []).append(position)
        scores: list[float | None] = [None] * len(request.pairs)
        model = self.model
        for query, positions in queries.items():
            request.raise_if_stopped()
            found, named = await self._ask(query, [request.pairs[position][1] for position in positions], request)
            model = named or model
            for position, score in zip(positions, found, strict=True):
                scores[position] = score
        return ScoreBatch(scores, model=model)

    async def _ask(self, query: str, documents: Sequence[str], request: ScoreRequest) -> tuple[list[float], str | None]:
        """The scores, and the model's name as the endpoint has it."""
        remaining = request.remaining()
        seconds = self._arguments.timeout if remaining is None else min(remaining, self._arguments.timeout)
        body = self.dialect.body(query, documents, self.model)
        started = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                response = await self._connected().post(self._url, json=body)
        except TimeoutError:
            if seconds == remaining:
                raise DeadlineExceededError(f"{self.where} did not answer in time", service=SERVICE) from None
            raise RerankTimeoutError(
                f"{self.where} did not answer within {time.monotonic() - started:.1f} s",
                remedy="raise the argument 'timeout', or lower 'max_documents'",
                service=SERVICE,
            ) from None
        except httpx.RequestError as error:
            raise UnavailableError(
                f"{self.where} cannot be reached: {type(error).__name__} {error}".rstrip(),
                remedy="check the argument 'url', and that the server runs",
                service=SERVICE,
            ) from None
        if not response.is_success:
            raise failure_of(response, self.where, self._key)
        try:
            answer = response.json()
        except ValueError:
            raise ProtocolError(
                f"{self.where} answered with {response.headers.get('content-type', 'no type')}, not JSON",
                remedy="check that url and dialect belong together",
                service=SERVICE,
            ) from None
        named = answer.get("model") if isinstance(answer, dict) else None
        return self.dialect.scores(answer, len(documents)), named if isinstance(named, str) else None

    def _connected(self) -> httpx.AsyncClient:
        # A forked child has the parent's sockets; it makes its own.
        if self._client is None or self._pid != os.getpid():
            headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
            self._client, self._pid = httpx.AsyncClient(headers=headers, timeout=None), os.getpid()
        return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None and self._pid == os.getpid():
            await client.aclose()


def _endpoint(url: str, path: str) -> httpx.URL:
    """``path`` below ``url``, unless ``url`` has it, or the beginning of it, already."""
    base = httpx.URL(url)
    given = base.path.rstrip("/")
    if given.endswith("/rerank"):
        return base.copy_with(path=given)
    version = path.rpartition("/")[0]
    return base.copy_with(path=given.removesuffix(version) + path if version else given + path)
