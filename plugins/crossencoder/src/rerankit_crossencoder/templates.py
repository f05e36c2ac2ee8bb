"""Pairs to tokens for models with prompts or chat templates, by sentence-transformers' own preprocessing.

Causal rerankers put query and document into a prompt. What to cut of a document so that the whole fits is found
out on its text; the prompt and the query stay whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from rerankit.scoring import Pair
from rerankit_crossencoder.arguments import Overflow
from rerankit_crossencoder.tokens import LEAST_ROOM, PairTokenizer, Sequences, Tokenizer, overflowing, windows

__all__ = ["TemplateTokenizer", "make_tokenizer"]


class TemplateTokenizer:
    """A ``CrossEncoder``'s preprocessing, one pair at a time, behind a lock."""

    def __init__(self, model: Any, max_length: int) -> None:
        self._model = model
        self.max_length = max_length
        self._lock = threading.Lock()

    def sequences(self, pairs: Sequence[Pair], on_overflow: Overflow) -> Sequences:
        result = Sequences()
        with self._lock:
            around = {query: len(self._encode(query, "")[0]) for query in {query for query, _ in pairs}}
            for owner, (query, document) in enumerate(pairs):
                # One token more than needed may be lost where a cut changes how its neighbours are joined.
                room = max(self.max_length - around[query] - 1, LEAST_ROOM)
                offsets = self._offsets(document)
                if len(offsets) > room:
                    overflowing(owner, len(offsets) - room, on_overflow, self.max_length)
                spans = windows(len(offsets), room, on_overflow)
                for start, end in spans:
                    text = document[offsets[start][0] : offsets[end - 1][1]] if len(offsets) > room else document
                    result.add(owner, *self._encode(query, text))
                result.coverage.append(min(1.0, spans[-1][1] / len(offsets)) if offsets else 1.0)
        return result

    def counts(self, pairs: Sequence[Pair]) -> list[int]:
        with self._lock:
            around = {query: len(self._encode(query, "")[0]) for query in {query for query, _ in pairs}}
            return [min(self.max_length, around[query] + len(self._offsets(document))) for query, document in pairs]

    def _encode(self, query: str, document: str) -> tuple[list[int], list[int]]:
        features = self._model.preprocess([(query, document)], prompt=self._model._resolve_prompt(None, None))
        ids = features["input_ids"][0].tolist()
        types = features["token_type_ids"][0].tolist() if "token_type_ids" in features else [0] * len(ids)
        return ids, types

    def _offsets(self, document: str) -> list[tuple[int, int]]:
        """Where each token of a document begins and ends in its text."""
        encoding = self._model.tokenizer(
            document, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return list(encoding["offset_mapping"])


def make_tokenizer(model: Any) -> Tokenizer:
    """The faster tokenizer where it gives what ``model``'s own preprocessing gives, else that preprocessing."""
    max_length = int(model.max_seq_length or 512)
    own = TemplateTokenizer(model, max_length)
    backend = getattr(model.tokenizer, "backend_tokenizer", None)
    if backend is None or max_length < _SAMPLE_TOKENS:
        return own
    fast = PairTokenizer(backend.to_str(), max_length)
    ours, theirs = (tokenizer.sequences(_SAMPLES, "truncate") for tokenizer in (fast, own))
    return fast if (ours.token_ids, ours.type_ids) == (theirs.token_ids, theirs.type_ids) else own


_SAMPLES: list[Pair] = [
    ("Which planet is red?", "Mars, the 4th from the Sun."),
    ("a", ""),
    ("né à 火星?", " two\nlines "),
]
_SAMPLE_TOKENS = 64
