"""What ``rerankit bench`` asks: a query and passages of the lengths that real corpora have."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerankit.cli.passages import from_file

__all__ = ["Workload", "from_passages", "synthetic"]

# Log-normal, as fitted on MS MARCO passages and paper snippets: about 142 tokens in the median, 512 at most.
_MEDIAN_WORDS = 105
_SIGMA = 0.55
_MOST_WORDS = 380


@dataclass(frozen=True, slots=True)
class Workload:
    """A query, and enough passages for the largest call."""

    name: str
    query: str
    passages: Sequence[str] = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """What two runs must have in common to be compared."""
        lengths = [len(passage) for passage in self.passages]
        return {
            "name": self.name,
            "query": self.query,
            "passages": len(lengths),
            "characters": sum(lengths),
            "median_characters": statistics.median(lengths),
        }


def synthetic(count: int, seed: int = 0) -> Workload:
    """``count`` passages of English prose (Python's own documentation), log-normal in length; equal for equal seeds."""
    from pydoc_data.topics import topics

    words = " ".join(str(topics[name]) for name in sorted(topics)).split()
    dice = random.Random(seed)
    passages = []
    for _ in range(count):
        length = min(int(dice.lognormvariate(0.0, _SIGMA) * _MEDIAN_WORDS) + 1, _MOST_WORDS)
        start = dice.randrange(len(words) - length)
        passages.append(" ".join(words[start : start + length]))
    return Workload("synthetic", "how does Python find the attribute of an object", passages)


def from_passages(path: Path, query: str, count: int) -> Workload:
    """The passages of a file, over again if they are too few.

    Raises:
        InputError: the file holds none.
    """
    documents = from_file(path)
    texts = [document if isinstance(document, str) else str(document["text"]) for document in documents]
    return Workload(path.name, query, [texts[number % len(texts)] for number in range(count)])
