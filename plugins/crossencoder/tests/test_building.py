"""Choosing, checking and loading: what is chosen, what a mismatch does, what failures say."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rerankit import load_reranker
from rerankit.errors import InvalidArgumentError, ModelNotFoundError, OutOfMemoryError, ProtocolError, RerankitError
from rerankit_crossencoder import CrossEncoderReranker, golden, loading
from rerankit_crossencoder.agreement import compare
from rerankit_crossencoder.arguments import CrossEncoderArguments
from rerankit_crossencoder.choice import precision_for
from rerankit_crossencoder.engines.compiled import BUCKETS, CompiledEngine
from rerankit_crossencoder.engines.packed import PackedEngine
from rerankit_crossencoder.engines.reference import ReferenceEngine
from rerankit_crossencoder.memory import available_memory, budget_for

Folder = Callable[[str], Path]
QUERY, DOCUMENTS = "Which planet is red?", ["Mars is the red planet", "Venus", "water runs " * 30]


def test_services_are_found_by_name(model_folder: Folder) -> None:
    """All three names load from configuration, with arguments as strings too."""
    folder = str(model_folder("bert"))
    scores = {
        name: load_reranker(name, model_name_or_path=folder, batch_size="16").get_scores(QUERY, DOCUMENTS)
        for name in ("crossencoder", "flag_embedding", "biencoder")
    }
    assert scores["crossencoder"] == scores["flag_embedding"] != scores["biencoder"]


def test_telling_about_it_imports_no_model_library() -> None:
    """The light module, the package and the arguments bring in none of the heavy libraries."""
    program = (
        "import sys, rerankit_crossencoder.plugin as p, rerankit_crossencoder.arguments; p.rerankit_rerankers();"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'openvino', 'tokenizers', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_auto_takes_packed_where_it_can(model_folder: Folder, tmp_path: Path) -> None:
    """Encoders it knows run packed, others do not; what was chosen and why is told."""
    with CrossEncoderReranker(str(model_folder("deberta-v3")), device="cpu") as reranker:
        notes = reranker.diagnose()
    assert notes["engine"] == "packed"
    assert "Spearman" in notes["agreement"]
    assert ("this processor" in notes["dtype"]) or ("no bfloat16" in notes["dtype"])


def test_auto_takes_openvino_for_narrow_models_of_plain_attention(model_folder: Folder) -> None:
    """Where it was measured to be the faster one, and is installed."""
    with CrossEncoderReranker(str(model_folder("bert")), device="cpu") as reranker:
        notes = reranker.diagnose()
    assert notes["engine"] == "openvino"
    assert "Spearman" in notes["agreement"]


@pytest.mark.parametrize("engine", ["packed", "openvino"])
@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_only_where_the_processor_computes_in_it(
    engine: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Elsewhere it would be emulated, many times slower: float32 runs, and the reason is told."""
    monkeypatch.setattr("rerankit_crossencoder.choice._has_bfloat16", lambda engine: native)
    for asked in ("auto", "bfloat16"):
        precision, why = precision_for(asked, engine, "cpu")
        assert precision == ("bfloat16" if native else "float32")
        assert "processor" in why or (native and why == "as asked")
    assert precision_for("bfloat16", "reference", "cpu") == ("bfloat16", "as asked")


@pytest.mark.parametrize("native", [True, False])
def test_int8_only_where_the_processor_adds_it_up_rightly(
    native: bool, model_folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without VNNI the packed engine refuses int8; openvino, which is right there too, takes it with ``auto``."""
    monkeypatch.setattr("rerankit_crossencoder.choice.cpu_has_int8", lambda: native)
    if native:
        assert precision_for("int8", "packed", "cpu") == ("int8", "as asked")
        return
    with pytest.raises(InvalidArgumentError, match="VNNI"):
        CrossEncoderReranker(str(model_folder("deberta-v3")), engine="packed", dtype="int8")
    with CrossEncoderReranker(str(model_folder("deberta-v3")), dtype="int8", device="cpu") as reranker:
        notes = reranker.diagnose()
    assert notes["engine"] == "openvino"
    assert notes["dtype"] == "int8 (as asked)"


def test_what_an_engine_cannot_run_is_said(odd_model: Path) -> None:
    """An engine asked for by name raises; ``auto`` goes on to the next that can."""
    with pytest.raises(InvalidArgumentError, match="silu"):
        CrossEncoderReranker(str(odd_model), engine="packed")
    with CrossEncoderReranker(str(odd_model), device="cpu", dtype="float32") as reranker:
        assert reranker.diagnose()["engine"] == "openvino"
    with pytest.raises(InvalidArgumentError, match="no int8"):
        CrossEncoderReranker(str(odd_model), engine="reference", dtype="int8")


def test_a_mismatch_falls_back_to_the_reference(
    model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An engine whose scores are not the reference's does not score; it is said, and remembered for the next start."""
    folder = shutil.copytree(model_folder("bert"), tmp_path / "model")
    with CrossEncoderReranker(str(folder), engine="reference") as reference:
        expected = reference.get_scores(QUERY, DOCUMENTS)
    right = PackedEngine.logits
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(PackedEngine, "logits", lambda self, *ids: right(self, *ids) + 0.01)
        with CrossEncoderReranker(str(folder), engine="packed", dtype="float32") as reranker:
            assert reranker.diagnose()["engine"] == "reference"
            assert reranker.get_scores(QUERY, DOCUMENTS) == expected
    assert "does not give the reference's scores" in caplog.text
    with CrossEncoderReranker(str(folder), engine="packed", dtype="float32", max_length=512, batch_size=3) as again:
        assert again.get_scores(QUERY, DOCUMENTS) == pytest.approx(expected, abs=1e-4)


def test_agreement_is_a_figure() -> None:
    """Rounding of the precision passes, more does not, NaN never does."""
    reference = np.array([-3.0, 0.5, 4.0], np.float32)
    assert compare(reference, reference + 5e-4, "float32").ok
    assert not compare(reference, reference + 2e-3, "float32").ok
    assert compare(reference, reference + 0.05, "bfloat16").ok
    assert not compare(reference, -reference, "int8").ok
    assert compare(reference, -reference, "int8").spearman == pytest.approx(-1)
    assert not compare(reference, np.full(3, np.nan, np.float32), "int8").ok


@pytest.mark.parametrize(
    ("name", "arguments", "error", "says"),
    [
        ("/nowhere/model", {}, ModelNotFoundError, "is not a folder with a model"),
        ("someone/some-model", {"local_files_only": True}, ModelNotFoundError, "local cache"),
        ("someone/some-model", {"trust_remote_code": True}, InvalidArgumentError, "full commit hash"),
        ("someone/some-model", {"trust_remote_code": True, "revision": "main"}, InvalidArgumentError, "commit hash"),
        ("someone/some-model", {"batchsize": 3}, InvalidArgumentError, "batch_size"),
        ("someone/some-model", {"dtype": "float8"}, InvalidArgumentError, "dtype"),
    ],
)
def test_what_cannot_be_loaded_is_typed(
    name: str, arguments: dict[str, Any], error: type[RerankitError], says: str
) -> None:
    """Each trouble has its class, and a remedy."""
    with pytest.raises(error, match=says) as caught:
        CrossEncoderReranker(name, **arguments)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (type("GatedRepoError", (OSError,), {})("Access to model is restricted"), "authentication"),
        (type("RepositoryNotFoundError", (OSError,), {})("404"), "model_not_found"),
        (type("ConnectError", (Exception,), {})("no route"), "unavailable"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), "out_of_memory"),
        (ValueError("requires you to execute the configuration file; set trust_remote_code=True"), "invalid_argument"),
        (KeyError("weights"), "backend"),
    ],
)
def test_hub_troubles_are_typed(raised: Exception, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the hub's client raises where there is a network, by its class's name, also as a cause."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    with (
        pytest.raises(RerankitError) as caught,
        loading.loading_errors(CrossEncoderArguments(model_name_or_path="a/b")),
    ):
        raise OSError("cannot load") from raised
    assert caught.value.code == code


def test_a_model_with_several_labels_is_refused(labels_model: Path) -> None:
    """A classifier of 3 classes gives no relevance."""
    with pytest.raises(InvalidArgumentError, match="3 labels"):
        CrossEncoderReranker(str(labels_model))


def test_the_budget_fits_into_memory() -> None:
    """A token that takes a tenth of the memory makes small batches; what was asked for is kept."""
    assert budget_for("cpu", 1000, 4096, None) == 4096
    assert budget_for("cpu", available_memory("cpu") // 10, 4096, None) == 64
    assert budget_for("cpu", 1000, 4096, 77) == 77


def test_one_sequence_that_does_not_fit_is_out_of_memory(model_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is typed, with its remedy, and the reranker goes on working."""
    with CrossEncoderReranker(str(model_folder("bert")), engine="reference", token_budget=5000) as reranker:
        with monkeypatch.context() as patch:
            patch.setattr(ReferenceEngine, "run", lambda *_: (_ for _ in ()).throw(MemoryError("no more")))
            with pytest.raises(OutOfMemoryError, match="memory ran out"):
                reranker.get_scores(QUERY, DOCUMENTS)
        assert len(reranker.get_scores(QUERY, DOCUMENTS)) == 3


def test_published_scores_are_compared(model_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that misses its published scores is told by ``diagnose``; one that meets them is, too."""
    folder = str(model_folder("bert"))
    with CrossEncoderReranker(folder, dtype="float32") as reranker:
        documents = [document for _, document in golden.PAIRS]
        scores = reranker.get_scores(golden.PAIRS[0][0], documents)
        assert "none known" in reranker.diagnose()["published scores"]
        monkeypatch.setitem(golden.GOLDEN, folder, tuple(scores))
        assert "met within 0.000" in reranker.diagnose()["published scores"]
        monkeypatch.setitem(golden.GOLDEN, folder, tuple(np.log(scores) - np.log1p(np.negative(scores)) - 20))
        with pytest.raises(ProtocolError, match="misses its published scores"):
            reranker.diagnose()


def compiled(folder: Path, backend: Any, precision: str = "float32") -> CompiledEngine:
    arguments = CrossEncoderArguments(model_name_or_path=str(folder))
    return CompiledEngine(loading.load_cross_encoder(arguments, precision, "cpu"), backend=backend)


def wait_for(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < limit, "the compiler did nothing"
        time.sleep(0.05)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_compilation_takes_over_once_it_agrees(model_folder: Folder) -> None:
    """Served eagerly at first, compiled later, by one module in a bounded set of shapes, with the same scores."""
    ids = [[2, *[9] * 70, 3], [2, *[8] * 40, 3], [2, 7, 3]]
    types = [[0] * len(row) for row in ids]
    engine = compiled(model_folder("bert"), "aot_eager")
    expected = ReferenceEngine(engine.model).logits(ids, types)
    assert np.abs(engine.logits(ids, types) - expected).max() < 1e-5
    wait_for(lambda: (4, 96) in engine.ready)
    assert np.abs(engine.logits(ids, types) - expected).max() < 1e-5
    assert not engine.failed
    assert {length for _, length in engine.ready} <= set(BUCKETS)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("fault", ["raises", "differs"])
def test_a_compiler_that_fails_is_reported_once(
    fault: str, model_folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    """It raises, or its model's scores differ: eager scores go on, one warning, no second try."""
    calls: list[int] = []

    def backend(graph: Any, inputs: list[Any]) -> Any:
        calls.append(1)
        if fault == "raises":
            raise ValueError("no such instruction")
        return lambda *tensors: tuple(output + 1 for output in graph(*tensors))

    engine = compiled(model_folder("bert"), backend)
    ids, types = [[2, 9, 3]], [[0, 0, 0]]
    expected = ReferenceEngine(engine.model).logits(ids, types)
    with caplog.at_level(logging.WARNING, "rerankit_crossencoder"):
        engine.logits(ids, types)
        wait_for(lambda: engine.failed)
    tried = len(calls)
    assert engine.logits(ids, types) == pytest.approx(expected)
    engine.logits(ids * 9, types * 9)
    assert len(calls) == tried
    assert caplog.text.count("torch.compile is not used") == 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("error", "raises", "failed"),
    [(ValueError("an illegal address"), False, True), (RuntimeError("CUDA out of memory"), True, False)],
)
def test_a_compiled_model_that_fails_later_is_not_used_any_more(
    error: Exception, raises: bool, failed: bool, model_folder: Folder, caplog: pytest.LogCaptureFixture
) -> None:
    """The request is served eagerly, and all after it; but memory that ran out is the batch's fault, and told."""
    faults: list[Exception] = []

    def backend(graph: Any, inputs: list[Any]) -> Any:
        def run(*tensors: Any) -> Any:
            if faults:
                raise faults[0]
            return graph(*tensors)

        return run

    engine = compiled(model_folder("bert"), backend)
    ids, types = [[2, 9, 3]], [[0, 0, 0]]
    expected = engine.logits(ids, types)
    wait_for(lambda: bool(engine.ready))
    faults.append(error)
    with caplog.at_level(logging.WARNING, "rerankit_crossencoder"):
        if raises:
            with pytest.raises(RuntimeError, match="out of memory"):
                engine.logits(ids, types)
        else:
            assert engine.logits(ids, types) == pytest.approx(expected)
            assert engine.logits(ids, types) == pytest.approx(expected)
    assert engine.failed is failed
    assert caplog.text.count("torch.compile is not used") == failed


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_compilation_is_tried_again_after_memory_ran_out(model_folder: Folder) -> None:
    """The shape is compiled when it comes again; nothing is given up for good."""
    faults = [RuntimeError("CUDA out of memory")]

    def backend(graph: Any, inputs: list[Any]) -> Any:
        def run(*tensors: Any) -> Any:
            if faults:
                raise faults.pop()
            return graph(*tensors)

        return run

    engine = compiled(model_folder("bert"), backend)
    ids, types = [[2, 9, 3]], [[0, 0, 0]]
    engine.logits(ids, types)
    wait_for(lambda: not faults)

    def ready() -> bool:
        engine.logits(ids, types)
        return bool(engine.ready)

    wait_for(ready)
    assert not engine.failed


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("name", ["bert", "roberta", "deberta-v3"])
def test_logits_are_finer_than_the_models_precision(name: str, model_folder: Folder) -> None:
    """In a model of bfloat16 the head computes in float32, eager and compiled: near logits are no ties."""
    engine = compiled(model_folder(name), "aot_eager", "bfloat16")
    ids = [[2, *range(9, 9 + count), 3] for count in range(32, 0, -1)]
    types = [[0] * len(row) for row in ids]
    eager = engine.logits(ids, types)
    wait_for(lambda: bool(engine.ready) or engine.failed)
    for logits in (eager, engine.logits(ids, types)):
        assert (torch.from_numpy(logits).bfloat16().float().numpy() != logits).mean() > 0.9
    assert not engine.failed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_default_compiler_agrees(model_folder: Folder) -> None:
    """Inductor itself, on the CPU; needs a C++ compiler."""
    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler")
    engine = compiled(model_folder("deberta-v3"), "inductor")
    ids = [[2, *[9] * 20, 3]]
    before = engine.logits(ids, [[0] * 22])
    wait_for(lambda: bool(engine.ready) or engine.failed)
    assert not engine.failed
    assert np.abs(engine.logits(ids, [[0] * 22]) - before).max() < 1e-4
