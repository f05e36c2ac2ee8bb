"""Batches and errors pass the wire whole."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerankit.errors import BackendError, OutOfMemoryError, OverloadedError, ProtocolError, RerankitError
from rerankit.scoring import ScoreBatch, ScoreKind
from rerankit_modal.wire import batch_from_wire, batch_to_wire, error_from_wire, error_to_wire

finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def batches(draw: st.DrawFn) -> ScoreBatch:
    scores = draw(st.lists(finite, max_size=5))
    count = len(scores)
    return ScoreBatch(
        scores=scores,
        coverage=draw(st.none() | st.lists(st.floats(0, 1), min_size=count, max_size=count)),
        tokens=draw(st.none() | st.lists(st.integers(0, 10**6), min_size=count, max_size=count)),
        model=draw(st.none() | st.text()),
        revision=draw(st.none() | st.text()),
        score_kind=draw(st.none() | st.sampled_from(ScoreKind)),
        timings=draw(st.dictionaries(st.text(), finite, max_size=3)),
        partial=draw(st.booleans()),
    )


@given(batches())
def test_a_batch_comes_back_as_it_was(batch: ScoreBatch) -> None:
    """In CBOR, as modal sends it; scores are not rounded."""
    assert batch_from_wire(cbor2.loads(cbor2.dumps(batch_to_wire(batch)))) == batch


def test_an_error_keeps_class_message_and_advice() -> None:
    """A full queue in the container is an overload at the caller's, with its ``retry_after``."""
    error = OverloadedError("the queue is full", retry_after=2.5)
    back = error_from_wire(error_to_wire(error)["error"])
    assert type(back) is OverloadedError
    assert (back.message, back.remedy, back.retry_after, back.retryable) == (error.message, error.remedy, 2.5, True)


@pytest.mark.parametrize(
    ("error", "cls"),
    [
        (MemoryError("no more"), OutOfMemoryError),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), OutOfMemoryError),
        (KeyError("weights"), BackendError),
    ],
)
def test_other_exceptions_are_told_by_name(error: Exception, cls: type[RerankitError]) -> None:
    """Memory is recognised by name: torch is not installed at the caller's."""
    back = error_from_wire(error_to_wire(error)["error"])
    assert type(back) is cls
    assert type(error).__name__ in back.message


@pytest.mark.parametrize("answer", [None, [0.5], {}, {"scores": [0.5], "score_kind": "wish"}])
def test_an_answer_of_another_kind_is_a_protocol_error(answer: object) -> None:
    """... as one of an older or newer deployment may be."""
    with pytest.raises(ProtocolError):
        batch_from_wire(answer)
