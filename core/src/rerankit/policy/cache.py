"""Scores of pairs seen before, and one computation for a pair that several callers want at once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import NamedTuple, Protocol, TypeAlias

from cachetools import LRUCache

from rerankit.errors import InvalidArgumentError
from rerankit.policy.steps import Blocking, Layer, Prepare, Score, Steps, Wait
from rerankit.reranker import PairReranker
from rerankit.scoring import Pair, ScoreBatch, ScoreKind, ScoreRequest

__all__ = ["ENTRY_BYTES", "CacheReranker", "Entry", "ScoreCache", "Store", "keys_of"]

ENTRY_BYTES = 400
"""What one entry takes: the digest, the entry, its two floats, and its share of the dicts behind ``LRUCache``."""

Batches: TypeAlias = list[tuple[list[bytes], ScoreBatch]]
Found: TypeAlias = dict[bytes, "Entry"]


class Source(NamedTuple):
    """Who scored; one object for all entries of a batch."""

    served_by: str | None
    model: str | None
    revision: str | None
    score_kind: ScoreKind | None


class Entry(NamedTuple):
    """What is known about one pair."""

    score: float
    coverage: float | None
    source: Source


class Store(Protocol):
    """Keeps entries where reading and writing may block. Its troubles are its own: neither raises."""

    def read(self, keys: Iterable[bytes]) -> Found: ...

    def write(self, found: Found) -> None: ...


class ScoreCache:
    """The least recently used pairs make room for new ones; safe to share between threads, loops and rerankers.

    Args:
        max_bytes: memory for the entries; each takes ``ENTRY_BYTES``, since texts are kept as digests.
        disk: where they are kept too, and looked for when memory does not have them.
    """

    def __init__(self, max_bytes: int, disk: Store | None = None) -> None:
        self.disk = disk
        self._entries: LRUCache[bytes, Entry] = LRUCache(maxsize=max_bytes // ENTRY_BYTES)
        self._flights: dict[bytes, Future[Found]] = {}
        self._lock = threading.Lock()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def recall(self, keys: Sequence[bytes]) -> Found:
        """The entries that only the disk has."""
        assert self.disk is not None
        found = self.disk.read([key for key in keys if key not in self._entries])
        with self._lock:
            self.hits += len(found)
            if self._entries.maxsize:
                self._entries.update(found)
        return found

    def claim(self, keys: Iterable[bytes], flight: Future[Found]) -> tuple[Found, set[bytes], set[Future[Found]]]:
        """What is known, what the caller must score now (as its ``flight``), and others' flights to wait for."""
        known: Found = {}
        claimed: set[bytes] = set()
        others: set[Future[Found]] = set()
        with self._lock:
            for key in keys:
                entry = self._entries.get(key)
                if entry is not None:
                    known[key] = entry
                elif key in self._flights:
                    others.add(self._flights[key])
                else:
                    self._flights[key] = flight
                    claimed.add(key)
            self.hits += len(known)
            self.misses += len(claimed)
        return known, claimed, others

    def land(self, claimed: Iterable[bytes], found: Found, flight: Future[Found]) -> None:
        """End a flight: ``found`` is known from now on; what is missing in it, those who waited score themselves."""
        with self._lock:
            for key in claimed:
                del self._flights[key]
            if self._entries.maxsize:
                self._entries.update(found)
        flight.set_result(found)


class CacheReranker(Layer):
    """Asks the backend only for pairs whose scores are not known; scores found take no tokens.

    The key is a digest of the backend's name, its ``fingerprint``, the query and the document, each with its length
    before it, so that no two different pairs share one. A backend without a fingerprint is not cached.

    Args:
        inner: what scores the rest.
        cache: where scores are kept; several rerankers may share one.

    Raises:
        InvalidArgumentError: the backend is listwise: a score depends on the other documents.
    """

    def __init__(self, inner: PairReranker, cache: ScoreCache) -> None:
        if inner.capabilities.listwise:
            raise InvalidArgumentError(
                f"{inner.label} is listwise: its scores depend on the other documents and cannot be cached",
                remedy="remove reranker_policy.cache_bytes",
                value="cache_bytes",
            )
        super().__init__(inner)
        self._cache = cache

    def _steps(self, request: ScoreRequest) -> Steps:
        yield from Prepare(self.inner, request)
        fingerprint = self.fingerprint
        if fingerprint is None:
            return (yield from Score(self.inner, request))
        keys = list(keys_of((self.label, fingerprint), request.pairs))
        places = {key: place for place, key in reversed(list(enumerate(keys)))}
        disk = self._cache.disk
        entries: Found = {}
        batches: Batches = []
        if disk is not None:
            entries |= yield from Blocking(partial(self._cache.recall, list(places)))
        while wanted := [key for key in places if key not in entries]:
            flight: Future[Found] = Future()
            flight.set_running_or_notify_cancel()
            known, claimed, others = self._cache.claim(wanted, flight)
            entries |= known
            found: Found = {}
            try:
                # First what nobody else scores, so that no two callers wait for each other.
                if claimed:
                    mine = sorted(claimed, key=places.__getitem__)
                    pairs = [request.pairs[places[key]] for key in mine]
                    batch = yield from Score(self.inner, replace(request, pairs=pairs))
                    batches.append((mine, batch))
                    if not batch.degraded:
                        found = dict(_entries(mine, batch))
                    if found and disk is not None:
                        # Before anybody else may ask for it.
                        yield from Blocking(partial(disk.write, found))
            finally:
                self._cache.land(claimed, found, flight)
            entries |= found
            if batches and (batches[-1][1].partial or batches[-1][1].degraded):
                break
            for other in others:
                yield from Wait(other, request)
                entries |= {key: entry for key, entry in other.result().items() if key in places}
        if len(_sources(entries, batches)) > 1 or any(batch.degraded for _, batch in batches):
            # The model behind the service is another one than when the scores were kept, or a fallback answered.
            return (yield from Score(self.inner, request))
        return _assembled(keys, entries, batches)


def keys_of(who: tuple[str, str], pairs: Sequence[Pair]) -> Iterator[bytes]:
    """The key of each pair, for the backend of that name and fingerprint."""
    begun = hashlib.blake2b(digest_size=20)
    for field in who:
        _add(begun, field)
    queries: dict[str, hashlib.blake2b] = {}
    for query, document in pairs:
        if query not in queries:
            queries[query] = begun.copy()
            _add(queries[query], query)
        digest = queries[query].copy()
        _add(digest, document)
        yield digest.digest()


def _add(digest: hashlib.blake2b, field: str) -> None:
    encoded = field.encode("utf-8", "surrogatepass")
    digest.update(len(encoded).to_bytes(8, "big"))
    digest.update(encoded)


def _entries(keys: Sequence[bytes], batch: ScoreBatch) -> Iterator[tuple[bytes, Entry]]:
    source = _source(batch)
    for place, (key, score) in enumerate(zip(keys, batch.scores, strict=True)):
        if score is not None:
            yield key, Entry(score, None if batch.coverage is None else batch.coverage[place], source)


def _source(batch: ScoreBatch) -> Source:
    return Source(batch.served_by, batch.model, batch.revision, batch.score_kind)


def _sources(entries: Found, batches: Batches) -> set[Source]:
    return {entry.source for entry in entries.values()} | {_source(batch) for _, batch in batches}


def _assembled(keys: Sequence[bytes], entries: Found, batches: Batches) -> ScoreBatch:
    costs: dict[bytes, int] = {}
    timings: dict[str, float] = {}
    for mine, batch in batches:
        costs |= dict(zip(mine, batch.tokens or (), strict=False))
        for stage, seconds in batch.timings.items():
            timings[stage] = timings.get(stage, 0.0) + seconds
    found = [entries.get(key) for key in keys]
    coverage = [None if entry is None else entry.coverage for entry in found]
    (source,) = _sources(entries, batches)
    return ScoreBatch(
        [None if entry is None else entry.score for entry in found],
        None if None in coverage else [share for share in coverage if share is not None],
        None if any(batch.tokens is None for _, batch in batches) else [costs.pop(key, 0) for key in keys],
        model=source.model,
        revision=source.revision,
        score_kind=source.score_kind,
        timings=timings,
        served_by=source.served_by,
        partial=None in found,
        attempts=tuple(attempt for _, batch in batches for attempt in batch.attempts),
    )
