"""A small judged set written by hand, and a service that scores by shared words, as an installed distribution."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rerankit.plugins.manager import plugin_manager

QUERIES = {
    "bees": "how do bees make honey",
    "quake": "what causes earthquakes",
    "bread": "how to bake sourdough bread",
    "moon": "who walked on the moon first",
    "list": "reverse a list in python",
    "sleep": "how to fall asleep faster",
}
PASSAGES = {
    "bees-1": ("bees", 2, "Bees make honey from nectar: they evaporate its water in the comb."),
    "bees-2": ("bees", 1, "Honey is what bees eat in winter."),
    "bees-3": ("bees", 0, "How bees find their way has little to do with honey."),
    "quake-1": ("quake", 2, "What causes earthquakes is rock that slips along a fault."),
    "quake-2": ("quake", 0, "Earthquakes were the subject of the lecture on Tuesday."),
    "quake-3": ("quake", 0, "What causes delays is the timetable."),
    "bread-1": ("bread", 2, "To bake sourdough bread, let the dough rise over night."),
    "bread-2": ("bread", 1, "Sourdough is a culture of yeast and bacteria."),
    "bread-3": ("bread", 0, "How to sell bread at a market."),
    "moon-1": ("moon", 2, "Neil Armstrong walked on the moon first, in July 1969."),
    "moon-2": ("moon", 1, "Twelve people have walked on the moon."),
    "moon-3": ("moon", 0, "The moon is full on the first of May."),
    "list-1": ("list", 2, "Reverse a list in python with its method reverse."),
    "list-2": ("list", 0, "The python is a snake, and on the list of protected animals."),
    "list-3": ("list", 0, "A list of hotels in reverse order of price."),
    "sleep-1": ("sleep", 2, "A dark room helps to fall asleep faster."),
    "sleep-2": ("sleep", 0, "Prices fall faster than wages."),
    "sleep-3": ("sleep", 0, "How to fall on a judo mat."),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The judged set in BEIR layout, with a run that has every passage of every query, worst first."""
    folder = tmp_path / "judged"
    folder.mkdir()
    write_lines(folder / "queries.jsonl", [{"_id": name, "text": text} for name, text in QUERIES.items()])
    write_lines(
        folder / "corpus.jsonl", [{"_id": name, "title": "", "text": text} for name, (_, _, text) in PASSAGES.items()]
    )
    judgements = [f"{query}\t{name}\t{grade}" for name, (query, grade, _) in PASSAGES.items()]
    (folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(judgements) + "\n")
    run = [
        f"{query} Q0 {name} {rank} {100 - rank} made"
        for query in QUERIES
        for rank, name in enumerate(sorted(PASSAGES, key=lambda name: PASSAGES[name][0] == query))
    ]
    (folder / "made.run").write_text("\n".join(run) + "\n")
    return folder


def write_lines(path: Path, lines: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


PLUGIN = '''
import os, time
import rerankit
from rerankit.arguments import ServiceArguments
from rerankit.testing import word_overlap
from pydantic import SecretStr

class Arguments(ServiceArguments):
    model: str = "words"
    delay: float = 0.0
    falling: bool = False
    key: SecretStr | None = None

class Words(rerankit.PairReranker):
    """Scores by shared words; writes each query it is asked into the file that WORDS_LOG names."""

    def __init__(self, model="words", delay=0.0, falling=False, key=None):
        self.model, self.delay, self.falling = model, delay, falling
        self.capabilities = rerankit.Capabilities(rerankit.ScoreKind.PROBABILITY)

    @property
    def fingerprint(self):
        return f"{self.model}@1 {self.falling}"

    def score_pairs(self, request):
        if self.model == "broken":
            raise rerankit.errors.UnavailableError("the service is down")
        time.sleep(self.delay)
        with open(os.environ["WORDS_LOG"], "a") as log:
            log.writelines(f"{query}\\n" for query, _ in request.pairs)
        sign = -1 if self.falling else 1
        scores = [0.5 + sign * (word_overlap(q, d) - 0.5) * (1 - len(d) / 1000) for q, d in request.pairs]
        return rerankit.ScoreBatch(scores, model=self.model, revision="1")

@rerankit.hookimpl
def rerankit_rerankers():
    return [rerankit.RerankerSpec("words", Words, arguments=Arguments)]
'''


@dataclass
class Words:
    """The installed service ``words``."""

    log: Path
    environment: dict[str, str]

    def asked(self) -> int:
        """Pairs it was asked for so far, by any process."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Words]:
    """For this process and those it starts."""
    site = tmp_path / "site-packages"
    info = site / "acme_words-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "acme_words.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-words\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rerankit.plugins]\nwords = acme_words\n")
    log = tmp_path / "asked.log"
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("WORDS_LOG", str(log))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])]))
    plugin_manager.cache_clear()
    yield Words(log, dict(os.environ))
    sys.modules.pop("acme_words", None)
    plugin_manager.cache_clear()
