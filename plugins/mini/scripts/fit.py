"""Fit the logistic of ``recipe.py`` on judged pairs: ``python scripts/fit.py FOLDER:GRADE [FOLDER:GRADE ...]``.

Each FOLDER is in BEIR layout; documents judged GRADE or better count as relevant. Only judged pairs are used; each
folder weighs alike. Prints slope and intercept for ``recipe.py``, and the expected calibration error (10 bins of equal
width) on queries held out in five folds. Needs scikit-learn.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from rerankit_mini import MiniReranker
from rerankit_mini.recipe import logit

Array = npt.NDArray[Any]


def judged(folder: Path, grade: int) -> tuple[Array, Array, list[str]]:
    """Similarity, relevance and query of every judged pair whose texts are there."""
    texts = {}
    for name in ("queries", "corpus"):
        with (folder / f"{name}.jsonl").open() as lines:
            rows = [json.loads(line) for line in lines]
        texts[name] = {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in rows}
    pairs: dict[str, list[tuple[str, bool]]] = {}
    with (folder / "qrels.tsv").open() as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if row["query-id"] in texts["queries"] and row["corpus-id"] in texts["corpus"]:
                pairs.setdefault(row["query-id"], []).append((row["corpus-id"], int(row["score"]) >= grade))
    reranker = MiniReranker(normalize=False)
    zero, one = logit(0.0), logit(1.0)
    similarities: list[float] = []
    relevant: list[bool] = []
    groups: list[str] = []
    for query, found in pairs.items():
        scores = reranker.get_scores(texts["queries"][query], [texts["corpus"][document] for document, _ in found])
        similarities += [(score - zero) / (one - zero) for score in scores]
        relevant += [judgement for _, judgement in found]
        groups += [f"{folder.name}/{query}"] * len(found)
    return np.array(similarities)[:, None], np.array(relevant), groups


def calibration_error(probabilities: Array, relevant: Array, weights: Array) -> float:
    """Expected calibration error over ten bins of equal width (Naeini et al. 2015)."""
    bins = np.minimum((probabilities * 10).astype(int), 9)
    total = 0.0
    for one in range(10):
        inside = bins == one
        if inside.any():
            gap = np.average(probabilities[inside], weights=weights[inside]) - np.average(
                relevant[inside], weights=weights[inside]
            )
            total += abs(gap) * weights[inside].sum()
    return float(total / weights.sum())


def main(*sources: str) -> None:
    """Print the two parameters and the error."""
    parts = []
    for source in sources:
        folder, _, grade = source.rpartition(":")
        similarities, relevant, groups = judged(Path(folder), int(grade))
        parts.append((similarities, relevant, groups, np.full(len(relevant), 1 / len(relevant))))
        print(f"{Path(folder).name}: {len(relevant)} judged pairs, {relevant.mean():.1%} relevant")
    x, y = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    groups, weights = [group for part in parts for group in part[2]], np.concatenate([part[3] for part in parts])
    held_out = np.zeros(len(y))
    for train, test in GroupKFold(5).split(x, y, groups):
        model = LogisticRegression(C=1e6).fit(x[train], y[train], sample_weight=weights[train] * len(y))
        held_out[test] = model.predict_proba(x[test])[:, 1]
    print(f"calibration error on held-out queries: {calibration_error(held_out, y, weights):.3f}")
    for part, start in zip(parts, np.cumsum([0, *(len(part[1]) for part in parts)]), strict=False):
        span = slice(start, start + len(part[1]))
        print(f"  of them {part[2][0].split('/')[0]}: {calibration_error(held_out[span], y[span], weights[span]):.3f}")
    model = LogisticRegression(C=1e6).fit(x, y, sample_weight=weights * len(y))
    print(f"_SLOPE, _INTERCEPT = {model.coef_[0, 0]:.3f}, {model.intercept_[0]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
