"""Documents for ``rerankit rerank``: from the command line, files and stdin."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from rerankit.errors import InputError

__all__ = ["Document", "document_id", "from_file", "from_stdin"]

Document: TypeAlias = str | Mapping[str, Any]

_ID_FIELDS = ("id", "_id", "doc_id", "corpus_id")
"""Tried in this order: ours, BEIR's, and what applications use."""

_PARAGRAPH = re.compile(r"\S.*?(?=\n[^\S\n]*\n|\Z)", re.DOTALL)


def from_file(path: Path) -> list[Document]:
    """JSONL with a ``text`` field, or a text split in its paragraphs; each of those is named ``file:line``.

    Raises:
        InputError: a line that is no JSON object with a ``text``, or a file without any passage.
    """
    text = _decoded(path.read_bytes())
    documents = _jsonl(text, path.name) if _is_jsonl(text) else list(_paragraphs(text, path.name))
    if not documents:
        raise InputError(f"{path} holds no passage", value=str(path), remedy="name a file that holds text")
    return documents


def from_stdin(data: bytes) -> list[Document]:
    """JSONL with a ``text`` field, or one passage a line; blank lines are left out.

    Raises:
        InputError: a line that is no JSON object with a ``text``.
    """
    text = _decoded(data)
    return _jsonl(text, "stdin") if _is_jsonl(text) else [line.strip() for line in text.splitlines() if line.strip()]


def document_id(document: Document) -> str | None:
    """What the document calls itself, where it does."""
    if isinstance(document, str):
        return None
    return next((str(document[name]) for name in _ID_FIELDS if document.get(name) is not None), None)


def _decoded(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")


def _is_jsonl(text: str) -> bool:
    """Whether the first line is a JSON object: prose may begin with a brace, but is no JSON."""
    first = text.lstrip().split("\n", 1)[0]
    if not first.startswith("{"):
        return False
    try:
        json.loads(first)
    except json.JSONDecodeError:
        return False
    except (ValueError, RecursionError):
        return True  # JSON, if beyond what can be read: the line is named then
    return True


def _jsonl(text: str, name: str) -> list[Document]:
    documents: list[Document] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            # NaN and infinities are no JSON: they come back as what other programs write for them.
            document = json.loads(line, parse_constant=lambda constant: None)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{name}, line {number}, column {error.colno}: {error.msg}",
                value=line,
                remedy="correct the line: JSONL has one JSON object a line",
            ) from None
        except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets within brackets
            raise InputError(f"{name}, line {number}: {error}", value=line, remedy="leave the line out") from None
        if not isinstance(document, dict) or not isinstance(document.get("text"), str):
            raise InputError(
                f"{name}, line {number}: not an object with a string 'text'",
                value=line,
                remedy='write each line as {"id": "7", "text": "..."}',
            )
        documents.append(document)
    return documents


def _paragraphs(text: str, name: str) -> Iterator[Document]:
    line, position = 1, 0
    text = text.replace("\r\n", "\n")
    for found in _PARAGRAPH.finditer(text):
        line += text.count("\n", position, found.start())
        position = found.start()
        yield {"id": f"{name}:{line}", "text": " ".join(found.group().split())}
