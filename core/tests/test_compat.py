"""The face of sentence-transformers' CrossEncoder: same calls, same answers."""

from __future__ import annotations

from typing import Any

import pytest

from rerankit import load_reranker
from rerankit.compat import CrossEncoderFace
from rerankit.errors import DeadlineExceededError, InputError
from rerankit.testing import FakeReranker

FACE = CrossEncoderFace(FakeReranker())
DOCUMENTS = ["nothing", "red planet", "planet"]


def test_predict_scores_pairs_in_input_order() -> None:
    """Of several queries at once, as lists or tuples."""
    assert FACE.predict([("red planet", "red"), ["a", "a"], ("b", "c")], batch_size=2) == [0.5, 1.0, 0.0]
    assert FACE.predict([]) == []


def test_rank_gives_corpus_ids() -> None:
    """Most relevant first, cut to top_k, with the text where asked for."""
    assert FACE.rank("red planet", DOCUMENTS, top_k=2) == [
        {"corpus_id": 1, "score": 1.0},
        {"corpus_id": 2, "score": 0.5},
    ]
    assert FACE.rank("red planet", DOCUMENTS, top_k=1, return_documents=True)[0]["text"] == "red planet"


@pytest.mark.parametrize(
    "wrong", [["abc"], ("q", "a"), [("q",)], [("q", "a", "b")], [("", "a")], [("q", None)], [(None, "a")]]
)
def test_what_is_no_pair_is_refused(wrong: Any) -> None:
    """Before anything reaches the backend."""
    with pytest.raises(InputError):
        FACE.predict(wrong)


def test_no_score_is_made_up() -> None:
    """Pairs that nobody scored are an error."""
    with pytest.raises(DeadlineExceededError):
        CrossEncoderFace(load_reranker(None)).predict([("q", "a")])
