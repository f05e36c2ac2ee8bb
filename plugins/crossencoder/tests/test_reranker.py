"""What the services promise: scores, truncation, sharing, forks, threads, cancellation, starts."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import CrossEncoder, SentenceTransformer

from rerankit.errors import InputError, ScoringCancelledError
from rerankit.scoring import ScoreKind, ScoreRequest
from rerankit_crossencoder import BiEncoderReranker, CrossEncoderReranker
from rerankit_crossencoder.choice import cpu_has_int8
from rerankit_crossencoder.compute import compute
from rerankit_crossencoder.tokens import PairTokenizer

QUERY = "Which planet is red?"
DOCUMENTS = [
    "Mars is the red planet",
    "",
    "Venus",
    "water runs " * 30,
    "a table of the score " * 80,
    "planet of plants",
]
LONG = "water runs the plant " * 300

Folder = Callable[[str], Path]


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "deberta-v3"])
@pytest.mark.parametrize("engine", ["reference", "packed", "openvino"])
def test_scores_are_sentence_transformers(engine: str, kind: str, model_folder: Folder) -> None:
    """In float32 every engine gives, within 1e-4, what CrossEncoder.predict gives, truncated document included."""
    folder = model_folder(kind)
    documents = [*DOCUMENTS, LONG]
    expected = CrossEncoder(str(folder), device="cpu").predict([(QUERY, document) for document in documents])
    with CrossEncoderReranker(str(folder), engine=engine, dtype="float32") as reranker:
        scores = reranker.get_scores(QUERY, documents)
        assert reranker.diagnose()["engine"] == engine
    assert np.abs(np.array(scores) - expected).max() < 1e-4
    assert np.std(expected) > 0.01


COMPANY = {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.05}
"""The largest change of a logit over batch companions; docs/crossencoder.md states it."""


@pytest.mark.parametrize(
    ("engine", "dtype"),
    [
        ("reference", "float32"),
        ("reference", "bfloat16"),
        ("packed", "float32"),
        ("packed", "bfloat16"),
        pytest.param("packed", "int8", marks=pytest.mark.skipif(not cpu_has_int8(), reason="no VNNI here")),
        *[("openvino", dtype) for dtype in COMPANY],
    ],
)
def test_a_score_depends_on_its_pair_alone(engine: str, dtype: str, model_folder: Folder) -> None:
    """Alone, among others of all lengths, or among others again in another order: the logit is the same."""
    documents = [*DOCUMENTS, LONG, "Mars " * 9, "red " * 100, "plant"]
    arguments = {"engine": engine, "dtype": dtype, "normalize": False, "batch_size": 64, "token_budget": 100_000}
    with CrossEncoderReranker(str(model_folder("bert")), **arguments) as reranker:
        together = np.array(reranker.get_scores(QUERY, documents))
        fewer = np.array(reranker.get_scores(QUERY, documents[::-2]))[::-1]
        alone = np.array([reranker.get_scores(QUERY, [document])[0] for document in documents])
        assert reranker.diagnose()["engine"] == engine
    assert np.ptp(alone) > 0.5, "scores that do not differ compare nothing"
    assert np.abs(together - alone).max() <= COMPANY[dtype]
    assert np.abs(fewer - alone[1::2]).max() <= COMPANY[dtype]


def test_normalize_is_the_sigmoid_of_the_logit(model_folder: Folder) -> None:
    """``normalize=False`` gives logits and says so; the default gives their sigmoid, in [0, 1]."""
    folder = str(model_folder("bert"))
    with CrossEncoderReranker(folder) as scored, CrossEncoderReranker(folder, normalize=False) as raw:
        logits = np.array(raw.get_scores(QUERY, DOCUMENTS))
        scores = np.array(scored.get_scores(QUERY, DOCUMENTS))
        assert raw.capabilities.score_kind is ScoreKind.LOGIT
        assert scored.capabilities.score_kind is ScoreKind.PROBABILITY
    assert np.allclose(scores, 1 / (1 + np.exp(-logits)), atol=1e-9)


def test_truncation_is_told_and_spares_the_query(model_folder: Folder) -> None:
    """The coverage is the share of the document's tokens that was read; the query is read whole."""
    with CrossEncoderReranker(str(model_folder("bert")), dtype="float32") as reranker:
        batch = reranker.score_pairs(ScoreRequest([(QUERY, "Mars"), (QUERY, LONG), (LONG[:1000], LONG)]))
    assert batch.coverage is not None
    assert batch.tokens is not None
    assert batch.coverage[0] == 1.0
    assert 0 < batch.coverage[2] < batch.coverage[1] < 1
    assert batch.tokens[1:] == [512, 512]


def test_a_query_longer_than_the_model_is_said(model_folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    """Only a query that fills the model alone is cut, with a warning, so that some of the document is read."""
    with CrossEncoderReranker(str(model_folder("bert"))) as reranker, caplog.at_level(logging.WARNING):
        first, second = reranker.get_scores(LONG, ["Mars is red", "Venus"])
    assert first != second
    assert "its end was cut" in caplog.text


def test_windows_read_everything_and_the_best_counts(model_folder: Folder) -> None:
    """With windows the score is the maximum over what truncated parts would get, and nothing is unread."""
    folder = str(model_folder("bert"))
    with CrossEncoderReranker(folder, dtype="float32", on_overflow="window", normalize=False) as windowed:
        batch = windowed.score_pairs(ScoreRequest([(QUERY, LONG), (QUERY, "Mars")]))
        assert batch.coverage == [1.0, 1.0]
        assert batch.tokens is not None
        assert batch.tokens[0] > len(LONG.split())
    with CrossEncoderReranker(folder, dtype="float32", normalize=False) as truncated:
        first, short = truncated.get_scores(QUERY, [LONG, "Mars"])
    assert batch.scores[0] is not None
    assert batch.scores[0] >= first - 1e-5
    assert batch.scores[1] == pytest.approx(short, abs=1e-5)


def test_overflow_can_be_an_error(model_folder: Folder) -> None:
    """``on_overflow="error"`` names the document."""
    with (
        CrossEncoderReranker(str(model_folder("bert")), on_overflow="error") as reranker,
        pytest.raises(InputError, match="document 1 is"),
    ):
        reranker.get_scores(QUERY, ["Mars", LONG])


def test_instances_share_one_copy(model_folder: Folder) -> None:
    """Whatever their batch sizes; other precisions are other copies."""
    folder = str(model_folder("bert"))
    first = CrossEncoderReranker(folder, dtype="float32", batch_size=2)
    second = CrossEncoderReranker(folder, dtype="float32", batch_size=64, normalize=False)
    other = CrossEncoderReranker(folder, dtype="int8")
    assert first._model is second._model
    assert other._model is not first._model
    model = first._model
    for reranker in (first, second, other):
        reranker.close()
    assert CrossEncoderReranker(folder, dtype="float32")._model is model, "made again, it is found again"


@pytest.mark.parametrize("on_overflow", ["truncate", "window"])
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "deberta-v3"])
def test_query_title_and_passage_beyond_the_model(on_overflow: str, kind: str, model_folder: Folder) -> None:
    """Title and passage joined, as applications do, with a query: one token too many is told, at every length around.

    The query is read whole in every sequence, and what coverage says of the document is what the sequences hold.
    """
    query, title = "which planet is known " * 6, "A table of the scores, and of the water that runs. "
    with CrossEncoderReranker(str(model_folder(kind)), dtype="float32", on_overflow=on_overflow) as reranker:
        tokenizer = reranker._model.tokenizer
        assert isinstance(tokenizer, PairTokenizer)
        ids_of = tokenizer._tokenizer.encode
        query_ids = ids_of(query, add_special_tokens=False).ids
        seen = []
        for words in range(440, 500):
            document = title + "red " * words
            document_ids = ids_of(document, add_special_tokens=False).ids
            sequences = tokenizer.sequences([(query, document)], on_overflow)  # type: ignore[arg-type]
            read = 0
            for ids in sequences.token_ids:
                assert len(ids) <= 512
                assert ids[1 : 1 + len(query_ids)] == query_ids
                read = max(read, len(ids) - len(query_ids) - tokenizer._template.size)
            if on_overflow == "truncate":
                assert sequences.coverage == [read / len(document_ids)]
            else:
                assert sequences.coverage == [1.0]
                assert (len(sequences.token_ids) > 1) == (read < len(document_ids))
            seen.append((sequences.coverage[0], len(sequences.token_ids)))
        assert seen[0] == (1.0, 1)
        assert seen[-1] != (1.0, 1)
        assert len(reranker.get_scores(query, [document, title])) == 2


@pytest.mark.parametrize("engine", ["packed", "openvino", "reference"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_model_loaded_before_a_fork_works_in_the_child(engine: str, model_folder: Folder, tmp_path: Path) -> None:
    """Used in the parent, forked, used in the child: the same scores, and no deadlock."""
    program = f"""
import os, signal, sys, warnings
from rerankit_crossencoder import CrossEncoderReranker
documents = ["Mars is the red planet", "Venus " * 60, "water"] * 8
reranker = CrossEncoderReranker({str(model_folder("bert"))!r}, engine={engine!r}, dtype="float32")
before = reranker.get_scores("planet", documents)
child = os.fork()
if not child:
    signal.alarm(60)
    again = CrossEncoderReranker({str(model_folder("bert"))!r}, engine={engine!r}, dtype="float32")
    alike = max(abs(a - b) for r in (reranker, again) for a, b in zip(before, r.get_scores("planet", documents)))
    os._exit(0 if alike < 1e-5 else 3)
status = os.waitpid(child, 0)[1]
assert os.waitstatus_to_exitcode(status) == 0, status
assert reranker.get_scores("planet", documents) == before
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=150, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_fork_just_after_scoring_does_not_hang(model_folder: Folder, tmp_path: Path) -> None:
    """OpenVINO's threads are awake for a moment after they computed; of forks at that time one in 75 hung."""
    program = f"""
import os, signal
from rerankit_crossencoder import CrossEncoderReranker
documents = ["Mars is the red planet", "Venus " * 60, "water"] * 8
reranker = CrossEncoderReranker({str(model_folder("bert"))!r}, engine="openvino", dtype="float32")
for number in range(40):
    before = reranker.get_scores("planet", documents)
    child = os.fork()
    if not child:
        signal.alarm(60)
        os._exit(0 if max(abs(a - b) for a, b in zip(before, reranker.get_scores("planet", documents))) < 1e-5 else 3)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0, (number, status)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=250, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("engine", ["packed", "openvino", "reference"])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_model_first_built_in_a_child_works(engine: str, model_folder: Folder, tmp_path: Path) -> None:
    """Another model was used in the parent; the child builds its own, and so does a second child beside it."""
    program = f"""
import os, signal, sys
from rerankit_crossencoder import CrossEncoderReranker
documents = ["Mars is the red planet", "Venus " * 60, "water"] * 8
other = CrossEncoderReranker({str(model_folder("xlm-roberta"))!r}, engine={engine!r}, dtype="float32")
other.get_scores("planet", documents)
children = []
for number in range(2):
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(100)
        own = CrossEncoderReranker({str(model_folder("bert"))!r}, engine={engine!r}, dtype="float32")
        os.write(writer, repr(own.get_scores("planet", documents)).encode())
        os._exit(0)
    os.close(writer)
    children.append((child, reader))
answers = []
for child, reader in children:
    with os.fdopen(reader) as file:
        answers.append(eval(file.read()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
own = CrossEncoderReranker({str(model_folder("bert"))!r}, engine={engine!r}, dtype="float32")
expected = own.get_scores("planet", documents)
assert len(expected) == 24 and len(set(expected)) > 2
for scores in answers:
    assert max(abs(a - b) for a, b in zip(expected, scores, strict=True)) < 1e-5
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=250, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_many_threads_at_once(model_folder: Folder) -> None:
    """Tokenisers are not thread-safe by themselves: 8 threads with texts of their own get their own scores."""
    documents = [[f"planet {i} {word} " * (5 + 7 * i) for word in ("red", "water", "score")] for i in range(8)]
    with CrossEncoderReranker(str(model_folder("bert")), dtype="float32") as reranker:
        expected = [reranker.get_scores(f"query {i}", texts) for i, texts in enumerate(documents)]
        start = threading.Barrier(8)

        def work(i: int) -> list[list[float]]:
            start.wait()
            return [reranker.get_scores(f"query {i}", documents[i]) for _ in range(5)]

        with ThreadPoolExecutor(8) as pool:
            for mine, got in zip(expected, pool.map(work, range(8)), strict=True):
                for scores in got:
                    assert np.allclose(scores, mine, atol=1e-5)


def test_cancelling_stops_between_batches(model_folder: Folder) -> None:
    """A request cancelled while its first batch runs computes no second one."""
    with CrossEncoderReranker(str(model_folder("bert")), batch_size=1) as reranker:
        engine, cancelled, calls = reranker._model.engine, threading.Event(), []
        logits = engine.logits

        def counted(*arguments: list[list[int]]) -> object:
            calls.append(1)
            cancelled.set()
            return logits(*arguments)

        engine.logits = counted  # type: ignore[method-assign, assignment]
        try:
            with pytest.raises(ScoringCancelledError):
                reranker.score_pairs(ScoreRequest([(QUERY, text) for text in DOCUMENTS], cancelled=cancelled))
        finally:
            del engine.logits
        assert len(calls) == 1


async def test_cancelling_an_awaited_call_stops_computing(model_folder: Folder) -> None:
    """Whoever cancels ``aget_scores`` leaves no work behind: the batch that runs is the last."""
    with CrossEncoderReranker(str(model_folder("bert")), batch_size=1) as reranker:
        engine, calls, first, go_on = reranker._model.engine, [], threading.Event(), threading.Event()
        logits = engine.logits

        def held(*arguments: list[list[int]]) -> object:
            calls.append(1)
            first.set()
            assert go_on.wait(30)
            return logits(*arguments)

        engine.logits = held  # type: ignore[method-assign, assignment]
        try:
            task = asyncio.create_task(reranker.aget_scores(QUERY, DOCUMENTS))
            await asyncio.to_thread(first.wait, 30)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
            # The compute thread takes one call after another: an empty one behind the batch comes when it is done.
            await asyncio.to_thread(compute, int)
            await asyncio.sleep(0.2)
        finally:
            go_on.set()
            del engine.logits
        assert len(calls) == 1
        assert len(await reranker.aget_scores(QUERY, DOCUMENTS)) == len(DOCUMENTS)


def test_progress_is_shown_on_a_terminal(model_folder: Folder) -> None:
    """On a terminal a bar moves; into a pipe nothing is written, and without ``progress`` nothing either."""
    program = f"""
from rerankit_crossencoder import CrossEncoderReranker
import sys
reranker = CrossEncoderReranker({str(model_folder("bert"))!r}, progress=sys.argv[1] == "yes", batch_size=1)
sys.stderr.write("<<")
reranker.get_scores("planet", ["Mars is red " * (1 + n) for n in range(60)])
sys.stderr.write(">>")
"""
    shown = {}
    for wanted, terminal in (("yes", True), ("no", True), ("yes", False)):
        reader, writer = pty.openpty() if terminal else os.pipe()
        command = [sys.executable, "-c", program, wanted]
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
        with subprocess.Popen(command, stderr=writer, env=environment) as process:
            os.close(writer)
            written = b""
            try:
                while piece := os.read(reader, 65536):
                    written += piece
            except OSError:  # what a terminal says at its end
                pass
            os.close(reader)
        assert process.returncode == 0, written.decode()
        shown[wanted, terminal] = written.decode().partition("<<")[2].partition(">>")[0]
    assert "reranking" in shown["yes", True]
    assert "100%" in shown["yes", True]
    assert shown["no", True] == shown["yes", False] == ""


def test_a_converted_model_needs_neither_torch_nor_transformers(model_folder: Folder) -> None:
    """A fresh process with a cached conversion imports neither, and gives the same scores."""
    folder = str(model_folder("bert"))
    with CrossEncoderReranker(folder, engine="openvino", dtype="float32") as reranker:
        expected = reranker.get_scores(QUERY, DOCUMENTS)
    program = f"""
import json, sys
from rerankit_crossencoder import CrossEncoderReranker
reranker = CrossEncoderReranker({folder!r}, engine="openvino", dtype="float32")
scores = reranker.get_scores({QUERY!r}, {DOCUMENTS!r})
print(json.dumps([scores, sorted({{"torch", "transformers", "sentence_transformers"}} & set(sys.modules))]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=True)
    scores, imported = json.loads(done.stdout)
    assert imported == []
    assert np.allclose(scores, expected, atol=1e-6)


def test_tokens_are_counted_as_computed(model_folder: Folder) -> None:
    """``token_counts`` says what scoring reports."""
    with CrossEncoderReranker(str(model_folder("deberta-v3"))) as reranker:
        pairs = [(QUERY, text) for text in [*DOCUMENTS, LONG]]
        assert reranker.token_counts(pairs) == reranker.score_pairs(ScoreRequest(pairs)).tokens


def test_biencoder_gives_cosines(model_folder: Folder) -> None:
    """(1 + cosine) / 2 of sentence-transformers' embeddings, and the cosine when asked."""
    folder = str(model_folder("bert"))
    encoder = SentenceTransformer(folder, device="cpu")
    query, documents = encoder.encode_query(QUERY), encoder.encode_document(DOCUMENTS)
    expected = encoder.similarity(query, documents)[0].numpy()
    with BiEncoderReranker(folder) as scored, BiEncoderReranker(folder, normalize=False) as raw:
        assert np.allclose(raw.get_scores(QUERY, DOCUMENTS), expected, atol=1e-5)
        assert np.allclose(scored.get_scores(QUERY, DOCUMENTS), (1 + expected) / 2, atol=1e-5)
        batch = raw.score_pairs(ScoreRequest([(QUERY, LONG)]))
    assert batch.coverage is not None
    assert 0 < batch.coverage[0] < 1


def test_many_threads_share_one_biencoder(model_folder: Folder) -> None:
    """Counting tokens, which does not truncate, in some threads leaves embedding in others as it is."""
    with BiEncoderReranker(str(model_folder("bert"))) as reranker:
        pairs = [(QUERY, LONG), (QUERY, "Mars")]
        expected = reranker.score_pairs(ScoreRequest(pairs)).scores
        stop = threading.Event()

        def count() -> None:
            while not stop.is_set():
                reranker.token_counts(pairs)

        with ThreadPoolExecutor(8) as pool:
            counting = [pool.submit(count) for _ in range(4)]
            try:
                for scores in pool.map(lambda _: reranker.score_pairs(ScoreRequest(pairs)).scores, range(40)):
                    assert np.allclose(np.array(scores, float), np.array(expected, float), atol=1e-5)
            finally:
                stop.set()
            for thread in counting:
                thread.result()
