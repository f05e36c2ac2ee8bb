"""A BM25 first stage built on the spot by bm25s: token ids in memory, texts never."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

import bm25s
from bm25s.tokenization import Tokenizer

from rerankit_eval.judged import json_lines, text_of

__all__ = ["bm25"]


def bm25(corpus: Path, queries: Mapping[str, str], depth: int) -> dict[str, list[str]]:
    """Ids of the best ``depth`` documents of each query that share a word with it, best first."""
    tokenizer = Tokenizer(stopwords="en")
    # Four bytes a token, where a list of ints takes 36.
    tokens = [array("i", ids) for ids in tokenizer.streaming_tokenize(_texts(corpus))]
    index = bm25s.BM25()
    index.index((tokens, tokenizer.get_vocab_dict()), show_progress=False)
    count = min(depth, len(tokens))
    del tokens
    rows: dict[str, list[int]] = {}
    for query, text in queries.items():
        ids = tokenizer.tokenize([text], update_vocab=False, show_progress=False, return_as="ids")
        found, scores = index.retrieve(ids, k=count, show_progress=False)
        rows[query] = [int(row) for row, score in zip(found[0], scores[0], strict=True) if score > 0]
    wanted = {row for found in rows.values() for row in found}
    names = {row: str(doc["_id"]) for row, (_, doc) in enumerate(json_lines(corpus)) if row in wanted}
    return {query: [names[row] for row in found] for query, found in rows.items()}


def _texts(corpus: Path) -> Iterator[str]:
    for _, document in json_lines(corpus):
        yield text_of(document)
