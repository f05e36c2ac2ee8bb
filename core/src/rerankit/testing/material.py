"""What the conformance suite feeds a backend."""

from __future__ import annotations

from dataclasses import dataclass

from rerankit.reranker import AbstractReranker, PairReranker

QUERY = "how do I catch an exception in Python?"

OTHER_QUERY = "what do honey bees eat in winter?"

PASSAGES = (
    "The try statement runs a block of code; its except clause catches an exception that the block raises.",
    "Honey bees live through the winter on the honey they stored in summer.",
    "A Python function is defined with the def keyword.",
    "The capital of Portugal is Lisbon.",
    "Bees collect nectar and pollen from flowers.",
    "An exception that nobody catches ends the Python program with a traceback.",
)
"""Few enough for one request of any backend; of two topics, so that a model tells them apart."""

UNUSUAL = (
    "日本語の文章です。例外を捕まえる。",
    "כיצד תופסים חריגה؟ كيف تلتقط استثناء؟",
    "👩‍👩‍👧‍👦 family emoji, e\u0301 combining, \u200b zero width, \ufeff mark",
    "control \x00 \x07 \x1b characters, tabs\tand\r\nlines",
    "[CLS] [SEP] [MASK] <s> </s> <|endoftext|> {{query}} %s {0}",
    "\U0010ffff \ufffe at the edges of Unicode",
    "cut emoji \ud83d and undecodable byte \udc80",
)
"""The last one holds lone surrogates, which are no UTF-8."""

LONG = "All work and no play makes a passage longer than any model's window. " * 400
"""28,000 characters, of the order of 6,000 tokens."""

LONG_QUERY = "Why, and under which circumstances, would somebody ask as long a question as this? " * 40


@dataclass
class Note:
    """A document that is an object."""

    text: str
    identifier: int


def passages(reranker: AbstractReranker) -> list[str]:
    """As many of ``PASSAGES`` as one request of ``reranker`` may have."""
    return list(PASSAGES[: reranker.capabilities.max_documents])


def long_document(reranker: AbstractReranker) -> str:
    """``LONG``, or what of it one request of ``reranker`` may have."""
    limits, text = reranker.capabilities, LONG
    if limits.max_characters is not None:
        text = text[: max(limits.max_characters - len(QUERY), 0)]
    if limits.max_tokens is not None and isinstance(reranker, PairReranker):
        while text and reranker.token_counts([(QUERY, text)])[0] > limits.max_tokens:
            text = text[: len(text) // 2]
    return text
