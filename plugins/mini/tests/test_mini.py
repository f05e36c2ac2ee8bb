"""The embedded default: pointwise scores in [0, 1] from a model inside the wheel."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rerankit import ScoreKind, ScoreRequest, load_reranker
from rerankit.errors import InvalidArgumentError, ProtocolError, ScoringCancelledError
from rerankit.testing import RerankerConformance
from rerankit_mini import MiniReranker
from rerankit_mini.encoder import FOLDER, MODEL_SHA256, Encoder
from rerankit_mini.recipe import WINDOW, windows

QUERY = "how do I catch an exception in Python?"
RELEVANT = "The except clause of a try statement catches an exception that its block raises."
OTHERS = ["Bees make honey from nectar.", "A list is a mutable sequence.", "Lisbon is the capital of Portugal."]

COMPANY = 0.01
"""How far batch company may move a score in [0, 1]: the rounding of bfloat16, where the processor has it."""


@pytest.fixture(scope="class")
def reranker() -> Iterator[MiniReranker]:
    """The backend under test."""
    with MiniReranker() as made:
        yield made


class TestConformance(RerankerConformance):
    """mini is what it asks of others."""

    tolerance = 0.01


def test_the_weights_are_those_of_the_conversion() -> None:
    """The wheel carries what the script made, with licence and provenance beside it."""
    assert hashlib.sha256((FOLDER / "model.bin").read_bytes()).hexdigest() == MODEL_SHA256
    assert "Apache License" in (FOLDER / "LICENSE").read_text()
    assert "all-MiniLM-L6-v2" in (FOLDER / "PROVENANCE.md").read_text()


def test_the_relevant_document_comes_first_and_others_score_low() -> None:
    """Real weights order real text: what has nothing to do with the query scores near 0."""
    ranking = MiniReranker().rerank(QUERY, [*OTHERS, RELEVANT])
    assert ranking[0].index == 3
    assert ranking[0].score is not None
    assert all(other.score is not None and other.score < 0.05 < ranking[0].score for other in ranking[1:])
    assert (ranking.served_by, ranking.score_kind) == ("MiniReranker", ScoreKind.PROBABILITY)


def test_it_is_the_default_service(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing configured, load_reranker gives mini."""
    monkeypatch.chdir(str(tmp_path))
    monkeypatch.delenv("RERANKER_SERVICE", raising=False)
    assert load_reranker().rerank(QUERY, [RELEVANT]).served_by == "mini"


def test_logits_are_the_scores_before_the_logistic() -> None:
    """Same order, another unit, and the ranking says which."""
    logits = MiniReranker(normalize=False).rerank(QUERY, [*OTHERS, RELEVANT])
    scores = MiniReranker().rerank(QUERY, [*OTHERS, RELEVANT])
    assert logits.score_kind is ScoreKind.LOGIT
    assert [d.index for d in logits] == [d.index for d in scores]
    assert min(d.score for d in logits if d.score is not None) < 0


def test_company_moves_a_score_by_no_more_than_rounding() -> None:
    """A score depends on its pair alone: long and short neighbours, other queries, other budgets."""
    rng = random.Random(3)
    words = (RELEVANT + " ".join(OTHERS)).split()
    documents = [" ".join(rng.choices(words, k=rng.choice([1, 5, 40, 300, 900]))) for _ in range(24)]
    alone = [MiniReranker().get_scores(QUERY, [document])[0] for document in documents]
    together = MiniReranker().get_scores(QUERY, documents)
    small = MiniReranker(token_budget=256).get_scores(QUERY, documents)
    mixed = MiniReranker().score_pairs(
        ScoreRequest([pair for document in documents for pair in ((QUERY, document), ("bees", document))])
    )
    for other in (together, small, mixed.scores[::2]):
        assert max(abs(one - (two or 0.0)) for one, two in zip(alone, other, strict=True)) < COMPANY


def test_long_documents_are_scored_to_their_end() -> None:
    """The answer in the last window counts, and coverage says that all was seen."""
    filler = "Bees make honey from nectar. " * 400
    reranker = MiniReranker()
    ranking = reranker.rerank(QUERY, [filler, filler + RELEVANT])
    assert ranking[0].index == 1
    assert [d.coverage for d in ranking] == [1.0, 1.0]
    assert ranking.tokens is not None
    assert ranking.tokens > 2 * 2000


@given(st.integers(0, 5000))
@settings(max_examples=60)
def test_windows_cover_every_token_in_order(count: int) -> None:
    """No token is lost, no window is longer than the model takes."""
    ids = list(range(count))
    found = windows(ids)
    assert all(len(window) <= WINDOW for window in found)
    assert sorted({token for window in found for token in window}) == ids
    assert [window[0] for window in found if window] == sorted({window[0] for window in found if window})


def test_blank_foreign_and_odd_texts_get_scores_in_range() -> None:
    """Nothing is refused but an empty query."""
    scores = MiniReranker().get_scores(QUERY, ["", " ", "例外を捕まえる", "\ud83d", "\x00", "😀" * 500, "a" * 20_000])
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert MiniReranker().get_scores("\u200b?", [RELEVANT])[0] >= 0.0


def test_many_threads_get_the_scores_of_one() -> None:
    """Tokenizer and inference are shared by all callers of a process."""
    documents = [*OTHERS, RELEVANT]
    expected = MiniReranker().get_scores(QUERY, documents)
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(lambda _: MiniReranker().get_scores(QUERY, documents), range(32)):
            assert scores == pytest.approx(expected, abs=COMPANY)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("used_before", [True, False])
def test_a_forked_child_scores_without_deadlock(used_before: bool) -> None:
    """The first application forks a process for every question."""
    code = f"""
import os, sys
from rerankit_mini import MiniReranker
reranker = MiniReranker()
if {used_before}:
    reranker.get_scores("bees", ["honey"])
child = os.fork()
if child == 0:
    os._exit(0 if 0 <= reranker.get_scores("bees", ["honey", "tax"])[0] <= 1 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120, check=False).returncode == 0


def test_work_stops_between_batches_when_the_caller_has_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passages nobody waits for are not computed: the batch that runs is the last."""
    gone, batches, forward = threading.Event(), [], Encoder._forward

    def counted(self: Encoder, part: Sequence[Sequence[int]], *rest: Any) -> list[Any]:
        batches.append(len(part))
        if len(batches) == 3:
            gone.set()
        return forward(self, part, *rest)

    monkeypatch.setattr(Encoder, "_forward", counted)
    request = ScoreRequest([(QUERY, f"{RELEVANT} {n}" * 20) for n in range(40)], cancelled=gone)
    with pytest.raises(ScoringCancelledError):
        MiniReranker(token_budget=256).score_pairs(request)
    assert len(batches) == 3


def test_the_fingerprint_tells_apart_what_scores_differently() -> None:
    """Logits and probabilities must not share a cache."""
    assert MiniReranker().fingerprint == MiniReranker(token_budget=512).fingerprint
    assert MiniReranker().fingerprint != MiniReranker(normalize=False).fingerprint
    assert MiniReranker(dtype="float32").fingerprint != MiniReranker(dtype="bfloat16").fingerprint


def test_diagnose_checks_a_known_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """A healthy model says what it is; a damaged one is an error with the cure."""
    assert "golden value" in MiniReranker().diagnose()
    monkeypatch.setattr("rerankit_mini.reranker._GOLDEN", (QUERY, RELEVANT, 0.01))
    with pytest.raises(ProtocolError, match=r"not 0\.01"):
        MiniReranker().diagnose()


def test_wrong_arguments_are_explained() -> None:
    """Made directly, it validates as the configuration does."""
    with pytest.raises(InvalidArgumentError, match="did you mean 'threads'"):
        MiniReranker(thread=2)
    with pytest.raises(InvalidArgumentError, match="token_budget"):
        MiniReranker(token_budget=1)


def test_nothing_heavy_is_imported_for_it() -> None:
    """No torch and no transformers, not even when it scores."""
    code = (
        "from rerankit import load_reranker; load_reranker('mini').get_scores('q', ['d']);"
        "import sys; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "transformers", "sentence_transformers", "modal", "fastapi"} & set(run.stdout.split())
