"""The contract every backend keeps, in three bases: write the method that suits the backend, get the rest.

* ``AbstractReranker``: write ``get_scores``. Ten lines make a backend.
* ``AsyncReranker``: write ``aget_scores``, for a backend that is an asynchronous client.
* ``PairReranker``: write ``score_pairs``, and pass on all the model knows. Everything first-party is built on it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

from rerankit.documents import check_query, check_top_n, texts_of
from rerankit.errors import DeadlineExceededError
from rerankit.portal import Portal
from rerankit.ranking import Ranking
from rerankit.scoring import Capabilities, Pair, ScoreBatch, ScoreRequest, checked_batch, checked_scores

__all__ = ["AbstractReranker", "AsyncReranker", "PairReranker"]

D = TypeVar("D")


class AbstractReranker(ABC):
    """Scores documents by their relevance to a query.

    A backend must be safe to call from several threads at once, or say so by locking inside.

    Attributes:
        service: the name it was loaded under; ``load_reranker`` sets it.
        capabilities: what it can do. A class attribute, or set on the instance where it depends on arguments.
    """

    service: str | None = None
    capabilities: Capabilities = Capabilities()

    @abstractmethod
    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        """One finite float a document, in input order; an empty list for no documents.

        Applications call it positionally: the order of the parameters is part of the contract.
        """

    async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        """``get_scores`` for asynchronous callers; here in a worker thread."""
        return await asyncio.to_thread(self.get_scores, query, documents)

    def rerank(
        self, query: str, documents: Sequence[D], top_n: int | None = None, *, text_field: str | None = None
    ) -> Ranking[D]:
        """The documents, most relevant first.

        Args:
            query: what the documents should be relevant to.
            documents: strings, mappings or objects; see ``text_field``.
            top_n: keep this many; ``None``, or more than there are, keeps all.
            text_field: the key or attribute that holds a document's text; by default ``text``,
                ``page_content`` or ``content``, the first that is there.

        Raises:
            InputError: an empty query, documents without text, ``top_n`` below 1.
            BackendError: the backend failed; see ``rerankit.errors``.
        """
        query, texts, top_n = check_query(query), texts_of(documents, text_field), check_top_n(top_n)
        started = time.perf_counter()
        return self._ranking(documents, self._batch(query, texts), top_n, started)

    async def arerank(
        self, query: str, documents: Sequence[D], top_n: int | None = None, *, text_field: str | None = None
    ) -> Ranking[D]:
        """``rerank`` for asynchronous callers."""
        query, texts, top_n = check_query(query), texts_of(documents, text_field), check_top_n(top_n)
        started = time.perf_counter()
        return self._ranking(documents, await self._abatch(query, texts), top_n, started)

    def diagnose(self) -> Mapping[str, str]:
        """What ``rerankit doctor`` tells about it, by name: the model, the device, which credentials. Never a secret.

        Raises:
            RerankitError: something is wrong that scores alone do not show, such as published values it misses.
        """
        return {}

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Release what the backend holds. May be called more than once."""

    async def aclose(self) -> None:
        """``close`` for asynchronous callers."""
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __bool__(self) -> bool:
        """A reranker is true, whatever its ``__len__``: applications test ``if reranker:``."""
        return True

    @property
    def label(self) -> str:
        """What errors and rankings call it: the service's name, else the class's."""
        return self.service or type(self).__name__

    def _batch(self, query: str, texts: list[str]) -> ScoreBatch:
        scores = self.get_scores(query, texts) if texts else []
        return ScoreBatch(checked_scores(scores, len(texts), self.label))

    async def _abatch(self, query: str, texts: list[str]) -> ScoreBatch:
        scores = await self.aget_scores(query, texts) if texts else []
        return ScoreBatch(checked_scores(scores, len(texts), self.label))

    def _ranking(self, documents: Sequence[D], batch: ScoreBatch, top_n: int | None, started: float) -> Ranking[D]:
        return Ranking.from_batch(
            documents,
            batch,
            served_by=self.label,
            score_kind=self.capabilities.score_kind,
            top_n=top_n,
            timings={**batch.timings, "total": time.perf_counter() - started},
        )


class AsyncReranker(AbstractReranker):
    """Write ``aget_scores``; synchronous callers are served on one private event loop, in a thread of its own.

    Asynchronous callers are served on their own loop, so a client that is bound to a loop should be made
    a loop at a time.
    """

    @abstractmethod
    async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]: ...

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        return self._loop().call(self.aget_scores(query, documents))

    async def aclose(self) -> None:
        """Release what the backend holds; override this one."""

    def close(self) -> None:
        """``aclose``, then the end of the private loop. May be called more than once."""
        self._loop().call(self.aclose())
        self._loop().close()

    def _loop(self) -> Portal:
        portal: Portal = self.__dict__.setdefault("_portal", Portal())  # one, whichever thread comes first
        return portal


class PairReranker(AbstractReranker):
    """Write ``score_pairs``; ``get_scores`` and ``rerank`` follow from it, checked."""

    @abstractmethod
    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """Score the pairs of ``request``, in its order.

        Long work calls ``request.raise_if_stopped()`` between batches.
        """

    async def ascore_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """``score_pairs`` in a worker thread; cancelling it stops the work at the next batch."""
        cancelled = request.cancelled or threading.Event()
        request = ScoreRequest(request.pairs, request.deadline, cancelled)
        try:
            return await asyncio.to_thread(self.score_pairs, request)
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async def aprepare(self) -> None:
        """Learn what ``capabilities`` and ``fingerprint`` tell, where that means asking somebody.

        The policy awaits it before an asynchronous call reads them: a property could only block the event loop.
        """

    def token_counts(self, pairs: Sequence[Pair]) -> list[int]:
        """Tokens each pair will cost. The core has no tokenizer: by default a quarter of the characters."""
        return [(len(query) + len(document)) // 4 + 1 for query, document in pairs]

    @property
    def fingerprint(self) -> str | None:
        """All that changes a score beside the pair: model, revision, precision, truncation, activation.

        Two rerankers of equal fingerprint give a pair the same score. ``None``: unknown, so nothing is cached.
        """
        return None

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        """One finite float a document, in input order.

        Raises:
            InputError: an empty query, or a document that has no text.
            ProtocolError: the backend gave something else than one finite float a document.
        """
        query, texts = check_query(query), texts_of(documents)
        return self._complete(self._batch(query, texts))

    async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        """``get_scores`` for asynchronous callers; cancelling it stops the work at the next batch."""
        query, texts = check_query(query), texts_of(documents)
        return self._complete(await self._abatch(query, texts))

    def _complete(self, batch: ScoreBatch) -> list[float]:
        scores = [score for score in batch.scores if score is not None]
        if len(scores) < len(batch.scores):
            raise DeadlineExceededError(
                f"{len(batch.scores) - len(scores)} of {len(batch.scores)} documents were not scored in time",
                service=self.label,
            )
        return scores

    def _batch(self, query: str, texts: list[str]) -> ScoreBatch:
        if not texts:
            return ScoreBatch([])
        request = ScoreRequest([(query, text) for text in texts])
        return checked_batch(self.score_pairs(request), len(texts), self.label)

    async def _abatch(self, query: str, texts: list[str]) -> ScoreBatch:
        if not texts:
            return ScoreBatch([])
        request = ScoreRequest([(query, text) for text in texts])
        return checked_batch(await self.ascore_pairs(request), len(texts), self.label)
