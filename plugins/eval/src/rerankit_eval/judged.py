"""Judged queries with their candidates; texts stay on disk and are read a query at a time."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerankit.errors import InputError

__all__ = ["Corpus", "JsonlCorpus", "JudgedQuery", "JudgedSet", "json_lines", "text_of"]


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """One query.

    Attributes:
        candidates: document ids in first-stage order.
        relevance: judged grade by document id; a document that is not in it was not judged.
        position: where its line begins, where candidates stand in the line of the query.
    """

    id: str
    text: str
    candidates: tuple[str, ...]
    relevance: Mapping[str, int]
    position: int = 0


class Corpus(ABC):
    """Where the texts are."""

    @abstractmethod
    def texts(self, query: JudgedQuery) -> list[str]:
        """The texts of the query's candidates, in their order."""


@dataclass(frozen=True, slots=True)
class JudgedSet:
    """What a service is measured on.

    Attributes:
        name: of the folder or file.
        first_stage: where the candidates come from, in words.
        missing: candidates left out, since the corpus has no text for them.
    """

    name: str
    first_stage: str
    queries: Sequence[JudgedQuery]
    corpus: Corpus = field(repr=False)
    missing: int = 0

    def facts(self) -> dict[str, Any]:
        """What a reader must know to read a figure."""
        return {
            "name": self.name,
            "first_stage": self.first_stage,
            "queries": len(self.queries),
            "candidates": sum(len(query.candidates) for query in self.queries),
            "judged": sum(len(query.relevance) for query in self.queries),
            "missing": self.missing,
        }


class JsonlCorpus(Corpus):
    """``corpus.jsonl`` of a BEIR folder: memory for an offset a candidate, not for its text."""

    def __init__(self, path: Path, offsets: Mapping[str, int]) -> None:
        self._path = path
        self._offsets = offsets

    def texts(self, query: JudgedQuery) -> list[str]:
        with self._path.open("rb") as file:
            texts = []
            for candidate in query.candidates:
                file.seek(self._offsets[candidate])
                texts.append(text_of(json.loads(file.readline())))
        return texts


def text_of(document: Mapping[str, Any]) -> str:
    """Title and text in one, as applications pass them."""
    return f"{document.get('title') or ''} {document.get('text') or ''}".strip()


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each object of a JSONL file, with the offset its line begins at.

    Raises:
        InputError: the file cannot be read, or a line is no JSON object.
    """
    offset = 0
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}",
            value=str(path),
            remedy="name a folder with corpus.jsonl, queries.jsonl and qrels, or a JSONL file",
        ) from error
    with file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    document = json.loads(line)
                except ValueError as error:
                    raise InputError(
                        f"{path.name}, line {number}: {error}", value=number, remedy="write one JSON object a line"
                    ) from None
                if not isinstance(document, dict):
                    raise InputError(
                        f"{path.name}, line {number}: not a JSON object",
                        value=number,
                        remedy="write one JSON object a line",
                    )
                yield offset, document
            offset += len(line)
