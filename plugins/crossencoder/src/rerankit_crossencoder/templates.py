"""Pairs to tokens for models with prompts or chat templates, by sentence-transformers' own preprocessing.

Causal rerankers put query and document into a prompt. What to cut of a document so that the whole fits is found
out on its text; the prompt and the query stay whole.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from rerankit.errors import InvalidArgumentError
from rerankit.scoring import Pair
from rerankit_crossencoder.arguments import Overflow
from rerankit_crossencoder.tokens import (
    LEAST_ROOM,
    PairTokenizer,
    Sequences,
    Tokenizer,
    least_room,
    overflowing,
    warn_of_cut,
    windows,
)

__all__ = ["TemplateTokenizer", "make_tokenizer"]


class TemplateTokenizer:
    """A ``CrossEncoder``'s preprocessing, one pair at a time, behind a lock: its tokenizer keeps padding as state.

    Raises:
        InvalidArgumentError: ``max_length`` leaves no room beside the prompt.
    """

    def __init__(self, model: Any, max_length: int) -> None:
        self._model = model
        self.max_length = max_length
        self._lock = threading.Lock()
        around = len(self._encode("", "")[0])
        self._least = least_room(max_length - around)
        if not self._least:
            raise InvalidArgumentError(
                f"the model's own prompt has {around} tokens, which leaves nothing of max_length {max_length}",
                remedy=f"set max_length to {around + 2 * LEAST_ROOM} or more, or leave it out",
                value=max_length,
            )

    def sequences(self, pairs: Sequence[Pair], on_overflow: Overflow) -> Sequences:
        result = Sequences()
        with self._lock:
            beside = {query: self._fitted(query) for query in {query for query, _ in pairs}}
            for owner, (query, document) in enumerate(pairs):
                offsets = self._offsets(document)
                kept, room = beside[query]
                while True:
                    cut = len(offsets) > room
                    spans = windows(len(offsets), room, on_overflow)
                    texts = [_part(document, offsets[start:end]) if cut else document for start, end in spans]
                    encoded = [self._encode(kept, text) for text in texts]
                    # A cut, or the prompt, may join or split the tokens beside it: only encoding tells how many remain.
                    excess = max(len(ids) for ids, _ in encoded) - self.max_length
                    if excess <= 0 or room <= 1:
                        break
                    room = max(1, room - excess)
                if cut:
                    overflowing(owner, len(offsets) - room, on_overflow, self.max_length)
                for ids, types in encoded:
                    result.add(owner, ids, types)
                result.coverage.append(spans[-1][1] / len(offsets) if offsets else 1.0)
        return result

    def counts(self, pairs: Sequence[Pair]) -> list[int]:
        return self.sequences(pairs, "truncate").tokens

    def _fitted(self, query: str) -> tuple[str, int]:
        """(the query, what is left for a document); its end is cut only where it leaves no room for any."""
        text, offsets = query, self._offsets(query)
        while (room := self.max_length - len(self._encode(text, "")[0])) < self._least and offsets:
            del offsets[min(-1, room - self._least) :]
            text = _part(query, offsets)
        if text is not query:
            warn_of_cut(len(self._offsets(query)), self.max_length)
        return text, room

    def _encode(self, query: str, document: str) -> tuple[list[int], list[int]]:
        features = self._model.preprocess(
            [(query, document)],
            prompt=self._model._resolve_prompt(None, None),
            processing_kwargs={"text": {"truncation": False, "verbose": False}},
        )
        ids = features["input_ids"][0].tolist()
        types = features["token_type_ids"][0].tolist() if "token_type_ids" in features else [0] * len(ids)
        return ids, types

    def _offsets(self, document: str) -> list[tuple[int, int]]:
        """Where each token of a document begins and ends in its text."""
        encoding = self._model.tokenizer(
            document, add_special_tokens=False, truncation=False, return_offsets_mapping=True, verbose=False
        )
        return list(encoding["offset_mapping"])


def _part(text: str, offsets: list[tuple[int, int]]) -> str:
    """What the tokens at ``offsets``, which follow each other, were made of."""
    return text[offsets[0][0] : offsets[-1][1]] if offsets else ""


def make_tokenizer(model: Any) -> Tokenizer:
    """The faster tokenizer where it gives what ``model``'s own preprocessing gives, else that preprocessing.

    Raises:
        InvalidArgumentError: a causal model without a chat template; one too long for ``max_length``.
    """
    if getattr(model[0], "transformer_task", "") == "text-generation" and "message" not in model.modalities:
        # transformers would join query and document without a mark between them, and score that.
        raise InvalidArgumentError(
            "a causal language model needs a chat template to put query and document into a prompt; it has none",
            remedy="put chat_template.jinja, which renders the roles 'query' and 'document', beside its weights",
        )
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
