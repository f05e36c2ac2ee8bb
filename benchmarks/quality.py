"""nDCG@10 of a service over a folder in BEIR layout: ``python benchmarks/quality.py DIR --service mini``.

DIR holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels.tsv`` (or ``qrels/test.tsv``). Candidates are those of
``--run`` (TREC format; ``DIR/bm25.run`` if it is there), else a query's judged documents in their order.
The measure is nDCG@10 with linear gain, by ir_measures, over the queries that have judgements.
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Iterable
from pathlib import Path

import ir_measures

from rerankit import load_reranker

Scores = dict[str, dict[str, float]]


def texts(path: Path) -> dict[str, str]:
    """Title and text by id."""
    with path.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return {row["_id"]: f"{row.get('title') or ''} {row['text']}".strip() for row in rows}


def judgements(folder: Path) -> dict[str, dict[str, int]]:
    """Grades by query and document."""
    path = next(path for path in (folder / "qrels.tsv", folder / "qrels" / "test.tsv") if path.exists())
    found: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            found.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    return found


def ndcg(qrels: dict[str, dict[str, int]], run: Scores) -> float:
    """nDCG@10, the mean over the judged queries."""
    measure = ir_measures.nDCG @ 10
    return float(ir_measures.calc_aggregate([measure], qrels, run)[measure])


def by_rank(candidates: Iterable[str]) -> dict[str, float]:
    """Scores that keep the order."""
    return {document: -float(rank) for rank, document in enumerate(candidates)}


def main() -> None:
    """Print the first stage's figure and the reranked one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--service", default="mini")
    parser.add_argument("--arg", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--run", type=Path)
    options = parser.parse_args()
    corpus, queries = texts(options.folder / "corpus.jsonl"), texts(options.folder / "queries.jsonl")
    qrels = {query: grades for query, grades in judgements(options.folder).items() if query in queries}
    run_file = options.run or options.folder / "bm25.run"
    first: Scores = {}
    if run_file.exists():
        for row in ir_measures.read_trec_run(str(run_file)):  # type: ignore[no-untyped-call]
            first.setdefault(row.query_id, {})[row.doc_id] = row.score
        order = run_file.name
    else:
        first = {query: by_rank(d for d in grades if d in corpus) for query, grades in qrels.items()}
        order = "order of the judgements"
    reranked: Scores = {}
    started = time.perf_counter()
    with load_reranker(options.service, **dict(pair.split("=", 1) for pair in options.arg)) as reranker:
        for query in qrels:
            found = first.get(query, {})
            candidates = sorted(found, key=found.__getitem__, reverse=True)
            scores = reranker.get_scores(queries[query], [corpus[document] for document in candidates])
            reranked[query] = dict(zip(candidates, scores, strict=True))
    seconds = time.perf_counter() - started
    pairs = sum(map(len, reranked.values()))
    print(f"{options.folder.name}: {len(qrels)} queries, {pairs} pairs, {pairs / seconds:.0f} passages/s")
    print(f"nDCG@10  {order:<24} {ndcg(qrels, first):.3f}")
    print(f"nDCG@10  {options.service:<24} {ndcg(qrels, reranked):.3f}")


if __name__ == "__main__":
    main()
