"""apply_policy: what an application holds, end to end."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from rerankit import AbstractReranker, Capabilities, PairReranker, Ranking, ScoreKind
from rerankit.errors import (
    DeadlineExceededError,
    InputError,
    InvalidArgumentError,
    OverloadedError,
    UnavailableError,
    UnknownServiceError,
)
from rerankit.policy.compose import apply_policy
from rerankit.policy.settings import PolicySettings
from rerankit.testing import FakeReranker

DOCUMENTS = [f"{n}" for n in (3, 1, 4, 1, 5, 9, 2, 6)]
SCORES = [float(d) for d in DOCUMENTS]
LISTWISE = Capabilities(ScoreKind.PROBABILITY, listwise=True)

Backends = dict[str, FakeReranker]
Ask = Callable[[PairReranker], Ranking[str]]


def fake(service: str, **arguments: Any) -> FakeReranker:
    """A backend of that name that scores numbers."""
    backend = FakeReranker(lambda _, document: float(document), **arguments)
    backend.service = service
    return backend


def down(service: str = "down") -> FakeReranker:
    """A backend that is down."""
    return fake(service, faults=itertools.repeat(UnavailableError("down")))


def nothing(service: str, arguments: Mapping[str, Any]) -> AbstractReranker:
    """No fallback can be built."""
    raise UnknownServiceError(f"no service {service}")


def around(backend: AbstractReranker, *others: FakeReranker, **values: Any) -> PairReranker:
    """``backend`` with this policy, and ``others`` to fall back on."""
    known = {other.label: other for other in others}
    if others:
        values.setdefault("fallback", list(known))
    return apply_policy(backend, PolicySettings(**values), lambda service, _: known[service])


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Both ways to rerank."""
    if request.param == "sync":
        return lambda reranker: reranker.rerank("q", DOCUMENTS)
    return lambda reranker: asyncio.run(reranker.arerank("q", DOCUMENTS))


def bare(reranker: PairReranker) -> list[list[float]]:
    """Scores, both ways."""
    return [reranker.get_scores("q", DOCUMENTS), asyncio.run(reranker.aget_scores("q", DOCUMENTS))]


def test_without_a_policy_the_backend_answers_as_it_is(ask: Ask) -> None:
    """Same scores, name, kind; twins scored once; closing reaches the backend."""
    backend = fake("one")
    with around(backend) as reranker:
        ranking = ask(reranker)
        assert [d.index for d in ranking] == [5, 7, 4, 2, 0, 6, 1, 3]
        assert (ranking.served_by, ranking.degraded, ranking.partial) == ("one", False, False)
        assert ranking.score_kind == ScoreKind.PROBABILITY
        assert bare(reranker) == [SCORES, SCORES]
        assert (reranker.label, reranker.service) == ("one", "one")
    assert {len(request.pairs) for request in backend.requests} == {7}
    assert backend.closed == 1


def test_a_plain_backend_gets_the_same_policy(ask: Ask) -> None:
    """Ten lines are enough to have retries, fallbacks and the rest."""

    class Plain(AbstractReranker):
        service = "plain"
        fail = True

        def get_scores(self, query: str, documents: Any) -> list[float]:
            if self.fail:
                self.fail = False
                raise ConnectionError("gone")
            return [float(document) for document in documents]

    ranking = ask(around(Plain(), retries=1, retry_wait_s=0.001))
    assert (ranking.served_by, [d.score for d in ranking]) == ("plain", sorted(SCORES, reverse=True))
    assert [(a.service, a.error) for a in ranking.attempts] == [("plain", "unavailable")]


def test_a_fallback_answers_for_all_methods(ask: Ask) -> None:
    """The ranking is marked; bare scores come from a service of the same kind."""
    logits = fake("logits", capabilities=Capabilities(ScoreKind.LOGIT))
    with around(down(), logits, fake("same")) as reranker:
        ranking = ask(reranker)
        assert (ranking.served_by, ranking.degraded, ranking.score_kind) == ("logits", True, ScoreKind.LOGIT)
        assert bare(reranker) == [SCORES, SCORES]
        assert len(logits.requests) == 1


def test_bare_scores_of_another_kind_are_given_only_where_the_policy_allows_it() -> None:
    """A threshold would mean something else."""
    logits = fake("logits", capabilities=Capabilities(ScoreKind.LOGIT))
    with pytest.raises(UnavailableError) as caught:
        around(down(), logits).get_scores("q", DOCUMENTS)
    assert [a.error for a in caught.value.attempts] == ["unavailable", "other_score_kind"]
    assert bare(around(down(), logits, fallback_score_kinds="any")) == [SCORES, SCORES]


def test_with_a_fallback_a_dead_service_is_soon_left_alone(ask: Ask) -> None:
    """The circuit opens after five failures; until it is tried again, calls go to the fallback at once."""
    dead, second = down(), fake("two")
    reranker = around(dead, second)
    codes = [ask(reranker).attempts[0].error for _ in range(7)]
    assert codes == ["unavailable"] * 5 + ["circuit_open"] * 2
    assert len(dead.requests) == 5


def test_the_primary_serves_again_when_it_is_back(ask: Ask) -> None:
    """By itself, after the reset time."""
    back = fake("one", faults=[UnavailableError("down")] * 2)
    reranker = around(back, fake("two"), breaker_failures=2, breaker_reset_s=0.05)
    served = []
    for _ in range(4):
        served.append(ask(reranker).served_by)
        time.sleep(0.03)
    assert served == ["two", "two", "two", "one"] or served == ["two", "two", "one", "one"]


def test_when_everything_fails_the_input_order_is_an_answer_if_asked_for(ask: Ask) -> None:
    """Marked, without scores, with every attempt; get_scores raises all the same."""
    reranker = around(down(), down("too"), on_failure="input_order")
    ranking = ask(reranker)
    assert [(d.index, d.score, d.document) for d in ranking] == [(i, None, d) for i, d in enumerate(DOCUMENTS)]
    assert (ranking.served_by, ranking.degraded, ranking.partial) == (None, True, False)
    assert [(a.service, a.error) for a in ranking.attempts] == [("down", "unavailable"), ("too", "unavailable")]
    assert len(reranker.rerank("q", DOCUMENTS, 3)) == 3
    with pytest.raises(UnavailableError):
        reranker.get_scores("q", DOCUMENTS)
    with pytest.raises(InputError):
        reranker.rerank("", DOCUMENTS)


def test_partial_rankings_end_with_what_was_not_scored(ask: Ask) -> None:
    """The scored part first, by score; then the tail in input order."""
    slow = fake("slow", delay=0.1, capabilities=Capabilities(ScoreKind.PROBABILITY, max_concurrency=1))
    reranker = around(slow, deadline_s=0.35, on_deadline="partial", chunk_documents=2, deduplicate=False)
    ranking = ask(reranker)
    scored = [d for d in ranking if d.score is not None]
    assert ranking.partial
    assert 2 <= len(scored) <= 6
    assert [d.score for d in scored] == sorted(SCORES[: len(scored)], reverse=True)
    assert [d.index for d in ranking[len(scored) :]] == list(range(len(scored), len(DOCUMENTS)))
    with pytest.raises(DeadlineExceededError):
        reranker.get_scores("q", DOCUMENTS)


def test_everything_at_once(ask: Ask) -> None:
    """Retries, limits, cache, batching, deadline and fallback together give the scores of the backend alone."""
    limits = Capabilities(ScoreKind.PROBABILITY, max_documents=3, max_concurrency=2)
    backend = fake("one", capabilities=limits, fingerprint="x", faults=[OverloadedError("busy", retry_after=0.01)])
    with around(
        backend, fake("two"), retries=2, retry_wait_s=0.001, deadline_s=30, on_deadline="partial", cache_bytes="1MiB",
        batch_tokens=64, breaker_failures=5, on_failure="input_order",
    ) as reranker:  # fmt: skip
        first, second = ask(reranker), ask(reranker)
        assert [d.score for d in first] == [d.score for d in second] == sorted(SCORES, reverse=True)
        assert not first.degraded
        assert all(len(request.pairs) <= 3 for request in backend.requests)
        assert len(backend.requests) == 4


@pytest.mark.parametrize("values", [{"cache_bytes": "1MiB"}, {"deduplicate": True}])
def test_what_a_listwise_backend_cannot_have_is_refused_when_it_is_loaded(values: dict[str, Any]) -> None:
    """Not at the first call; and a listwise fallback simply does without."""
    with pytest.raises(InvalidArgumentError, match="listwise"):
        around(fake("list", capabilities=LISTWISE), **values)
    listwise = fake("list", capabilities=LISTWISE)
    ranking = around(down(), listwise, **values).rerank("q", DOCUMENTS)
    assert (ranking.served_by, len(listwise.requests[0].pairs)) == ("list", 8)


def test_a_listwise_backend_sees_the_call_as_it_is(ask: Ask) -> None:
    """With default settings nothing is removed and nothing cut."""
    listwise = fake("list", capabilities=LISTWISE)
    ask(around(listwise, deadline_s=20, on_deadline="partial", chunk_documents=2))
    assert [len(request.pairs) for request in listwise.requests] == [8]


def test_import_rerankit_imports_no_policy() -> None:
    """Nor any library of its own; and a policy without retries and cache does not import theirs."""
    check = (
        "import sys, rerankit;"
        "heavy = ('rerankit.policy', 'tenacity', 'cachetools', 'prometheus_client', 'opentelemetry');"
        "assert not [m for m in sys.modules if m.startswith(heavy)];"
        "import rerankit.policy.compose;"
        "assert not [m for m in sys.modules if m.startswith(heavy[1:])]"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
