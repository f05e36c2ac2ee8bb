"""The contract: input order in, input order out, checked on both sides."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import os
import pickle
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankit import AbstractReranker, AsyncReranker, Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.errors import DeadlineExceededError, InputError, ProtocolError, ScoringCancelledError


class Plain(AbstractReranker):
    """Gives what it was told to give."""

    capabilities = Capabilities(score_kind=ScoreKind.LOGIT)

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.seen: list[list[str]] = []

    def get_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        self.seen.append(list(documents))
        found: list[float] = [float(len(d)) for d in documents] if self.answer is None else self.answer
        return found


class Pairs(PairReranker):
    """The same on the rich face."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.requests: list[ScoreRequest] = []

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        self.requests.append(request)
        if isinstance(self.answer, ScoreBatch):
            return self.answer
        if self.answer is not None:
            return ScoreBatch(self.answer)
        return ScoreBatch(
            [float(len(document)) for _, document in request.pairs],
            coverage=[0.5 if len(document) > 3 else 1.0 for _, document in request.pairs],
            tokens=[2] * len(request.pairs),
            model="m",
            revision="r",
            timings={"forward": 0.1},
        )


class Async(AsyncReranker):
    """The same on an asynchronous face."""

    closed = 0

    async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
        await asyncio.sleep(0)
        return [float(len(d)) for d in documents]

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class Passage:
    """A caller's own class."""

    body: str
    corpus_id: int


RERANKERS = [Plain, Pairs, Async]


# --- documents -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", RERANKERS)
def test_documents_of_any_shape_come_back_untouched(make: type[AbstractReranker]) -> None:
    """Strings, mappings and objects, mixed; ids and metadata ride along on the caller's own objects."""
    documents: list[Any] = ["a", {"text": "bbb", "id": 7}, {"page_content": "cccc"}]
    before = [d if isinstance(d, str) else dict(d) for d in documents]
    ranking = make().rerank("q", documents)
    assert [d.index for d in ranking] == [2, 1, 0]
    assert all(ranked.document is documents[ranked.index] for ranked in ranking)
    assert documents == before


def test_a_named_field_holds_the_text() -> None:
    """Of mappings and of objects."""
    documents = [Passage("a", 1), Passage("bb", 2)]
    assert Plain().rerank("q", documents, text_field="body")[0].document.corpus_id == 2
    assert [d.index for d in Plain().rerank("q", [{"body": "a"}, {"body": "bb"}], text_field="body")] == [1, 0]


@pytest.mark.parametrize(
    ("documents", "message"),
    [
        ("one string", "one string"),
        (b"bytes", "one string"),
        ({"text": "a"}, "dict"),
        (3, "int"),
        (iter(["a"]), "list_iterator"),
        (["a", 3], "document 1 is int"),
        (["a", {"body": "b"}], "document 1 is dict with no string 'text' or"),
        ([None], "document 0 is NoneType"),
        ([b"a"], "document 0 is bytes"),
        ([("a", "b")], "document 0 is tuple"),
        ([{"text": {"text": "a"}}], "document 0 is dict"),
        ({"a", "b"}, "set"),
        ((text for text in "ab"), "generator"),
        (np.array("a"), "ndarray"),
        (np.array([["a", "b"]]), "document 0 is ndarray"),
    ],
)
def test_documents_without_text_never_reach_a_backend(documents: Any, message: str) -> None:
    """The error names the position."""
    reranker = Plain()
    with pytest.raises(InputError, match=message):
        reranker.rerank("q", documents)
    assert reranker.seen == []


@pytest.mark.parametrize("query", ["", "  \n", None, 3])
@pytest.mark.parametrize("make", [Plain, Pairs])
def test_an_empty_query_never_reaches_a_backend(make: type[AbstractReranker], query: Any) -> None:
    """It is the only input that makes no sense; blank documents are scored."""
    with pytest.raises(InputError):
        make().rerank(query, ["a"])
    assert make().rerank("q", ["", " "]).documents[0].score is not None


def test_text_that_cannot_be_utf8_is_mended_not_refused() -> None:
    """A cut emoji in one of 276 passages must not cost the whole question."""
    reranker = Plain()
    reranker.rerank("q\udc80", ["ok", "half \ud83d", "\ud83d\ude00"])
    assert reranker.seen == [["ok", "half \ufffd", "😀"]]


def test_numpy_arrays_and_tuples_are_lists_of_documents() -> None:
    """Whatever has a length and positions."""
    assert [d.index for d in Plain().rerank("q", ("a", "bb"))] == [1, 0]
    array: Any = np.array(["a", "bb"])
    assert [d.index for d in Plain().rerank("q", array)] == [1, 0]
    queue: Any = deque(["a", "bb"])
    assert [d.document for d in Plain().rerank("q", queue)] == ["bb", "a"]


class Labelled:
    """Like a pandas Series: an index is a label."""

    def __init__(self, values: list[str]) -> None:
        self._values = values

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __getitem__(self, label: int) -> str:
        return self._values[1 - label]


def test_documents_are_taken_by_position_never_by_label() -> None:
    """The second document of a filtered Series need not be the one at [1]; a DataFrame lists its columns."""
    series: Any = Labelled(["a", "bb"])
    assert [d.document for d in Plain().rerank("q", series)] == ["bb", "a"]
    frame: Any = type("DataFrame", (Labelled,), {"columns": ["text", "id"]})(["text", "id"])
    with pytest.raises(InputError, match="DataFrame"):
        Plain().rerank("q", frame)


def test_the_name_of_a_field_is_a_string() -> None:
    """Not a TypeError out of getattr."""
    with pytest.raises(InputError, match="text_field"):
        Plain().rerank("q", [Passage("a", 1)], text_field=3)  # type: ignore[arg-type]


# --- order -----------------------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([-1.0, 0.0, -0.0, 0.5, 0.5, 2.0]), max_size=40), st.integers(1, 50) | st.none())
def test_order_is_score_descending_with_ties_in_input_order(scores: list[float], top_n: int | None) -> None:
    """Stable, whole, and cut to top_n."""
    ranking = Plain(scores).rerank("q", [f"d{i}" for i in range(len(scores))], top_n)
    expected = sorted(range(len(scores)), key=lambda i: (-scores[i], i))[:top_n]
    assert [d.index for d in ranking] == expected
    assert [d.score for d in ranking] == [scores[i] for i in expected]


@pytest.mark.parametrize("top_n", [0, -1, True, 1.5, "3", np.int64(0), np.bool_(True)])
def test_a_top_n_below_one_is_an_input_error(top_n: Any) -> None:
    """Zero and negative counts mean a bug in the caller; None means all, and so does more than there are."""
    with pytest.raises(InputError, match="top_n"):
        Plain().rerank("q", ["a"], top_n)
    more: Any
    for more in (10, 10**30, np.int64(10)):
        assert len(Plain().rerank("q", ["a"], more)) == 1


@pytest.mark.parametrize("make", RERANKERS)
def test_no_documents_is_no_work(make: type[AbstractReranker]) -> None:
    """An empty list, and an empty ranking."""
    assert list(make().rerank("q", [])) == []
    assert make().get_scores("q", []) == []


# --- what a backend may answer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        [1.0],
        [1.0, 2.0, 3.0],
        [1.0, math.nan],
        [math.inf, 1.0],
        [None, 1.0],
        ["1", 1.0],
        [True, 1.0],
        "ab",
        3,
        {1.0, 2.0},
        [np.bool_(True), 1.0],
        [np.zeros(1), 1.0],
        [np.zeros(2), 1.0],
        [10**400, 1.0],
        [Decimal("sNaN"), 1.0],
        [1j, 1.0],
        np.zeros((2, 1)),
    ],
)
@pytest.mark.parametrize("make", [Plain, Pairs])
def test_a_wrong_answer_is_a_protocol_error_that_names_the_backend(make: type[Any], answer: Any) -> None:
    """NaN would scramble the order, a missing score would shift it: neither gets out."""
    reranker = make(answer)
    reranker.service = "acme"
    with pytest.raises(ProtocolError, match="acme"):
        reranker.rerank("q", ["a", "b"])
    if make is Pairs:
        with pytest.raises(ProtocolError, match="acme"):
            reranker.get_scores("q", ["a", "b"])


@pytest.mark.parametrize("answer", [np.array([1, 2], dtype=np.float32), [np.float64(1), np.int64(2)], (1, 2)])
@pytest.mark.parametrize("make", [Plain, Pairs])
def test_numbers_of_other_types_become_plain_floats(make: type[Any], answer: Any) -> None:
    """JSON, and the application, want ``float``."""
    ranking = make(answer).rerank("q", ["a", "b"])
    assert [d.score for d in ranking] == [2.0, 1.0]
    assert {type(d.score) for d in ranking} == {float}


def test_coverage_of_the_wrong_length_is_a_protocol_error() -> None:
    """It would be told of the wrong documents."""
    with pytest.raises(ProtocolError, match="coverage"):
        Pairs(ScoreBatch([1.0, 2.0], coverage=[1.0])).rerank("q", ["a", "b"])
    with pytest.raises(ProtocolError, match="instead of a ScoreBatch"):
        PairsOfNothing().rerank("q", ["a"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"coverage": [None, 1.0]},
        {"coverage": [math.nan, 1.0]},
        {"coverage": 1.0},
        {"coverage": ["1", "1"]},
        {"tokens": ["a", "b"]},
        {"tokens": [1, None]},
        {"scores": None, "partial": True},
        {"scores": [math.nan, None], "partial": True},
    ],
)
def test_figures_that_are_no_numbers_are_a_protocol_error(wrong: dict[str, Any]) -> None:
    """They would fail later, in the caller's hands."""
    batch = ScoreBatch(**{"scores": [1.0, 2.0], **wrong})
    with pytest.raises(ProtocolError, match="Pairs"):
        Pairs(batch).rerank("q", ["a", "b"])


def test_figures_of_other_types_become_plain_numbers() -> None:
    """So that a ranking is JSON."""
    figures: dict[str, Any] = {"coverage": np.array([0.5, 1.0]), "tokens": [np.int64(3), np.int64(4)]}
    scores: list[Any] = [np.float32(1), None]
    batch = ScoreBatch(scores, partial=True, **figures)
    ranking = Pairs(batch).rerank("q", ["a", "b"])
    assert json.loads(json.dumps(ranking.to_dict()))["results"][0]["coverage"] == 0.5
    assert (type(ranking[0].score), type(ranking.truncated), type(ranking.tokens)) == (float, int, int)


class PairsOfNothing(PairReranker):
    """Forgot its return."""

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        return None  # type: ignore[return-value]


def test_the_ranking_says_all_the_model_knows() -> None:
    """Who scored, what a score means, what was cut, what it cost."""
    ranking = Pairs().rerank("q", ["a", "long one"], 1)
    assert (ranking.served_by, ranking.model, ranking.revision) == ("Pairs", "m", "r")
    assert (ranking.truncated, ranking.tokens, ranking[0].coverage) == (1, 4, 0.5)
    assert set(ranking.timings) == {"forward", "total"}
    assert ranking.to_dict()["results"] == [{"index": 1, "score": 8.0, "coverage": 0.5, "document": "long one"}]
    with pytest.raises(AttributeError):
        ranking.degraded = True  # type: ignore[misc]
    assert ranking[0:1] == (ranking[0],)


def test_a_ranking_is_a_value() -> None:
    """Equal to another of the same call, whatever the time it took; it survives a pickle and a copy, and hashes."""
    ranking = Pairs().rerank("q", ["a", "long one", "bb"])
    for other in (
        Pairs().rerank("q", ["a", "long one", "bb"]),
        pickle.loads(pickle.dumps(ranking)),
        copy.copy(ranking),
        copy.deepcopy(ranking),
    ):
        assert other == ranking
        assert hash(other) == hash(ranking)
    assert ranking != Pairs().rerank("q", ["a", "long one", "bc"])
    assert ranking[-1].index == 0
    assert [d.index for d in reversed(ranking)] == [0, 2, 1]
    assert ranking[1] in ranking
    assert not Pairs().rerank("q", [])


def test_a_partial_batch_ranks_the_unscored_last_and_has_no_list_of_scores() -> None:
    """The tail stays in input order, without invented scores."""
    reranker = Pairs(ScoreBatch([None, 0.2, None, 0.9], coverage=[0.0, 1.0, 0.0, 0.5], partial=True))
    ranking = reranker.rerank("q", ["a", "b", "c", "d"])
    assert [(d.index, d.score) for d in ranking] == [(3, 0.9), (1, 0.2), (0, None), (2, None)]
    assert ranking.partial
    assert ranking.truncated == 1  # what nobody scored was not cut
    with pytest.raises(DeadlineExceededError, match="2 of 4"):
        reranker.get_scores("q", ["a", "b", "c", "d"])
    with pytest.raises(ProtocolError):
        Pairs(ScoreBatch([None, 0.2])).rerank("q", ["a", "b"])


# --- sync, async, life cycle --------------------------------------------------------------------------------


@pytest.mark.parametrize("make", RERANKERS)
async def test_synchronous_and_asynchronous_calls_agree(make: type[AbstractReranker]) -> None:
    """The same scores and the same order."""
    reranker = make()
    documents = ["a", "bbb", "cc"]
    assert await reranker.aget_scores("q", documents) == [1.0, 3.0, 2.0]
    found = await reranker.arerank("q", documents, 2)
    assert [d.index for d in found] == [1, 2]
    assert await asyncio.to_thread(reranker.get_scores, "q", documents) == [1.0, 3.0, 2.0]
    await asyncio.to_thread(reranker.close)


@pytest.mark.parametrize("make", RERANKERS)
def test_rerankers_are_context_managers_and_close_twice(make: type[AbstractReranker]) -> None:
    """Closing what is closed is no error."""
    with make() as reranker:
        assert reranker.get_scores("q", ["a"]) == [1.0]
    reranker.close()

    async def use() -> None:
        async with make() as reranker:
            assert await reranker.aget_scores("q", ["a"]) == [1.0]

    asyncio.run(use())


def test_an_asynchronous_reranker_has_one_loop_whichever_thread_comes_first() -> None:
    """Its client is bound to it."""
    loops = set()

    class Notes(Async):
        async def aget_scores(self, query: str, documents: Sequence[str]) -> list[float]:
            loops.add(asyncio.get_running_loop())
            return await super().aget_scores(query, documents)

    reranker, start = Notes(), threading.Barrier(16)

    def call(_: int) -> None:
        start.wait()
        reranker.get_scores("q", ["a"])

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(16)))
    assert len(loops) == 1
    reranker.close()


def test_an_asynchronous_reranker_leaves_no_thread_when_closed() -> None:
    """Its private loop ends with it."""
    before = set(threading.enumerate())
    reranker = Async()
    assert reranker.get_scores("q", ["a"]) == [1.0]
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["rerankit-portal"]
    reranker.close()
    assert set(threading.enumerate()) == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_asynchronous_reranker_works_in_a_forked_child() -> None:
    """The first application builds before it forks."""
    reranker = Async()
    reranker.get_scores("q", ["a"])
    child = os.fork()
    if child == 0:
        os._exit(0 if reranker.get_scores("q", ["ab"]) == [2.0] else 1)
    deadline = time.monotonic() + 20
    done = (0, 0)
    while done[0] == 0 and time.monotonic() < deadline:
        done = os.waitpid(child, os.WNOHANG)
        time.sleep(0.01)
    if done[0] == 0:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert done == (child, 0)
    reranker.close()


def test_a_reranker_is_true() -> None:
    """Applications test ``if reranker:``, whatever its ``__len__`` says."""

    class Sized(Plain):
        def __len__(self) -> int:
            return 0

    assert Sized()


async def test_cancelling_stops_the_work_at_the_next_batch() -> None:
    """A caller that has gone must not keep a processor busy."""
    stopped = threading.Event()

    class Slow(PairReranker):
        def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
            try:
                for _ in range(1000):
                    request.raise_if_stopped()
                    time.sleep(0.01)
            except ScoringCancelledError:
                stopped.set()
                raise
            return ScoreBatch([0.0])

    task = asyncio.create_task(Slow().aget_scores("q", ["a"]))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(stopped.wait, 5)


def test_a_request_knows_its_deadline() -> None:
    """Seconds that remain; an error once there are none."""
    assert ScoreRequest([]).remaining() is None
    ScoreRequest([], deadline=time.monotonic() + 60).raise_if_stopped()
    with pytest.raises(DeadlineExceededError):
        ScoreRequest([], deadline=time.monotonic() - 1).raise_if_stopped()


def test_token_counts_and_fingerprint_have_safe_defaults() -> None:
    """The core has no tokenizer, and an unknown fingerprint is never cached."""
    assert Pairs().token_counts([("abcd", "efgh"), ("", "")]) == [3, 1]
    assert Pairs().fingerprint is None
