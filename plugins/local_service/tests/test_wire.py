"""What goes over the wire comes back as it was."""

from __future__ import annotations

import itertools
import json

from hypothesis import given
from hypothesis import strategies as st

from rerankit import Attempt, ScoreBatch, ScoreKind
from rerankit.errors import RerankitError, error_class
from rerankit_local_service.wire import batch_from_wire, batch_to_wire, error_from_wire, groups_of

finite = st.floats(allow_nan=False, allow_infinity=False)
names = st.none() | st.text(max_size=5)
attempts = st.builds(Attempt, st.text(max_size=5), finite, names)
batches = st.integers(0, 5).flatmap(
    lambda count: st.builds(
        ScoreBatch,
        scores=st.lists(st.none() | finite, min_size=count, max_size=count),
        coverage=st.none() | st.lists(st.floats(0, 1), min_size=count, max_size=count),
        tokens=st.none() | st.lists(st.integers(0, 1000), min_size=count, max_size=count),
        model=names,
        revision=names,
        score_kind=st.none() | st.sampled_from(ScoreKind),
        timings=st.dictionaries(st.text(max_size=5), finite, max_size=3),
        served_by=names,
        degraded=st.booleans(),
        partial=st.booleans(),
        attempts=st.lists(attempts, max_size=2).map(tuple),
    )
)


@given(batches)
def test_batches(batch: ScoreBatch) -> None:
    """Every field, through JSON."""
    assert batch_from_wire(json.loads(json.dumps(batch_to_wire(batch, "i"))), "s") == batch


@given(st.lists(st.tuples(st.sampled_from("ab"), st.text(max_size=3)), max_size=9))
def test_groups(pairs: list[tuple[str, str]]) -> None:
    """Flattened, groups are the pairs in their order; neighbours never share a query."""
    groups = groups_of(pairs)
    assert [(group["query"], text) for group in groups for text in group["documents"]] == pairs
    queries = [group["query"] for group in groups]
    assert all(one != other for one, other in itertools.pairwise(queries))


def test_errors() -> None:
    """Every class of the tree, with what it says."""

    def tree(cls: type[RerankitError]) -> list[type[RerankitError]]:
        return [cls, *(found for child in cls.__subclasses__() for found in tree(child))]

    for code in {cls.code for cls in tree(RerankitError)}:
        sent = error_class(code)("m", remedy="r", retry_after=2.5, retryable=True)
        got = error_from_wire(json.loads(json.dumps(sent.to_dict())), "s")
        assert type(got) is type(sent)
        assert (got.message, got.remedy, got.retry_after, got.retryable) == ("m", "r", 2.5, True)
