"""Reading judged sets: BEIR folders, TREC runs and qrels, JSONL of (query, candidates, relevant)."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import ir_measures

from rerankit.errors import InputError
from rerankit_eval.judged import Corpus, JsonlCorpus, JudgedQuery, JudgedSet, json_lines, text_of

__all__ = ["FirstStage", "read_judged_set"]

FirstStage: TypeAlias = Literal["bm25", "judged"]
Judgements: TypeAlias = dict[str, dict[str, int]]


def read_judged_set(
    data: Path,
    *,
    run: Path | None = None,
    qrels: Path | None = None,
    first_stage: FirstStage = "bm25",
    depth: int = 100,
    limit: int | None = None,
) -> JudgedSet:
    """The judged queries of ``data``, each with at most ``depth`` candidates.

    Args:
        data: a folder in BEIR layout (``corpus.jsonl``, ``queries.jsonl``, ``qrels.tsv`` or ``qrels/test.tsv``), or a
            JSONL file with ``query``, ``candidates`` and ``relevant`` in each line.
        run: a TREC run that gives the candidates.
        qrels: judgements from elsewhere: TREC (four columns) or BEIR (three, with a header).
        first_stage: without a run, candidates by BM25 over the corpus, or the judged documents in the order given.
        depth: candidates a query.
        limit: the first so many queries only.

    Raises:
        InputError: something is missing or malformed.
    """
    if data.is_file():
        return _from_lines(data, depth, limit)
    judgements = _judgements(qrels or _qrels_of(data))
    texts = {
        str(q["_id"]): str(q["text"]) for _, q in json_lines(data / "queries.jsonl") if str(q["_id"]) in judgements
    }
    wanted = list(texts)[:limit]
    corpus_path = data / "corpus.jsonl"
    if run is not None:
        candidates, source = _candidates_of_run(run, set(wanted), depth), f"{run.name}, top {depth}"
    elif first_stage == "judged":
        candidates, source = (
            {q: list(judgements[q])[:depth] for q in wanted},
            "the judged documents, in the order given",
        )
    else:
        from rerankit_eval.first_stage import bm25

        candidates = bm25(corpus_path, {query: texts[query] for query in wanted}, depth)
        source = f"BM25 over the corpus, top {depth}"
    offsets = _offsets(corpus_path, {doc for docs in candidates.values() for doc in docs})
    queries, missing = [], 0
    for query in wanted:
        found = tuple(doc for doc in candidates.get(query, ()) if doc in offsets)
        missing += len(candidates.get(query, ())) - len(found)
        queries.append(JudgedQuery(query, texts[query], found, judgements[query]))
    return _checked(JudgedSet(data.name, source, queries, JsonlCorpus(corpus_path, offsets), missing), data)


def _checked(judged: JudgedSet, data: Path) -> JudgedSet:
    if not any(query.candidates for query in judged.queries):
        raise InputError(
            f"{data} has no query that has both judgements and candidates",
            value=str(data),
            remedy="check that ids agree between queries, corpus, qrels and run",
        )
    return judged


def _qrels_of(folder: Path) -> Path:
    places = [folder / "qrels.tsv", folder / "qrels" / "test.tsv", folder / "qrels.txt"]
    found = next((path for path in places if path.is_file()), None)
    if found is None:
        raise InputError(
            f"{folder} has no judgements",
            value=str(folder),
            remedy="add qrels.tsv or qrels/test.tsv, or name the file with --qrels",
        )
    return found


def _judgements(path: Path) -> Judgements:
    judgements: Judgements = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", value=str(path)) from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if not fields or (number == 1 and fields[-1] == "score"):
            continue
        try:
            query, document, grade = (fields[0], fields[-2], fields[-1]) if len(fields) in (3, 4) else ("", "", "")
            judgements.setdefault(query, {})[document] = int(grade)
        except ValueError:
            raise InputError(
                f"{path.name}, line {number}: not a judgement",
                value=line,
                remedy="write 'query-id corpus-id score' or, as TREC does, 'query 0 document grade'",
            ) from None
    return judgements


def _candidates_of_run(path: Path, queries: Collection[str], depth: int) -> dict[str, list[str]]:
    scored: dict[str, list[tuple[float, str]]] = {}
    try:
        for entry in ir_measures.read_trec_run(str(path)):  # type: ignore[no-untyped-call]
            if entry.query_id in queries:
                scored.setdefault(entry.query_id, []).append((-entry.score, entry.doc_id))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a TREC run: {error}",
            value=str(path),
            remedy="write 'query Q0 document rank score name' in each line",
        ) from error
    # Stable: ties stay in the order of the file.
    return {query: [doc for _, doc in sorted(docs, key=lambda d: d[0])[:depth]] for query, docs in scored.items()}


def _offsets(corpus: Path, wanted: Collection[str]) -> dict[str, int]:
    return {str(doc["_id"]): offset for offset, doc in json_lines(corpus) if str(doc.get("_id")) in wanted}


class _InlineCorpus(Corpus):
    def __init__(self, path: Path) -> None:
        self._path = path

    def texts(self, query: JudgedQuery) -> list[str]:
        with self._path.open("rb") as file:
            file.seek(query.position)
            by_id = dict(_identified(json.loads(file.readline())["candidates"]))
        return [by_id[candidate] for candidate in query.candidates]


def _from_lines(path: Path, depth: int, limit: int | None) -> JudgedSet:
    queries = []
    for number, (offset, line) in enumerate(json_lines(path)):
        if number == limit:
            break
        try:
            ids = tuple(identifier for identifier, _ in _identified(line["candidates"]))[:depth]
            relevance = _relevance(line["relevant"])
            queries.append(JudgedQuery(str(line.get("id", number)), str(line["query"]), ids, relevance, offset))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(
                f"{path.name}, query {number + 1}: {type(error).__name__}: {error}",
                value=number,
                remedy='write {"query": "...", "candidates": [{"id": "a", "text": "..."}], "relevant": ["a"]}',
            ) from None
    return _checked(JudgedSet(path.name, "the candidates given, in their order", queries, _InlineCorpus(path)), path)


def _identified(candidates: Iterable[Any]) -> Iterable[tuple[str, str]]:
    """Candidates are strings, named by their position, or objects with an id."""
    for position, candidate in enumerate(candidates):
        if isinstance(candidate, str):
            yield str(position), candidate
        else:
            yield str(candidate.get("id", position)), text_of(candidate)


def _relevance(relevant: Any) -> Mapping[str, int]:
    if isinstance(relevant, Mapping):
        return {str(identifier): int(grade) for identifier, grade in relevant.items()}
    return {str(identifier): 1 for identifier in relevant}
