"""Documents of any shape -> the texts a backend scores. The caller's objects are read, never changed."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from types import NoneType
from typing import Any, SupportsIndex

from rerankit.errors import InputError

__all__ = ["check_query", "check_top_n", "texts_of"]

_WELL_KNOWN = ("text", "page_content", "content")
"""Tried in this order where no field is named: ours and TEI's, LangChain's, Haystack's."""


def check_query(query: object) -> str:
    """The query, encodable as UTF-8.

    Raises:
        InputError: it is not a string, or has nothing but white space.
    """
    if not isinstance(query, str):
        raise InputError(f"the query is {type(query).__name__}, not a string", value=query)
    if not query or query.isspace():
        raise InputError("the query is empty", value=query)
    return _encodable(str(query))


def check_top_n(top_n: object) -> int | None:
    """``None`` (all) or a count of at least 1; a count beyond the documents means all of them.

    Raises:
        InputError: zero, negative, or not an integer.
    """
    if top_n is None:
        return None
    if isinstance(top_n, bool) or not isinstance(top_n, SupportsIndex):  # an index is what NumPy's integers are too
        raise InputError(f"top_n is {top_n!r}, not an integer", value=top_n)
    count = operator.index(top_n)
    if count < 1:
        raise InputError(f"top_n is {count}; it must be at least 1, or None for all", value=top_n)
    return count


def texts_of(documents: object, text_field: str | None = None) -> list[str]:
    """The text of each document: a string itself, or a field of a mapping or object.

    Args:
        documents: strings, mappings or objects, mixed as you like.
        text_field: the key or attribute that holds the text. Without it ``text``, ``page_content``
            and ``content`` are tried in this order.

    Raises:
        InputError: not a sequence, or a document that has no text; names its position.
    """
    if isinstance(documents, (str, bytes)):
        raise InputError("documents is one string; pass a list: [text]", value=documents)
    # A DataFrame looks like a list, of the names of its columns.
    listed = hasattr(documents, "__len__") and hasattr(documents, "__getitem__") and not hasattr(documents, "columns")
    if isinstance(documents, Mapping) or not listed or getattr(documents, "shape", None) == ():
        raise InputError(f"documents is {type(documents).__name__}, not a list of documents", value=type(documents))
    if not isinstance(text_field, (str, NoneType)):
        raise InputError(
            f"text_field is {text_field!r}, not a name", value=text_field, remedy="name a key or attribute"
        )
    texts: list[Any] = list(documents)  # type: ignore[call-overload]
    for position, document in enumerate(texts):
        if type(document) is not str:
            document = _text(document, position, text_field)
            texts[position] = document
        if not document.isascii():
            texts[position] = _encodable(document)
    return texts


def _text(document: Any, position: int, text_field: str | None) -> str:
    if isinstance(document, str):
        return str(document)
    names = _WELL_KNOWN if text_field is None else (text_field,)
    for name in names:
        value = document.get(name) if isinstance(document, Mapping) else getattr(document, name, None)
        if isinstance(value, str):
            return value
    wanted = " or ".join(repr(name) for name in names)
    raise InputError(
        f"document {position} is {type(document).__name__} with no string {wanted}",
        value=type(document).__name__,
        remedy="pass strings, or name the field that holds the text: rerank(..., text_field='body')",
    )


def _encodable(text: str) -> str:
    """Lone surrogates (cut emoji, undecodable bytes) cannot be UTF-8 and would fail in a tokenizer or on the wire."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
