"""``rerankit doctor --model``: each way a model's set-up is wrong is named, and a sound model is left in peace."""

from __future__ import annotations

import json
import logging
import math
import warnings
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from rerankit.cli import cli
from rerankit.sanity import examine, loader_warnings
from rerankit.sanity_pairs import KINDS, PROBES
from rerankit.scoring import Capabilities, ScoreKind, ScoreRequest
from rerankit.testing import FakeReranker

_BETTER = {(probe.query, probe.better) for probe in PROBES}


def noise(query: str, document: str) -> float:
    """In [0, 1], and nothing to do with relevance."""
    return zlib.crc32(f"{query}|{document}".encode()) / 2**32


def knowing(query: str, document: str) -> float:
    """A logit that is right about every probe."""
    return (3.0 if (query, document) in _BETTER else -3.0) + noise(query, document)


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def wrong(score: Callable[[str, str], float], kind: ScoreKind = ScoreKind.PROBABILITY) -> dict[str, str]:
    """Subject and detail of every finding that has a remedy."""
    findings = examine(FakeReranker(score, capabilities=Capabilities(kind)))
    return {finding.subject: finding.detail for finding in findings if finding.remedy}


def test_the_probes_are_of_several_kinds_and_all_different() -> None:
    """At least six of each kind, no text twice."""
    assert min(Counter(probe.kind for probe in PROBES).values()) >= 6
    assert {probe.kind for probe in PROBES} == set(KINDS)
    documents = [text for probe in PROBES for text in (probe.better, probe.worse)]
    assert len(set(documents)) == len(documents)


def test_a_sound_model_has_no_remedy() -> None:
    """Right about everything, in [0, 1]: every kind is reported, none is wrong."""
    findings = examine(FakeReranker(lambda q, d: sigmoid(knowing(q, d))))
    assert [finding.subject for finding in findings] == ["relevance", *KINDS[1:], "company", "ties", "range"]
    assert [finding for finding in findings if finding.remedy] == []


def test_a_random_head_is_found() -> None:
    """Its order has nothing to do with relevance, and its scores are nearly one and the same."""
    found = wrong(lambda q, d: 0.5 + 0.001 * noise(q, d))
    assert "relevance" in found
    assert "hardly differ" in found["range"]


def test_scores_where_less_is_better_are_found() -> None:
    """A distance instead of a similarity."""
    assert wrong(lambda q, d: sigmoid(-knowing(q, d)))["relevance"].startswith("0 of 8")


def test_a_model_that_knows_only_words_is_not_blamed_but_its_weakness_is_told() -> None:
    """Shared words find the topic, and not paraphrases."""
    found = {finding.subject: finding for finding in examine(FakeReranker())}
    assert found["relevance"].remedy is None
    assert found["paraphrase"].remedy is None
    assert "do not rely on it for questions whose answer uses other words" in found["paraphrase"].detail
    assert "other languages" in found["language"].detail


def test_saturated_scores_are_found() -> None:
    """An activation in half precision ends at exactly 0 and 1."""
    assert wrong(lambda q, d: float(knowing(q, d) > 0))["ties"] == "97% of the scores tied, 100% exactly 0 or 1"


def test_logits_that_claim_to_be_probabilities_are_found() -> None:
    """And logits that say so are not wrong, but no threshold fits them."""
    assert "these are logits" in wrong(knowing)["range"]
    assert wrong(knowing, ScoreKind.LOGIT) == {}
    said = {f.subject: f.detail for f in examine(FakeReranker(knowing, capabilities=Capabilities(ScoreKind.LOGIT)))}
    assert "rerankit calibrate" in said["range"]


def test_an_activation_applied_twice_is_found() -> None:
    """The sigmoid of a probability lies between 0.5 and 0.73."""
    assert "where a sigmoid puts probabilities" in wrong(lambda q, d: sigmoid(sigmoid(knowing(q, d))))["range"]


def test_scores_that_are_all_low_are_found() -> None:
    """A cosine far below every threshold."""
    assert "tells nothing apart" in wrong(lambda q, d: 0.05 * sigmoid(knowing(q, d)))["range"]


class Leaking(FakeReranker):
    """Padding leaks: the longest document of a call shifts all scores."""

    def score_pairs(self, request: ScoreRequest) -> Any:
        longest = max(len(document) for _, document in request.pairs)
        shift = longest / 2000
        self._score = lambda q, d: sigmoid(knowing(q, d) - shift)
        return super().score_pairs(request)


def test_scores_that_depend_on_the_company_are_found() -> None:
    """Unless the backend says it is listwise."""
    leaking = Leaking()
    assert "company" in [finding.subject for finding in examine(leaking) if finding.remedy]
    leaking.capabilities = Capabilities(ScoreKind.PROBABILITY, listwise=True)
    assert "company" not in [finding.subject for finding in examine(leaking) if finding.remedy]


REPORT = "BertModel LOAD REPORT\nclassifier.weight | MISSING |\nthose params were newly initialized because missing"


def test_what_a_loader_only_warns_about_is_a_finding() -> None:
    """By logging, in a logger of its own, and by a warning, which is passed on."""
    with loader_warnings() as findings:
        logging.getLogger("transformers.modeling_utils").warning(REPORT)
        logging.getLogger("transformers.modeling_utils").warning(REPORT)
    assert [finding.subject for finding in findings] == ["weights"]
    with pytest.warns(UserWarning, match="newly initialized"), loader_warnings() as findings:
        warnings.warn("Some weights of Bert were newly initialized: ['classifier']", stacklevel=1)
    assert len(findings) == 1
    with loader_warnings() as findings:
        logging.getLogger("transformers.modeling_utils").warning("the tokenizer is slow")
    assert findings == []


PLUGIN = """
import logging, zlib
import rerankit
from rerankit.sanity_pairs import PROBES

better = {probe.better for probe in PROBES}

class Backend(rerankit.AbstractReranker):
    capabilities = rerankit.Capabilities(score_kind=rerankit.ScoreKind.PROBABILITY)
    def __init__(self):
        WARN
    def get_scores(self, query, documents):
        return [(0.6 if d in better or "reddish" in d else 0.1) + zlib.crc32(d.encode()) / 2**34 for d in documents]

@rerankit.hookimpl
def rerankit_rerankers():
    return [rerankit.RerankerSpec("sound", Backend)]
"""


@pytest.mark.parametrize(
    ("warn", "exit_code"), [("pass", 0), ("logging.getLogger('transformers').warning('newly initialized')", 1)]
)
def test_doctor_examines_the_model_on_request(
    install: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any, warn: str, exit_code: int
) -> None:
    """One check a finding; a loader's warning fails it."""
    install("acme-sound", PLUGIN.replace("WARN", warn))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RERANKER_SERVICE", "sound")
    run = CliRunner().invoke(cli, ["doctor", "--model", "--json"])
    checks = {check["subject"]: check for check in json.loads(run.stdout)["checks"] if "sound" in check["subject"]}
    assert {"sound relevance", "sound negation", "sound company", "sound range"} <= checks.keys()
    assert [name for name, check in checks.items() if check["status"] == "failed"] == (
        ["sound weights"] if exit_code else []
    )
