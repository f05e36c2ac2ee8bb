"""The paper finder: retrieval, reranking, aggregation, the threshold, and the program itself."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from paper_finder.documents import Paper, Passage, papers_of
from paper_finder.finder import PaperFinderWithReranker
from paper_finder.index import PaperIndex
from paper_finder.retriever import FullTextRetriever

from rerankit import Capabilities, ScoreKind, load_reranker
from rerankit.errors import UnavailableError
from rerankit.testing import FakeReranker

EXAMPLE = Path(__file__).parents[2] / "examples/paper_finder"
PAPERS = EXAMPLE / "papers"
SNIPPET = {"corpus_id", "title", "text", "score", "section_title", "char_start_offset", "stype"}


@pytest.fixture
def retriever(tmp_path: Path) -> FullTextRetriever:
    index = PaperIndex(tmp_path / "papers.db")
    index.build(papers_of(PAPERS))
    return FullTextRetriever(index)


def finder(retriever: FullTextRetriever, scores: dict[str, float], **arguments: Any) -> PaperFinderWithReranker:
    """A finder whose reranker scores a passage by the first of ``scores`` that it contains, else 0."""
    kind = arguments.pop("kind", ScoreKind.PROBABILITY)
    reranker = FakeReranker(
        lambda query, passage: next((score for word, score in scores.items() if word in passage), 0.0),
        capabilities=Capabilities(kind),
    )
    return PaperFinderWithReranker(retriever, reranker, **arguments)


def test_candidates_are_passages_and_papers_that_no_passage_is_from(retriever: FullTextRetriever) -> None:
    """Snippets have the application's shape; a keyword hit has score 0.0 and the abstract as text."""
    query = "cockpit alertness of aviators during naps"
    passages = retriever.retrieve_passages(query)
    assert all(set(snippet) == SNIPPET for snippet in passages)
    assert [snippet["score"] for snippet in passages] == sorted((s["score"] for s in passages), reverse=True)
    retriever.n_retrieval = 1
    found = PaperFinderWithReranker(retriever, None).candidates("sleep")
    assert [snippet["stype"] for snippet in found] == ["passage"]
    found = PaperFinderWithReranker(retriever, None).candidates("iron cockpit")
    assert len({snippet["corpus_id"] for snippet in found}) == len(found)
    assert [snippet["score"] for snippet in found if snippet["stype"] == "paper"] == [0.0]


def test_a_paper_is_as_relevant_as_its_best_passage(retriever: FullTextRetriever) -> None:
    """Most relevant first, its passages best first, papers below the threshold dropped."""
    answer = finder(retriever, {"melatonin": 0.9, "Amber": 0.7, "napped": 0.6}, n_rerank=-1).find(
        "sleep of pilots, screen"
    )
    assert [(paper.corpus_id, paper.relevance_judgement) for paper in answer.papers] == [("h1", 0.9), ("h4", 0.6)]
    assert [snippet["rerank_score"] for snippet in answer.papers[0].sentences][:2] == [0.9, 0.7]
    assert answer.notices == []


def test_the_passage_that_is_judged_is_title_and_text(retriever: FullTextRetriever) -> None:
    """One call, in the order of the first stage."""
    reranker = FakeReranker()
    PaperFinderWithReranker(retriever, reranker).find("melatonin")
    (request,) = reranker.requests
    assert request.pairs[0][1].startswith("Evening screen light and the onset of sleep in adolescents Two hours")


def test_n_rerank_cuts_passages(retriever: FullTextRetriever) -> None:
    """-1 keeps all."""
    few = finder(retriever, {"": 0.8}, n_rerank=3).find("sleep coffee bees trees corals")
    assert sum(len(paper.sentences) for paper in few.papers) == 3


def test_a_threshold_is_for_probabilities_only(retriever: FullTextRetriever) -> None:
    """Logits are ordered, not cut, and the answer says why; calibrated scores are cut."""
    scores = {"melatonin": -2.0, "napped": -3.0}
    answer = finder(retriever, scores, kind=ScoreKind.LOGIT, n_rerank=50).find("melatonin napped")
    assert {"h1", "h4"} <= {paper.corpus_id for paper in answer.papers}
    (notice,) = answer.notices
    assert "logit" in notice
    assert "calibrate" in notice
    cut = finder(retriever, {"melatonin": 0.4}, kind=ScoreKind.CALIBRATED).find("melatonin")
    assert cut.papers == []
    assert cut.notices == ["no paper reaches context_threshold 0.5; the best is at 0.40"]


def test_what_happened_is_said(retriever: FullTextRetriever, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reranking switched off, or failed and left in input order: papers as they were found, nothing dropped."""
    order = [paper.corpus_id for paper in PaperFinderWithReranker(retriever, None).find("honey bees winter").papers]
    off = PaperFinderWithReranker(retriever, load_reranker(None)).find("honey bees winter")
    assert [paper.corpus_id for paper in off.papers] == order
    assert off.papers[0].relevance_judgement is None
    assert "not scored" in off.notices[0]
    down = PaperFinderWithReranker(retriever, FakeReranker(faults=itertools.repeat(UnavailableError("down"))))
    with pytest.raises(UnavailableError):
        down.find("honey bees winter")


def test_nothing_found_is_no_papers(retriever: FullTextRetriever) -> None:
    """A question without a known word, or without a word."""
    for question in ("xyzzy", "???"):
        assert finder(retriever, {}).find(question).papers == []


def test_full_text_syntax_in_a_question_is_only_text(retriever: FullTextRetriever) -> None:
    """Quotes, operators and column names of FTS5 do nothing."""
    for question in ('"sleep', "sleep AND", "title:sleep NEAR(", "sleep*", "'; DROP TABLE papers; --"):
        assert retriever.retrieve_passages(f"{question} melatonin")


def test_papers_come_from_jsonl_and_texts(tmp_path: Path) -> None:
    """A paper or a passage a line; paragraphs and sections of a text, with their offsets."""
    (tmp_path / "a.jsonl").write_text(
        '{"corpus_id": 1, "title": "T", "abstract": "A", "passages": [{"text": "x", "section_title": "S"}]}\n\n'
        '{"corpus_id": 2, "title": "U", "text": "y"}\n'
    )
    (tmp_path / "b.md").write_text("# Title\n\nOne\nline.\n\n## Part\n\nTwo.\n")
    assert list(papers_of(tmp_path)) == [
        Paper("1", "T", "A", [Passage("x", "S")]),
        Paper("2", "U", "", [Passage("y")]),
        Paper("b", "Title", "", [Passage("One\nline.", "", 9), Passage("Two.", "Part", 29)]),
    ]
    (tmp_path / "c.jsonl").write_text('{"corpus_id": 1}\n{"title": "no id"}\n')
    with pytest.raises(ValueError, match=r"c\.jsonl, line 2"):
        list(papers_of(tmp_path))


def test_every_configuration_has_the_applications_shape() -> None:
    """What the finder takes, and a service rerankit knows."""
    for path in sorted((EXAMPLE / "run_configs").glob("*.json")):
        section = json.loads(path.read_text())["run_config"]
        FullTextRetriever(PaperIndex(path), **section["retriever_args"])
        PaperFinderWithReranker(FullTextRetriever(PaperIndex(path)), None, **section["paper_finder_args"])
        assert section["reranker_service"] in {"mini", "modal", "crossencoder", "local_service", "cascade"}


def program(*arguments: str, cwd: Path, status: int = 0) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RERANK", "MODAL"))}
    done = subprocess.run(
        [sys.executable, "-m", "paper_finder", *arguments],
        cwd=cwd,
        env={**clean, "PYTHONPATH": str(EXAMPLE), "HOME": str(cwd)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_program_indexes_a_folder_and_answers(tmp_path: Path) -> None:
    """With the configuration beside it: the embedded default, offline."""
    assert "papers" in program("index", str(PAPERS), cwd=tmp_path)
    answer = json.loads(program("ask", "how do honey bees survive the winter?", "--json", cwd=tmp_path))
    assert answer["served_by"] == "mini"
    assert answer["papers"][0]["corpus_id"] == "bees"
    assert 0.5 <= answer["papers"][0]["relevance_judgement"] <= 1.0
    shown = program("ask", "how do honey bees survive the winter?", cwd=tmp_path)
    assert "How honey bees keep the winter cluster warm" in shown


def test_the_readmes_commands_run(tmp_path: Path) -> None:
    """In a copy of the example; with Modal named and no way to it, its fallback answers and is named."""
    folder = shutil.copytree(EXAMPLE, tmp_path / "example")
    commands = re.findall(r"^\$ python -m paper_finder (.*)$", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    told = [program(*shlex.split(command), cwd=folder) for command in commands]
    assert "papers" in told[0]
    assert all("How honey bees keep the winter cluster warm" in answer for answer in told[1:])
    assert "mini answered instead" in told[-1]


def test_a_wrong_configuration_is_told_not_thrown(tmp_path: Path) -> None:
    """Message and remedy, no traceback."""
    program("index", str(PAPERS), cwd=tmp_path)
    (tmp_path / "wrong.json").write_text('{"run_config": {"reranker_service": "minni"}}')
    told = program("ask", "bees", "--config", "wrong.json", cwd=tmp_path, status=1)
    assert "minni" in told
    assert "Traceback" not in told
