"""The ``modal`` service: scores from a deployment on Modal."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from typing import Any

from rerankit.arguments import validated
from rerankit.documents import check_query, texts_of
from rerankit.errors import ClassNotFoundError, DeadlineExceededError, ProtocolError, RerankTimeoutError
from rerankit.portal import Portal
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, ScoreBatch, ScoreKind, ScoreRequest, checked_scores
from rerankit_modal.arguments import DEFAULT_API, DEFAULT_APP, ModalArguments
from rerankit_modal.engine import ModalEngine
from rerankit_modal.failures import SERVICE
from rerankit_modal.wire import batch_from_wire

__all__ = ["ModalReranker"]

MAX_DOCUMENTS = 1_024
"""A request of more is split by the policy, so that it spreads over the deployment's containers."""
MAX_CONCURRENCY = 20


class ModalReranker(PairReranker):
    """Scores documents on Modal.

    A deployment of rerankit's is asked directly for all the model knows: coverage, tokens, model, revision.
    Any other app that has a function ``api_name(query, passages, batch_size) -> list[float]`` is called by it;
    what such scores mean, nobody says, so their ``score_kind`` is ``unknown``.

    Args:
        app_name, api_name, batch_size, gen_options, timeout, connect_timeout: see ``ModalArguments``.

    Raises:
        InvalidArgumentError: an argument is wrong.
    """

    service = SERVICE
    capabilities = Capabilities(
        score_kind=ScoreKind.PROBABILITY, max_documents=MAX_DOCUMENTS, max_concurrency=MAX_CONCURRENCY
    )

    def __init__(
        self,
        app_name: str = DEFAULT_APP,
        api_name: str = DEFAULT_API,
        batch_size: int = 256,
        gen_options: Mapping[str, Any] | None = None,
        timeout: float = 120.0,
        connect_timeout: float = 10.0,
    ) -> None:
        given = {
            "app_name": app_name,
            "api_name": api_name,
            "batch_size": batch_size,
            "gen_options": gen_options,
            "timeout": timeout,
            "connect_timeout": connect_timeout,
        }
        self.arguments = validated(ModalArguments, given, service=SERVICE)
        self.engine = ModalEngine(self.arguments.app_name, connect_timeout=self.arguments.connect_timeout)
        self._plain = self.arguments.api_name != DEFAULT_API or bool(self.arguments.gen_options)
        self._portal = Portal()

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        return self._portal.call(self.ascore_pairs(request))

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        request.raise_if_stopped()
        if not request.pairs:
            return ScoreBatch([])
        if not self._plain:
            try:
                return await self._score_richly(request)
            except ClassNotFoundError:
                # An app of somebody else's: all it is known to have is the function.
                self._plain = True
        return await self._score_plainly(request)

    def stream_scores(self, query: str, documents: Sequence[str]) -> Generator[list[float]]:
        """The scores in input order, ``batch_size`` documents at a time, as soon as they are there.

        Raises:
            InputError: an empty query, or a document that has no text.
            BackendError: as ``get_scores``; ``ClassNotFoundError`` where the app is none of rerankit's.
        """
        parts = self.astream_scores(query, documents)
        try:
            while (part := self._portal.call(_next(parts))) is not None:
                yield part
        finally:
            self._portal.call(parts.aclose())

    async def astream_scores(self, query: str, documents: Sequence[str]) -> AsyncGenerator[list[float]]:
        """``stream_scores`` for asynchronous callers."""
        query, texts = check_query(query), texts_of(documents)
        size, seconds, scored = self.arguments.batch_size, self.arguments.timeout, 0
        pairs = [[query, text] for text in texts]
        answers = self.engine.stream("Scorer.stream", pairs, size, seconds, seconds=seconds)
        async with contextlib.aclosing(answers):
            async for answer in answers:
                scores = checked_scores(batch_from_wire(answer).scores, min(size, len(texts) - scored), SERVICE)
                scored += len(scores)
                yield scores
        if scored < len(texts):
            raise ProtocolError(f"the stream ended after {scored} of {len(texts)} documents", service=SERVICE)

    def diagnose(self) -> dict[str, str]:
        """The app, and where the credentials came from."""
        return {"app": self.arguments.app_name, "token": f"from the {self.engine.credentials.source}"}

    def close(self) -> None:
        self._portal.call(self.engine.aclose())
        self._portal.close()

    async def aclose(self) -> None:
        await self.engine.aclose()

    async def _score_richly(self, request: ScoreRequest) -> ScoreBatch:
        """The deployment of rerankit's: its class is called directly, which saves the hop over the CPU front."""
        pairs = [list(pair) for pair in request.pairs]
        return batch_from_wire(await self._call(request, "Scorer.score_pairs", pairs, self._seconds(request)))

    async def _score_plainly(self, request: ScoreRequest) -> ScoreBatch:
        """A function that takes one query and gives a list: one call a query."""
        scores: list[float | None] = [None] * len(request.pairs)
        positions: dict[str, list[int]] = {}
        for position, (query, _) in enumerate(request.pairs):
            positions.setdefault(query, []).append(position)
        for query, places in positions.items():
            passages = [request.pairs[place][1] for place in places]
            arguments = (query, passages, self.arguments.batch_size)
            found = await self._call(request, self.arguments.api_name, *arguments, **(self.arguments.gen_options or {}))
            for place, score in zip(places, checked_scores(found, len(places), SERVICE), strict=True):
                scores[place] = score
        return ScoreBatch(scores, score_kind=ScoreKind.UNKNOWN)

    async def _call(self, request: ScoreRequest, name: str, *args: Any, **keywords: Any) -> Any:
        """One call within the request's deadline and ``timeout``, whichever comes first."""
        request.raise_if_stopped()
        try:
            return await self.engine.call(name, *args, seconds=self._seconds(request), **keywords)
        except RerankTimeoutError as error:
            remaining = request.remaining()
            if remaining is not None and remaining <= 0:
                raise DeadlineExceededError(f"the deadline passed: {error.message}", service=SERVICE) from error
            raise

    def _seconds(self, request: ScoreRequest) -> float:
        remaining = request.remaining()
        return self.arguments.timeout if remaining is None else min(self.arguments.timeout, remaining)


async def _next(parts: AsyncGenerator[list[float]]) -> list[float] | None:
    return await anext(parts, None)
