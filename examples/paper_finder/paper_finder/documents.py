"""Papers from files: JSONL, or one text file a paper."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Paper", "Passage", "papers_of"]


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a paper: ``char_start_offset`` characters into it."""

    text: str
    section_title: str = ""
    char_start_offset: int = 0


@dataclass(frozen=True, slots=True)
class Paper:
    """A paper; without an abstract its first passage stands in."""

    corpus_id: str
    title: str
    abstract: str = ""
    passages: list[Passage] = field(default_factory=list)


def papers_of(source: Path) -> Iterator[Paper]:
    """The papers of a file, or of all ``.jsonl``, ``.txt`` and ``.md`` files below a folder, in order of their names.

    A line of JSONL is a paper (``corpus_id``, ``title``, ``abstract`` and ``passages``, each with ``text`` and maybe
    ``section_title``), or a passage of one (``corpus_id``, ``title``, ``text``). Of a text file the first line is the
    title and each paragraph a passage; one of a single line beginning with ``#`` is a section's title.

    Raises:
        ValueError: a line that is no paper; names file and line.
    """
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    for path in files:
        if path.suffix == ".jsonl":
            yield from _lines(path)
        elif path.suffix in (".txt", ".md"):
            yield _text(path)


def _lines(path: Path) -> Iterator[Paper]:
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield _paper(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise ValueError(f"{path}, line {number}: {type(error).__name__} {error}") from None


def _paper(given: dict[str, object]) -> Paper:
    passages = given.get("passages", [given] if "text" in given else [])
    if not isinstance(passages, list):
        raise TypeError("passages is no list")
    found = []
    offset = 0
    for passage in passages:
        text = str(passage["text"])
        found.append(
            Passage(text, str(passage.get("section_title", "")), int(passage.get("char_start_offset", offset)))
        )
        offset += len(text) + 1
    return Paper(str(given["corpus_id"]), str(given.get("title", "")), str(given.get("abstract", "")), found)


def _text(path: Path) -> Paper:
    content = path.read_text(encoding="utf-8", errors="replace")
    title, _, _ = content.strip().partition("\n")
    passages: list[Passage] = []
    section = ""
    for match in re.finditer(r"(?:[^\n]+\n?)+", content):
        text = match.group().strip()
        if text == title.strip():
            continue
        if text.startswith("#") and "\n" not in text:
            section = text.lstrip("# ")
        else:
            passages.append(Passage(text, section, match.start()))
    return Paper(path.stem, title.lstrip("# ").strip() or path.stem, "", passages)
