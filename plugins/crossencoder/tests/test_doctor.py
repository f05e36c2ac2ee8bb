"""``rerankit doctor --model`` on models made here: each suspicious set-up is named as what it is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from rerankit import Capabilities, PairReranker, ScoreBatch, ScoreKind, ScoreRequest
from rerankit.cli import cli
from rerankit.sanity import examine

transformers: Any = import_module("transformers")

Folder = Callable[[str], Path]
TEMPLATE = (
    '<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}\n'
    '<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}'
)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Run it on a model; what failed, by subject without the service's name."""

    def run(folder: Path, **arguments: Any) -> dict[str, str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("RERANKER_SERVICE", "crossencoder")
        values = {"model_name_or_path": str(folder), "device": "cpu", **arguments}
        monkeypatch.setenv("RERANKER_ARGS", json.dumps(values))
        done = CliRunner().invoke(cli, ["doctor", "--model", "--json"])
        assert done.exit_code == 1, done.output
        checks = json.loads(done.stdout)["checks"]
        ours = {check["subject"].removeprefix("crossencoder").strip(): check for check in checks}
        return {name: check["detail"] for name, check in ours.items() if check["status"] == "failed"}

    return run


@pytest.fixture
def decoder(model_folder: Folder, tmp_path: Path) -> Callable[[str], Path]:
    """A decoder with a classification head, as conversions of Qwen3-Reranker are, and no template."""

    def make(name: str) -> Path:
        torch.manual_seed(3)
        folder = tmp_path / name
        shutil.copytree(model_folder("bert"), folder, ignore=shutil.ignore_patterns("*.safetensors", "config.json"))
        config = transformers.AutoConfig.for_model(
            "qwen3",
            vocab_size=400,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=16,
            max_position_embeddings=512,
            num_labels=1,
            pad_token_id=0,
        )
        transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
        return folder

    return make


@pytest.mark.parametrize(
    ("name", "reason"),
    [("converted", "is a decoder"), ("Qwen3-Reranker-0.6B-seq-cls", "Qwen3-Reranker was trained on one")],
)
def test_a_missing_prompt_template_is_named(
    doctor: Any, decoder: Callable[[str], Path], name: str, reason: str
) -> None:
    """By the architecture, or by the family; the other findings are not lost. With a template all is well."""
    folder = decoder(name)
    failed = doctor(folder, engine="reference")
    assert "prompt template" in failed["set-up"]
    assert reason in failed["set-up"]
    assert "relevance" in failed
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    assert "set-up" not in doctor(folder, engine="reference")


def test_an_encoder_needs_no_template(doctor: Any, model_folder: Folder) -> None:
    """Its order is random, and that alone is said."""
    failed = doctor(model_folder("bert"))
    assert "relevance" in failed
    assert "set-up" not in failed
    assert "weights" not in failed


def test_a_head_that_the_checkpoint_lacks_is_named(doctor: Any, model_folder: Folder, tmp_path: Path) -> None:
    """As of a model that was trained for something else; the loader only warns of it."""
    folder = tmp_path / "headless"
    shutil.copytree(model_folder("bert"), folder)
    transformers.AutoModel.from_pretrained(folder).save_pretrained(folder)
    assert "newly initialized" in doctor(folder)["weights"]


def test_saturation_is_named(doctor: Any, model_folder: Folder, tmp_path: Path) -> None:
    """Logits so large that their sigmoid is exactly 0 or 1."""
    folder = tmp_path / "saturated"
    shutil.copytree(model_folder("bert"), folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        model.classifier.weight *= 1000.0
    model.save_pretrained(folder)
    assert "exactly 0 or 1" in doctor(folder)["ties"]


class Bare(PairReranker):
    """A BERT run as in a hand-written plugin: no activation, and on request no attention mask."""

    def __init__(self, folder: Path, kind: ScoreKind, *, masked: bool) -> None:
        self.capabilities = Capabilities(kind)
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self._model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
        self._masked = masked

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        queries, documents = map(list, zip(*request.pairs, strict=True))
        inputs = self._tokenizer(queries, documents, padding=True, truncation=True, return_tensors="pt")
        if not self._masked:
            inputs["attention_mask"] = torch.ones_like(inputs["attention_mask"])
        with torch.inference_mode():
            return ScoreBatch(self._model(**inputs).logits[:, 0].tolist())


@pytest.mark.parametrize("masked", [True, False])
def test_a_missing_mask_and_a_missing_activation_are_named(model_folder: Folder, masked: bool) -> None:
    """Padding that leaks into scores; logits that are declared probabilities, and not those declared logits."""
    found = {
        kind: {finding.subject: finding.detail for finding in findings if finding.remedy}
        for kind in (ScoreKind.PROBABILITY, ScoreKind.LOGIT)
        for findings in [examine(Bare(model_folder("bert"), kind, masked=masked))]
    }
    assert "these are logits" in found[ScoreKind.PROBABILITY]["range"]
    assert "range" not in found[ScoreKind.LOGIT]
    assert ("company" in found[ScoreKind.LOGIT]) is not masked
