"""Every format gives the same queries, candidates and judgements; texts are not held in memory."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from rerankit.errors import InputError
from rerankit_eval.formats import read_judged_set


def test_a_beir_folder_with_a_run(folder: Path) -> None:
    """Candidates in the order of the run's scores, texts from the corpus."""
    judged = read_judged_set(folder, run=folder / "made.run", depth=18)
    query = judged.queries[0]
    assert (query.id, query.text) == ("bees", "how do bees make honey")
    assert query.relevance == {"bees-1": 2, "bees-2": 1, "bees-3": 0}
    assert query.candidates[-3:] == ("bees-1", "bees-2", "bees-3")
    assert judged.corpus.texts(query)[-2] == "Honey is what bees eat in winter."
    assert judged.facts()["candidates"] == 6 * 18


def test_ties_of_a_run_keep_the_order_of_the_file(folder: Path, tmp_path: Path) -> None:
    """And ranks written in the file are not believed, as trec_eval does not."""
    run = tmp_path / "tied.run"
    run.write_text("bees Q0 bees-3 1 0.5 x\nbees Q0 bees-1 2 0.5 x\nbees Q0 bees-2 3 0.9 x\n")
    assert read_judged_set(folder, run=run).queries[0].candidates == ("bees-2", "bees-3", "bees-1")


def test_a_bm25_first_stage_is_built_on_the_spot(folder: Path) -> None:
    """Documents that share no word with the query are no candidates."""
    judged = read_judged_set(folder)
    by_id = {query.id: query.candidates for query in judged.queries}
    assert by_id["list"][0] == "list-1"
    assert "sleep-2" not in by_id["list"]
    assert read_judged_set(folder, depth=1).queries[0].candidates == by_id["bees"][:1]


def test_the_judged_documents_can_be_the_candidates(folder: Path) -> None:
    """For collections that were made for reranking."""
    judged = read_judged_set(folder, first_stage="judged")
    assert judged.queries[0].candidates == ("bees-1", "bees-2", "bees-3")


def test_judgements_as_trec_writes_them(folder: Path, tmp_path: Path) -> None:
    """Four columns; only judged queries are read."""
    qrels = tmp_path / "qrels.txt"
    qrels.write_text("bees 0 bees-1 3\nbees 0 bees-2 0\n")
    (query,) = read_judged_set(folder, qrels=qrels, first_stage="judged").queries
    assert query.relevance == {"bees-1": 3, "bees-2": 0}


def test_a_beir_folder_with_splits(folder: Path) -> None:
    """``qrels/test.tsv``, as BEIR's own collections have it."""
    (folder / "qrels").mkdir()
    (folder / "qrels.tsv").rename(folder / "qrels" / "test.tsv")
    assert len(read_judged_set(folder, first_stage="judged").queries) == 6


def test_lines_of_queries_with_candidates(tmp_path: Path) -> None:
    """Candidates as texts or objects, the relevant ones by position, id or grade."""
    path = tmp_path / "judged.jsonl"
    lines = [
        {"query": "a", "candidates": ["one", "two"], "relevant": [1]},
        {"id": "q", "query": "b", "candidates": [{"id": "x", "title": "T", "text": "three"}], "relevant": {"x": 2}},
    ]
    path.write_text("".join(json.dumps(line) + "\n\n" for line in lines))
    first, second = (judged := read_judged_set(path)).queries
    assert (first.id, first.candidates, first.relevance) == ("0", ("0", "1"), {"1": 1})
    assert (second.id, second.candidates, second.relevance) == ("q", ("x",), {"x": 2})
    assert judged.corpus.texts(first) == ["one", "two"]
    assert judged.corpus.texts(second) == ["T three"]


def test_a_candidate_without_a_text_is_left_out_and_counted(folder: Path, tmp_path: Path) -> None:
    """A run may be older than the corpus."""
    run = tmp_path / "old.run"
    run.write_text("bees Q0 gone 1 2 x\nbees Q0 bees-1 2 1 x\n")
    judged = read_judged_set(folder, run=run)
    assert judged.queries[0].candidates == ("bees-1",)
    assert judged.facts()["missing"] == 1


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("corpus.jsonl", "{", "corpus.jsonl, line 1"),
        ("corpus.jsonl", "[]", "not a JSON object"),
        ("qrels.tsv", "bees\tbees-1\tgood\n", "qrels.tsv, line 1"),
        ("qrels.tsv", "nobody\tbees-1\t1\n", "no query that has both"),
        ("made.run", "bees bees-1 3\n", "not a TREC run"),
        ("queries.jsonl", None, "queries.jsonl cannot be read"),
        ("qrels.tsv", None, "has no judgements"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, file: str, text: str | None, said: str) -> None:
    """With the file, and the line where there is one."""
    (folder / file).unlink()
    if text is not None:
        (folder / file).write_text(text)
    with pytest.raises(InputError, match=said):
        read_judged_set(folder, run=folder / "made.run" if file == "made.run" else None, first_stage="judged")


def test_a_line_without_candidates_is_named(tmp_path: Path) -> None:
    """With what a line must hold."""
    path = tmp_path / "judged.jsonl"
    path.write_text('{"query": "a", "relevant": []}\n')
    with pytest.raises(InputError, match=r"query 1: KeyError: 'candidates'"):
        read_judged_set(path)


def test_a_large_corpus_stays_on_disk(folder: Path) -> None:
    """40 MB of passages, of which the run names few: memory for offsets only."""
    filler = "All work and no play makes a large corpus. " * 45
    with (folder / "corpus.jsonl").open("a") as file:
        for number in range(20_000):
            file.write(json.dumps({"_id": f"filler-{number}", "text": filler}) + "\n")
    tracemalloc.start()
    try:
        judged = read_judged_set(folder, run=folder / "made.run")
        for query in judged.queries:
            assert len(judged.corpus.texts(query)) == 18
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (folder / "corpus.jsonl").stat().st_size > 35e6
    assert peak < 3e6
