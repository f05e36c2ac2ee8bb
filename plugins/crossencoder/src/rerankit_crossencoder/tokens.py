"""Pairs to tokens, with everything known about what did not fit.

The query is tokenised once, documents in one parallel call, and the special tokens between them are put in place
here, so that it is always the document that is cut, and how much of it was is known.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from rerankit.errors import InputError
from rerankit.scoring import Pair
from rerankit_crossencoder.arguments import Overflow

__all__ = [
    "LEAST_ROOM",
    "PairTokenizer",
    "Sequences",
    "Template",
    "Tokenizer",
    "least_room",
    "overflowing",
    "warn_of_cut",
    "windows",
]

LEAST_ROOM = 16
"""Tokens that stay for a document even where the query alone would fill the model."""

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Sequences:
    """What the model reads for some pairs: one sequence a pair, or several windows of one.

    Attributes:
        token_ids: a sequence each; ``type_ids`` likewise.
        owners: the pair each sequence belongs to.
        coverage: a pair each: the share of its document's tokens that the model reads.
        tokens: a pair each: tokens that are computed for it.
    """

    token_ids: list[list[int]] = field(default_factory=list)
    type_ids: list[list[int]] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    coverage: list[float] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)

    def add(self, owner: int, token_ids: list[int], type_ids: list[int]) -> None:
        """Append one sequence of the pair ``owner``, the last or the next."""
        self.token_ids.append(token_ids)
        self.type_ids.append(type_ids)
        self.owners.append(owner)
        if owner == len(self.tokens):
            self.tokens.append(0)
        self.tokens[owner] += len(token_ids)


class Tokenizer(Protocol):
    """Safe to call from several threads."""

    max_length: int

    def sequences(self, pairs: Sequence[Pair], on_overflow: Overflow) -> Sequences:
        """What the model reads for ``pairs``.

        Raises:
            InputError: a pair is too long and ``on_overflow`` is ``error``.
        """

    def counts(self, pairs: Sequence[Pair]) -> list[int]:
        """Tokens of each pair, special ones included, cut to what the model reads."""


@dataclass(frozen=True, slots=True)
class Template:
    """The special tokens around a query and a document, as (ids, type ids), and the type ids of the two."""

    before: tuple[list[int], list[int]]
    between: tuple[list[int], list[int]]
    after: tuple[list[int], list[int]]
    query_type: int
    document_type: int

    @property
    def size(self) -> int:
        """Special tokens of a pair."""
        return len(self.before[0]) + len(self.between[0]) + len(self.after[0])

    @classmethod
    def of(cls, tokenizer: Any) -> Template:
        """Read off one encoded pair; works for every template of a query, then a document."""
        encoding = tokenizer.encode("a", "b")
        parts: list[tuple[list[int], list[int]]] = [([], []), ([], []), ([], [])]
        kinds, part = {0: 0, 1: 0}, 0
        for token, kind, sequence in zip(encoding.ids, encoding.type_ids, encoding.sequence_ids, strict=True):
            if sequence is None:
                parts[part][0].append(token)
                parts[part][1].append(kind)
            else:
                kinds[sequence], part = kind, sequence + 1
        return cls(parts[0], parts[1], parts[2], kinds[0], kinds[1])

    def fill(self, query: list[int], document: list[int]) -> tuple[list[int], list[int]]:
        """(token ids, type ids) of a pair."""
        ids = [*self.before[0], *query, *self.between[0], *document, *self.after[0]]
        types = chain(
            self.before[1],
            [self.query_type] * len(query),
            self.between[1],
            [self.document_type] * len(document),
            self.after[1],
        )
        return ids, list(types)


class PairTokenizer:
    """Query and document joined by the tokenizer's own template.

    Args:
        serialized: a ``tokenizer.json``.
        max_length: tokens of a pair at most.

    A ``tokenizers.Tokenizer`` may not change its truncation or padding while another thread encodes. This one's are
    switched off once, here, and it is nobody else's.
    """

    def __init__(self, serialized: str, max_length: int) -> None:
        from tokenizers import Tokenizer as FastTokenizer

        self._tokenizer = FastTokenizer.from_str(serialized)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._template = Template.of(self._tokenizer)
        self.max_length = max_length

    @classmethod
    def from_file(cls, path: Path, max_length: int) -> PairTokenizer:
        """As ``save`` wrote it."""
        return cls(path.read_text(encoding="utf-8"), max_length)

    def save(self, path: Path) -> None:
        """Write it as a ``tokenizer.json``."""
        path.write_text(self._tokenizer.to_str(), encoding="utf-8")

    def sequences(self, pairs: Sequence[Pair], on_overflow: Overflow) -> Sequences:
        result = Sequences()
        queries, documents = self._encoded(pairs)
        cut: set[str] = set()
        for owner, ((query, _), document) in enumerate(zip(pairs, documents, strict=True)):
            ids = queries[query]
            room = self.max_length - self._template.size - len(ids)
            if len(document) > room:
                overflowing(owner, len(document) - room, on_overflow, self.max_length)
            least = min(least_room(self.max_length - self._template.size), len(document))
            if room < least:
                room = least
                ids = ids[: self.max_length - self._template.size - room]
                cut.add(query)
            spans = windows(len(document), room, on_overflow)
            for start, end in spans:
                result.add(owner, *self._template.fill(ids, document[start:end]))
            result.coverage.append(min(1.0, spans[-1][1] / len(document)) if document else 1.0)
        for query in cut:
            warn_of_cut(len(queries[query]), self.max_length)
        return result

    def counts(self, pairs: Sequence[Pair]) -> list[int]:
        queries, documents = self._encoded(pairs)
        size = self._template.size
        return [
            min(self.max_length, size + len(queries[query]) + len(document))
            for (query, _), document in zip(pairs, documents, strict=True)
        ]

    def _encoded(self, pairs: Sequence[Pair]) -> tuple[dict[str, list[int]], list[list[int]]]:
        encode = self._tokenizer.encode_batch_fast
        queries = {query: encode([query], add_special_tokens=False)[0].ids for query in {query for query, _ in pairs}}
        documents = encode([document for _, document in pairs], add_special_tokens=False)
        return queries, [encoding.ids for encoding in documents]


def least_room(tokens: int) -> int:
    """Tokens that stay for a document, of those that a query and a document share; half of few, none of none."""
    return max(0, min(LEAST_ROOM, tokens // 2))


def warn_of_cut(tokens: int, max_length: int) -> None:
    """Say that a query of ``tokens`` was cut."""
    logger.warning("the query alone has %d tokens, and the model reads %d in all: its end was cut", tokens, max_length)


def overflowing(index: int, excess: int, on_overflow: Overflow, max_length: int) -> None:
    """Refuse a pair that is ``excess`` tokens too long, where it is to be refused."""
    if on_overflow == "error":
        raise InputError(
            f"document {index} is {excess} tokens longer than the model reads beside this query ({max_length} in all)",
            remedy="split the document, or set on_overflow to 'truncate' or 'window'",
            value=index,
        )


def windows(length: int, room: int, on_overflow: Overflow) -> list[tuple[int, int]]:
    """Spans of a document's tokens that are scored: one, or windows that overlap by a quarter.

    The last window ends where the document ends and is as wide as the others.
    """
    if length <= room or on_overflow != "window":
        return [(0, min(length, room))]
    step = max(1, room - room // 4)
    starts = [*range(0, length - room, step), length - room]
    return [(start, start + room) for start in starts]
