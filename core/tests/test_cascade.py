"""A cascade: the expensive service's best first, the rest after them in the cheap service's order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankit import Capabilities, PairReranker, Ranking, ScoreBatch, ScoreKind, ScoreRequest, load_reranker
from rerankit.cascade import CascadeReranker
from rerankit.errors import InvalidArgumentError, UnknownServiceError
from rerankit.plugins.manager import plugin_manager
from rerankit.testing import FakeReranker, RerankerConformance

PROBABILITY = st.floats(0.0, 1.0)


class Table(PairReranker):
    """Scores by position, told as the document's text."""

    def __init__(self, scores: list[float], kind: ScoreKind = ScoreKind.PROBABILITY) -> None:
        self.capabilities = Capabilities(kind)
        self.scores = scores
        self.seen: list[str] = []

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        self.seen += [document for _, document in request.pairs]
        scores = [self.scores[int(document)] for _, document in request.pairs]
        return ScoreBatch(scores, [0.5] * len(scores), [3] * len(scores), model="table")


def ranked(reranker: CascadeReranker, count: int) -> Ranking[str]:
    return reranker.rerank("q", [str(i) for i in range(count)])


@given(st.lists(st.tuples(PROBABILITY, PROBABILITY), min_size=1, max_size=30), st.integers(1, 35))
def test_the_best_by_the_second_then_the_rest_by_the_first(pairs: list[tuple[float, float]], k: int) -> None:
    """The order is that of the two stages, whatever their scores are, and the scores stay probabilities."""
    first, second = (list(scores) for scores in zip(*pairs, strict=True))
    cheap = sorted(range(len(pairs)), key=lambda i: (-first[i], i))
    best = sorted(cheap[:k], key=lambda i: (-max(second[i], max(0, len(pairs) - k) * 5e-324), i))
    ranking = ranked(CascadeReranker(Table(first), Table(second), k), len(pairs))
    assert [scored.index for scored in ranking] == best + cheap[k:]
    assert all(scored.score is not None and 0.0 <= scored.score <= 1.0 for scored in ranking)


def test_scores_are_the_stages_own_where_order_allows() -> None:
    """The best keep the second's scores; the rest keep the first's, held below the lowest of those."""
    cascade = CascadeReranker(Table([0.9, 0.8, 0.7, 0.1]), Table([0.2, 0.6, 0.0, 0.0]), k=2)
    scores = cascade.get_scores("q", ["0", "1", "2", "3"])
    assert scores[:2] == [0.2, 0.6]
    assert scores[2] == pytest.approx(0.2, abs=1e-12)
    assert scores[2] < 0.2
    assert scores[3] == 0.1


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(-50, 50)), min_size=1, max_size=30), st.integers(1, 35))
def test_logits_are_ordered_alike(pairs: list[tuple[float, float]], k: int) -> None:
    """The best keep their very scores; the rest lie strictly below, in the first's order."""
    first, second = (list(scores) for scores in zip(*pairs, strict=True))
    cheap = sorted(range(len(pairs)), key=lambda i: (-first[i], i))
    ranking = ranked(CascadeReranker(Table(first, ScoreKind.LOGIT), Table(second, ScoreKind.LOGIT), k), len(pairs))
    best = sorted(cheap[:k], key=lambda i: (-second[i], i))
    assert [scored.index for scored in ranking] == best + cheap[k:]
    assert [scored.score for scored in ranking[:k]] == [second[i] for i in best]
    assert all((scored.score or 0.0) <= first[scored.index] for scored in ranking[k:])


def test_the_second_sees_only_the_best_of_each_query() -> None:
    """Several callers' pairs in one request: k documents of each query, in two calls altogether."""
    first, second = Table([0.1, 0.9, 0.5]), Table([0.3, 0.3, 0.3])
    batch = CascadeReranker(first, second, k=1).score_pairs(
        ScoreRequest([("a", "0"), ("b", "0"), ("a", "1"), ("b", "2")])
    )
    assert second.seen == ["1", "2"]
    assert batch.tokens == [3, 3, 6, 6]
    assert batch.model == "table"
    assert set(batch.timings) == {"first", "second"}


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        (ScoreKind.LOGIT, ScoreKind.LOGIT, ScoreKind.LOGIT),
        (ScoreKind.PROBABILITY, ScoreKind.CALIBRATED, ScoreKind.PROBABILITY),
        (ScoreKind.CALIBRATED, ScoreKind.CALIBRATED, ScoreKind.PROBABILITY),
        (ScoreKind.SIMILARITY, ScoreKind.PROBABILITY, ScoreKind.UNKNOWN),
    ],
)
def test_the_kind_of_score_is_what_both_share(one: ScoreKind, other: ScoreKind, kind: ScoreKind) -> None:
    """Mixed kinds are not passed off as either."""
    cascade = CascadeReranker(Table([0.5, 0.4], one), Table([0.5, 0.4], other), k=1)
    assert ranked(cascade, 2).score_kind == kind
    assert cascade.capabilities.listwise


def test_closing_closes_both() -> None:
    """Also when the first one fails to close."""

    class Stuck(FakeReranker):
        def close(self) -> None:
            raise OSError("stuck")

    second = FakeReranker()
    with pytest.raises(OSError, match="stuck"):
        CascadeReranker(Stuck(), second).close()
    assert second.closed == 1
    asyncio.run(CascadeReranker(FakeReranker(), second).aclose())
    assert second.closed == 2


def test_fingerprint_is_of_both() -> None:
    """Unknown where one is unknown."""
    assert CascadeReranker(FakeReranker(fingerprint="a"), FakeReranker()).fingerprint is None
    one = CascadeReranker(FakeReranker(fingerprint="a"), FakeReranker(fingerprint="b"), k=1).fingerprint
    assert one != CascadeReranker(FakeReranker(fingerprint="a"), FakeReranker(fingerprint="b"), k=2).fingerprint


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plugin with a service ``toy``, installed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy_plugin.py").write_text(
        "import rerankit\nfrom rerankit.arguments import ServiceArguments\nfrom rerankit.testing import FakeReranker\n"
        "class Arguments(ServiceArguments):\n    up: float = 0.0\n"
        "def make(up=0.0): return FakeReranker(lambda query, document: float(document) + up)\n"
        "@rerankit.hookimpl\ndef rerankit_rerankers():\n    return [rerankit.RerankerSpec('toy', make, Arguments)]\n"
    )
    info = tmp_path / "toy_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[rerankit.plugins]\ntoy = toy_plugin\n")
    plugin_manager.cache_clear()
    yield
    plugin_manager.cache_clear()


@pytest.mark.usefixtures("service")
def test_configured_by_json(tmp_path: Path) -> None:
    """A service like any other: stages are names, or objects with arguments."""
    args = {"first": "toy", "second": {"service": "toy", "args": {"up": 0.25}}, "k": 1}
    (tmp_path / "run_configs").mkdir()
    (tmp_path / "run_configs/default.json").write_text(
        json.dumps({"run_config": {"reranker_service": "cascade", "reranker_args": args}})
    )
    with load_reranker() as reranker:
        ranking = reranker.rerank("q", ["0.1", "0.5", "0.3"])
    assert [scored.index for scored in ranking] == [1, 2, 0]
    assert [scored.score for scored in ranking] == [0.75, 0.3, 0.1]
    assert ranking.served_by == "cascade"


@pytest.mark.usefixtures("service")
def test_wrong_arguments_are_named() -> None:
    """An unknown stage, a stage's wrong argument and k of 0 are configuration errors."""
    with pytest.raises(UnknownServiceError, match="nowhere"):
        load_reranker("cascade", first="toy", second="nowhere")
    with pytest.raises(InvalidArgumentError, match="'upp'"):
        load_reranker("cascade", first="toy", second={"service": "toy", "args": {"upp": 1}})
    with pytest.raises(InvalidArgumentError, match="k"):
        load_reranker("cascade", first="toy", second="toy", k=0)


@pytest.fixture
def reranker() -> CascadeReranker:
    return CascadeReranker(FakeReranker(), FakeReranker(lambda query, document: 1 / (1 + len(document))), k=3)


class TestConformance(RerankerConformance):
    """A cascade is a backend like any other."""
