"""Does the model behind a service do what a reranker is for? Behind ``rerankit doctor --model``.

Asked with shipped, hand-written probes (``rerankit.sanity_pairs``): whether scores rise with relevance, whether they
depend on the company in a call, whether they are told apart, and whether they lie where thresholds expect them. What
loaders only warn about (a head with random weights) is a finding here.
"""

from __future__ import annotations

import logging
import re
import statistics
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rerankit.reranker import AbstractReranker
from rerankit.sanity_pairs import KINDS, PROBES, Probe
from rerankit.scoring import ScoreKind

__all__ = ["Finding", "examine", "loader_warnings"]

_UNTRAINED = re.compile(r"(?i)newly initialized|not initialized from the model checkpoint|probably TRAIN this model")
"""How transformers tells that a checkpoint lacks weights the model needs."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_LOADERS = ("", "transformers", "sentence_transformers")
"""The root logger, and those that do not pass their records on to it."""

_UNIT = (ScoreKind.PROBABILITY, ScoreKind.CALIBRATED)
_FLAT = 0.01
_SIGMOID_OF_UNIT = (0.4999, 0.7311)
_COMPANY = 0.02
"""A score may move by this share of the spread of all scores: what bfloat16 costs, and not what a wrong mask does."""

_RARE = 0.1
_SHORT = "Yes."
_LONG = "The committee met again on Thursday and put off the decision on the new timetable. " * 20


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``remedy`` is set where it is not well."""

    subject: str
    detail: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class _Scored:
    probe: Probe
    better: float
    worse: float

    @property
    def right(self) -> bool:
        return self.better > self.worse


def examine(reranker: AbstractReranker) -> list[Finding]:
    """Every finding about ``reranker``, in a fixed order; about 90 short pairs are scored.

    Raises:
        RerankitError: the backend failed.
    """
    scored = [_Scored(probe, *reranker.get_scores(probe.query, [probe.better, probe.worse])) for probe in PROBES]
    return [
        _relevance(scored),
        *_kinds(scored),
        _company(reranker, scored),
        _distinct(scored),
        _range(reranker.capabilities.score_kind, _scores(scored)),
    ]


@contextmanager
def loader_warnings() -> Iterator[list[Finding]]:
    """Findings about what model loaders say while a model is loaded inside."""
    findings: list[Finding] = []

    def heed(said: str) -> None:
        if _UNTRAINED.search(said) and not findings:
            findings.append(
                Finding(
                    "weights",
                    f"the loader says: {' '.join(_COLOUR.sub('', said).split())[:300]}",
                    "name a checkpoint that was trained as a reranker: this one's classification head is random",
                )
            )

    handler = _Heeding(heed)
    for name in _LOADERS:
        logging.getLogger(name).addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as caught:
            yield findings
        for warning in caught:
            heed(str(warning.message))
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    finally:
        for name in _LOADERS:
            logging.getLogger(name).removeHandler(handler)


class _Heeding(logging.Handler):
    def __init__(self, heed: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._heed = heed

    def emit(self, record: logging.LogRecord) -> None:
        self._heed(record.getMessage())


def _relevance(scored: Sequence[_Scored]) -> Finding:
    """Unrelated documents come last: at random this is right for 8 of 8 once in 256 times."""
    topic = [item for item in scored if item.probe.kind == "topic"]
    right = sum(item.right for item in topic)
    detail = f"{right} of {len(topic)} unrelated documents scored below the one that answers"
    if right >= len(topic) - 1:
        return Finding("relevance", detail)
    missed = next(item.probe.query for item in topic if not item.right)
    return Finding(
        "relevance",
        f"{detail}; wrong for {missed!r}",
        "check the model: a head with random weights, a missing prompt template, or scores where less is better",
    )


def _kinds(scored: Sequence[_Scored]) -> Iterator[Finding]:
    for kind in KINDS[1:]:
        of_kind = [item for item in scored if item.probe.kind == kind]
        right = sum(item.right for item in of_kind)
        said = f"{right} of {len(of_kind)} right"
        if right <= len(of_kind) * 2 // 3:
            weak = "no better than chance would be" if right <= len(of_kind) / 2 else "weak"
            said += f": {weak}; do not rely on it for {_WEAKNESS[kind]}"
        yield Finding(kind, said)


_WEAKNESS = {
    "paraphrase": "questions whose answer uses other words",
    "negation": "queries with 'not' or 'without'",
    "numbers": "queries that compare quantities or dates",
    "language": "documents in other languages than the query's",
}


def _company(reranker: AbstractReranker, scored: Sequence[_Scored]) -> Finding:
    if reranker.capabilities.listwise:
        return Finding("company", "not asked: a listwise backend's scores depend on the other documents by design")
    moved = 0.0
    for item in scored[:: len(scored) // 6]:
        probe = item.probe
        (alone,) = reranker.get_scores(probe.query, [probe.better])
        accompanied = reranker.get_scores(probe.query, [_LONG, _SHORT, probe.better])[2]
        moved = max(moved, abs(alone - item.better), abs(accompanied - item.better))
    spread = _spread(_scores(scored))
    detail = f"a document's score moved by at most {moved:.2g} with other documents in the call"
    if moved <= _COMPANY * spread:
        return Finding("company", detail)
    return Finding(
        "company",
        f"{detail}, where all scores span {spread:.2g}",
        "use another engine or precision: padding leaks into the scores (a wrong attention mask, per-tensor int8)",
    )


def _distinct(scored: Sequence[_Scored]) -> Finding:
    scores = _scores(scored)
    tied = 1.0 - len(set(scores)) / len(scores)
    ends = sum(score in (0.0, 1.0) for score in scores) / len(scores)
    detail = f"{tied:.0%} of the scores tied, {ends:.0%} exactly 0 or 1"
    if tied <= _RARE and ends <= _RARE:
        return Finding("ties", detail)
    return Finding(
        "ties", detail, "keep logits and their activation in float32, or check that the model sees the documents"
    )


def _range(kind: ScoreKind, scores: Sequence[float]) -> Finding:
    low, high = min(scores), max(scores)
    inside = low >= 0.0 and high <= 1.0
    detail = f"{kind} scores from {low:.3g} to {high:.3g}, median {statistics.median(scores):.3g}"
    if kind in _UNIT and not inside:
        return Finding(
            "range", f"{detail}: these are logits", "apply the model's activation, or declare score_kind logit"
        )
    if not inside:
        detail += "; a threshold in [0, 1] means nothing for them: fit one with `rerankit calibrate`"
    elif high - low < _FLAT:
        return Finding(
            "range",
            f"{detail}: they hardly differ",
            "name a checkpoint that was trained as a reranker: such scores come from a head with random weights",
        )
    elif _SIGMOID_OF_UNIT[0] <= low and high <= _SIGMOID_OF_UNIT[1]:
        return Finding(
            "range", f"{detail}: where a sigmoid puts probabilities", "apply the activation once, not to its own result"
        )
    elif high < 0.1 or low > 0.9:
        return Finding(
            "range",
            f"{detail}: a threshold such as 0.5 tells nothing apart",
            "fit the scores with `rerankit calibrate`",
        )
    return Finding("range", detail)


def _scores(scored: Sequence[_Scored]) -> list[float]:
    return [score for item in scored for score in (item.better, item.worse)]


def _spread(scores: Sequence[float]) -> float:
    return max(scores) - min(scores)
