"""Loading: every trouble of a model hub, caused for real on a hub of our own, and models with code of their own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from sentence_transformers import CrossEncoder

from rerankit.errors import InvalidArgumentError
from rerankit_crossencoder import CrossEncoderReranker

transformers: Any = import_module("transformers")

QUERY = "Which planet is red?"
DOCUMENTS = ["Mars is the red planet", "", "Venus", "water runs " * 30, "a table of the score " * 200]
COMMIT = "0123456789abcdef0123456789abcdef01234567"

Folder = Callable[[str], Path]

GATED, MISSING, REFUSED = "someone/gated", "someone/missing", "someone/forbidden"
CODED, NO_REVISION, ABSENT = "someone/coded", "someone/no-revision", "someone/absent"


class Hub(BaseHTTPRequestHandler):
    """Answers as the Hugging Face hub does: its status, ``X-Error-Code`` and message for each kind of trouble."""

    troubles: ClassVar[dict[str, tuple[int, str, str]]] = {
        GATED: (403, "GatedRepo", f"Access to model {GATED} is restricted and you are not in the authorized list."),
        ABSENT: (404, "RepoNotFound", "Repository not found"),
        MISSING: (401, "RepoNotFound", "Invalid username or password."),
        REFUSED: (403, "", "Forbidden"),
        NO_REVISION: (404, "RevisionNotFound", "Invalid rev id: nowhere"),
    }
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """A file or a description of a repository, with its headers; ``HEAD`` is answered likewise."""
        self.asked.append(self.path)
        name = next((name for name in [*self.troubles, CODED] if name in self.path), MISSING)
        body = b""
        if name != CODED:
            status, code, message = self.troubles[name]
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("X-Error-Message", message)
        elif self.path.endswith("/config.json"):
            coded = {"model_type": "own", "auto_map": {"AutoConfig": "own.Own"}, "num_labels": 1}
            body = json.dumps(coded).encode()
            self.send_response(200)
            self.send_header("ETag", '"1"')
            self.send_header("X-Repo-Commit", COMMIT)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - the name the server looks for

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """The address of a hub on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def error_of(arguments: dict[str, Any], tmp_path: Path, before: str = "", **environment: str) -> dict[str, Any]:
    """The typed error of loading in a process of its own, whose hub and cache are what ``environment`` says."""
    program = f"""
import json
from rerankit.errors import RerankitError
from rerankit_crossencoder import CrossEncoderReranker
{before}
try:
    CrossEncoderReranker(**{arguments!r}, device="cpu")
except RerankitError as error:
    print("\\n" + json.dumps({{"code": error.code, "remedy": error.remedy, "says": str(error)}}))
"""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, "HF_HOME": str(tmp_path / "hub"), "XDG_CACHE_HOME": str(tmp_path), **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("name", "code", "remedy"),
    [
        (GATED, "authentication", "hf auth login"),
        (REFUSED, "authentication", "hf auth login"),
        (MISSING, "authentication", "hf auth login"),
        (ABSENT, "model_not_found", "correct model_name_or_path"),
        (NO_REVISION, "model_not_found", "correct model_name_or_path or revision"),
    ],
)
def test_what_a_hub_refuses_is_typed(name: str, code: str, remedy: str, hub: str, tmp_path: Path) -> None:
    """Gated, forbidden, absent (which a hub tells a stranger as 401), without that revision: asked over HTTP."""
    Hub.asked.clear()
    error = error_of({"model_name_or_path": name, "revision": "nowhere"}, tmp_path, HF_ENDPOINT=hub)
    assert any(name in path for path in Hub.asked), "the hub was asked"
    assert (error["code"], name in error["says"]) == (code, True), error
    assert remedy in error["remedy"]


def test_no_network_is_said(tmp_path: Path) -> None:
    """Nobody listens where the hub should be: unavailable, which may be tried again; not a missing model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    error = error_of({"model_name_or_path": "someone/some-model"}, tmp_path, HF_ENDPOINT=address)
    assert error["code"] == "unavailable", error
    assert "hf download someone/some-model" in error["remedy"]


@pytest.mark.parametrize(
    ("arguments", "environment"), [({"local_files_only": True}, {}), ({}, {"HF_HUB_OFFLINE": "1"})]
)
def test_what_is_not_in_the_cache_is_said(
    arguments: dict[str, Any], environment: dict[str, str], hub: str, tmp_path: Path
) -> None:
    """Told not to ask, it does not ask, and says how the model gets into the cache."""
    Hub.asked.clear()
    name = {"model_name_or_path": "someone/some-model"}
    error = error_of({**name, **arguments}, tmp_path, HF_ENDPOINT=hub, **environment)
    assert not any("some-model" in path for path in Hub.asked)
    assert error["code"] == "model_not_found", error
    assert "hf download" in error["remedy"]


def test_code_on_a_hub_is_not_run(hub: str, tmp_path: Path) -> None:
    """A hub's model with code of its own is refused with what to do, and its code is not even fetched."""
    Hub.asked.clear()
    error = error_of({"model_name_or_path": CODED}, tmp_path, HF_ENDPOINT=hub)
    assert error["code"] == "invalid_argument", error
    assert "trust_remote_code" in error["remedy"]
    assert "revision" in error["remedy"]
    assert not any(path.endswith("own.py") for path in Hub.asked)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of address space are Linux's")
def test_too_little_memory_is_typed(tmp_path: Path) -> None:
    """Weights that do not fit into what the system gives: the allocator's own failure, with its remedy."""
    config = transformers.BertConfig(
        hidden_size=1024, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64, vocab_size=200_000
    )
    config.num_labels = 1
    model = transformers.BertForSequenceClassification(config)
    model.save_pretrained(tmp_path / "large")
    before = """
import resource, torch, transformers, sentence_transformers
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, resource.RLIM_INFINITY))
"""
    error = error_of({"model_name_or_path": str(tmp_path / "large")}, tmp_path, before, HF_HUB_OFFLINE="1")
    assert error["code"] == "out_of_memory", error
    assert "smaller model" in error["remedy"]


OWN_CODE = '''
import torch
from transformers import PretrainedConfig, XLMRobertaConfig, XLMRobertaForSequenceClassification
from transformers.modeling_outputs import SequenceClassifierOutput


class OwnConfig(XLMRobertaConfig):
    model_type = "own-xlm-roberta"


class OwnForSequenceClassification(XLMRobertaForSequenceClassification):
    """An XLM-RoBERTa whose scores are not transformers' own: doubled."""

    config_class = OwnConfig

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        logits = super().forward(input_ids=input_ids, attention_mask=attention_mask).logits
        return SequenceClassifierOutput(logits=2 * logits)
'''


@pytest.fixture(scope="module")
def coded(model_folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as jina-reranker-v2's: XLM-RoBERTa weights, a model class in a file of their own, ``auto_map``."""
    path: Path = tmp_path_factory.mktemp("coded")
    for file in model_folder("xlm-roberta").iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    config = json.loads((path / "config.json").read_text())
    config["model_type"] = "own-xlm-roberta"
    config["architectures"] = ["OwnForSequenceClassification"]
    config["auto_map"] = {
        "AutoConfig": "own_code.OwnConfig",
        "AutoModelForSequenceClassification": "own_code.OwnForSequenceClassification",
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "own_code.py").write_text(textwrap.dedent(OWN_CODE))
    return path


def test_code_of_a_folder_runs_only_when_asked(
    coded: Path, model_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused without ``trust_remote_code``; with it, a local folder needs no revision and its own code scores."""
    with pytest.raises(InvalidArgumentError, match="needs code from its repository") as caught:
        CrossEncoderReranker(str(coded), device="cpu")
    assert "trust_remote_code" in str(caught.value.remedy)
    pairs = [(QUERY, document) for document in DOCUMENTS]
    expected = CrossEncoder(str(coded), device="cpu", trust_remote_code=True).predict(pairs)
    plain = CrossEncoder(str(model_folder("xlm-roberta")), device="cpu").predict(pairs)
    assert np.abs(expected - plain).max() > 0.01, "it is the folder's code that scores"
    for engine in ("reference", "auto"):
        with CrossEncoderReranker(
            str(coded), device="cpu", dtype="float32", engine=engine, trust_remote_code=True
        ) as reranker:
            scores = reranker.get_scores(QUERY, DOCUMENTS)
            assert reranker.diagnose()["engine"] != "packed", "what the packed engine runs is not this code"
        assert np.abs(np.array(scores) - expected).max() < (1e-5 if engine == "reference" else 1e-4)


def test_code_on_a_hub_needs_a_pinned_revision() -> None:
    """A branch may be moved to other code: only a commit will do, and this is found out before anything is loaded."""
    for revision in (None, "main", "v1.0", COMMIT[:12]):
        with pytest.raises(InvalidArgumentError, match="full commit hash"):
            CrossEncoderReranker("someone/coded", trust_remote_code=True, revision=revision)


@pytest.mark.parametrize("engine", ["reference", "openvino", "auto"])
def test_modernbert(engine: str, model_folder: Folder) -> None:
    """ModernBERT's architecture (gte-reranker's): reference and OpenVINO give predict's scores, long documents too."""
    path = model_folder("modernbert")
    pairs = [(QUERY, document) for document in DOCUMENTS]
    expected = CrossEncoder(str(path), device="cpu").predict(pairs)
    assert np.std(expected) > 0.01
    with CrossEncoderReranker(str(path), device="cpu", dtype="float32", engine=engine) as reranker:
        scores = reranker.get_scores(QUERY, DOCUMENTS)
        assert reranker.diagnose()["engine"] == (engine if engine != "auto" else "openvino")
    assert np.abs(np.array(scores) - expected).max() < (1e-5 if engine == "reference" else 1e-4)


def test_max_length_is_at_most_the_models(model_folder: Folder) -> None:
    """A larger ``max_length`` does not read past the positions that the model has."""
    for engine in ("reference", "packed"):
        with CrossEncoderReranker(str(model_folder("bert")), max_length=2000, engine=engine) as reranker:
            assert reranker.token_counts([(QUERY, "water runs " * 900)]) == [512]
            assert len(reranker.get_scores(QUERY, ["water runs " * 900])) == 1


@pytest.mark.parametrize("max_length", [8, 12, 40])
def test_a_small_max_length_is_kept(max_length: int, model_folder: Folder) -> None:
    """However little fits, no more is read, and some of the document is."""
    with CrossEncoderReranker(str(model_folder("bert")), max_length=max_length, engine="packed") as reranker:
        counts = reranker.token_counts([(QUERY * 3, "water runs " * 9)])
        sequences = reranker._model.tokenizer.sequences([(QUERY * 3, "water runs " * 9)], "truncate")
    assert counts == [max_length] == [len(ids) for ids in sequences.token_ids]
    assert sequences.coverage[0] > 0
