"""Causal rerankers with chat templates, as Qwen3-Reranker and mxbai-rerank-v2 are: tiny, with random weights."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore, Transformer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from rerankit.errors import InputError, InvalidArgumentError
from rerankit.scoring import ScoreRequest
from rerankit_crossencoder import CrossEncoderReranker
from rerankit_crossencoder.templates import TemplateTokenizer

transformers: Any = import_module("transformers")

QUERY = "Which planet is red?"
DOCUMENTS = ["Mars is the red planet.", "", "Vénus 火星", "Water runs the plant. " * 9, "yes", "\n two lines \n"]
LONG = "The table of scores names a passage and the model that read it, whatever was known. " * 40

_USED = "known planet red Mars Venus passage score table water plant yes no the of and is document query"
_MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

QWEN3 = (  # as Qwen3-Reranker's model card has it
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: '
    '{{ messages | selectattr("role", "eq", "system") | map(attribute="content") | first | default("Given a web '
    'search query, retrieve relevant passages that answer the query") }}\n'
    '<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}\n'
    '<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}'
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
MXBAI = (  # as mxbai-rerank's own package writes it
    "<|endoftext|><|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant."
    '<|im_end|>\n<|im_start|>user\nquery: {{ messages | selectattr("role", "eq", "query") '
    '| map(attribute="content") | first }}\n'
    'document: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}\n'
    "You are a search relevance expert who evaluates how well documents match search queries. For each "
    "query-document pair, carefully analyze the semantic relationship between them, then provide your binary "
    "relevance judgment (0 for not relevant, 1 for relevant).\nRelevance:<|im_end|>\n<|im_start|>assistant\n"
)

Make = Callable[[str], Path]


def byte_tokenizer(template: str | None, max_length: int, **settings: Any) -> Any:
    """Byte-level BPE, as Qwen's: every text is tokens of its bytes or of merges learnt from a few words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=_MARKS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([_USED, *_USED.split(), template or ""] * 3, trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        chat_template=template,
        **settings,
    )


def causal_model(path: Path, kind: str, template: str | None, max_length: int = 100_000, **settings: Any) -> Path:
    """Write a causal language model of 2 layers whose weights are large enough for scores to differ."""
    torch.manual_seed(11)
    tokenizer = byte_tokenizer(template, max_length, **settings)
    config = transformers.AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=2048,
        initializer_range=0.1,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=0,
    )
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Folders of: ``qwen3`` and ``gpt2``, scored by yes and no; ``mxbai``, a saved CrossEncoder scored by 1 and 0;
    ``bare``."""
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name in made:
            return made[name]
        path = tmp_path_factory.mktemp(name)
        if name in ("qwen3", "gpt2"):
            causal_model(path, name, QWEN3, padding_side="left")
        elif name == "bare":
            causal_model(path, "qwen3", None)
        else:
            causal_model(path / "body", "qwen2", MXBAI)
            body = Transformer(str(path / "body"), transformer_task="text-generation")
            ids = [body.tokenizer.convert_tokens_to_ids(token) for token in "10"]
            model = CrossEncoder(modules=[body, LogitScore(*ids)], device="cpu", activation_fn=torch.nn.Identity())
            model.save_pretrained(str(path / "saved"))
            path = path / "saved"
        return made.setdefault(name, path)

    return make


@pytest.mark.parametrize("name", ["qwen3", "mxbai"])
def test_scores_are_sentence_transformers(name: str, causal: Make) -> None:
    """Template, padding and score tokens are the reference's: predict's own logits within 1e-5, and no others."""
    model = CrossEncoder(str(causal(name)), device="cpu")
    pairs = [(QUERY, document) for document in [*DOCUMENTS, LONG[:2000]]]
    expected = model.predict(pairs, activation_fn=torch.nn.Identity())
    assert np.std(expected) > 0.05
    with CrossEncoderReranker(str(causal(name)), normalize=False, device="cpu") as reranker:
        assert reranker.diagnose()["engine"] == "reference"
        batch = reranker.score_pairs(ScoreRequest(pairs))
    assert np.abs(np.array(batch.scores) - expected).max() < 1e-5
    assert batch.coverage == [1.0] * len(pairs)


@pytest.mark.parametrize("name", ["qwen3", "mxbai"])
def test_the_template_is_what_the_model_reads(name: str, causal: Make) -> None:
    """Prompt, query and document, in the template's order, are exactly the tokens that are computed."""
    template = QWEN3 if name == "qwen3" else MXBAI
    head, _, tail = template.partition("{{ messages")
    with CrossEncoderReranker(str(causal(name))) as reranker:
        tokenizer = reranker._model.tokenizer
        ids = tokenizer.sequences([(QUERY, DOCUMENTS[0])], "truncate").token_ids[0]
    read = CrossEncoder(str(causal(name)), device="cpu").tokenizer.decode(ids)
    assert read.startswith(head)
    assert read.index(QUERY) < read.index(DOCUMENTS[0])
    assert read.endswith(tail.rpartition("}}")[2].removesuffix("\n"))


@pytest.mark.parametrize("name", ["qwen3", "mxbai"])
@pytest.mark.parametrize("text", [LONG, "火星是红色的行星。" * 60, "x" * 2000])
def test_only_the_document_is_cut(name: str, text: str, causal: Make) -> None:
    """Of a pair that is too long, the template and the query stay whole, and the coverage is what was read."""
    tail = (QWEN3 if name == "qwen3" else MXBAI).rpartition("}}")[2].removesuffix("\n")
    with CrossEncoderReranker(str(causal(name)), max_length=400) as reranker:
        sequences = reranker._model.tokenizer.sequences([(QUERY, text), (QUERY, "Mars")], "truncate")
        batch = reranker.score_pairs(ScoreRequest([(QUERY, text), (QUERY, "Mars")]))
    read = CrossEncoder(str(causal(name)), device="cpu").tokenizer.decode(sequences.token_ids[0])
    assert QUERY in read
    assert read.endswith(tail)
    assert 390 <= len(sequences.token_ids[0]) <= 400
    seen = max(end for end in range(len(text)) if text[:end] in read)
    assert batch.coverage is not None
    assert batch.coverage[0] == pytest.approx(seen / len(text), abs=0.05)
    assert batch.coverage[1] == 1.0
    assert batch.tokens == [len(ids) for ids in sequences.token_ids]


def test_a_query_that_fills_the_model_is_said(causal: Make, caplog: pytest.LogCaptureFixture) -> None:
    """Only its end is cut, so that prompt and some of the document are read, and a warning tells."""
    with (
        CrossEncoderReranker(str(causal("qwen3")), max_length=300, normalize=False) as reranker,
        caplog.at_level(logging.WARNING, "rerankit_crossencoder"),
    ):
        batch = reranker.score_pairs(ScoreRequest([(LONG, "Mars is red"), (LONG, "Venus"), (LONG, LONG)]))
    assert batch.coverage is not None
    assert batch.coverage[:2] == [1.0, 1.0]
    assert 0 < batch.coverage[2] < 0.2
    assert batch.tokens is not None
    assert max(batch.tokens) <= 300
    assert len(set(batch.scores)) == 3
    assert caplog.text.count("its end was cut") == 1


def test_windows_and_refusals(causal: Make) -> None:
    """``window`` reads everything in prompts of its own and takes the best; ``error`` names the document."""
    folder, pairs = str(causal("qwen3")), [(QUERY, "Mars"), (QUERY, LONG)]
    with CrossEncoderReranker(folder, max_length=400, on_overflow="window", normalize=False) as reranker:
        sequences = reranker._model.tokenizer.sequences(pairs, "window")
        batch = reranker.score_pairs(ScoreRequest(pairs))
    decode = CrossEncoder(folder, device="cpu").tokenizer.decode
    parts = [decode(ids).partition("<Document>: ")[2].partition("<|im_end|>")[0] for ids in sequences.token_ids[1:]]
    assert len(parts) > 3
    assert batch.coverage == [1.0, 1.0]
    assert LONG.startswith(parts[0])
    assert LONG.endswith(parts[-1])
    reached = 0
    for part in parts:
        places = [place for place in range(reached + 1) if LONG[place : place + len(part)] == part]
        assert places, "every window begins before the last one ended"
        reached = max(places) + len(part)
    assert reached == len(LONG)
    with CrossEncoderReranker(folder, max_length=400, normalize=False) as plain:
        alone = plain.get_scores(QUERY, parts)
        first = plain.get_scores(QUERY, [LONG])[0]
    assert batch.scores[1] == pytest.approx(max(alone), abs=1e-4)
    assert batch.scores[1] is not None
    assert batch.scores[1] >= first - 1e-4
    with (
        CrossEncoderReranker(folder, max_length=400, on_overflow="error") as strict,
        pytest.raises(InputError, match="document 1 is"),
    ):
        strict.score_pairs(ScoreRequest(pairs))


@pytest.mark.parametrize("name", ["qwen3", "mxbai", "gpt2"])
def test_company_changes_nothing(name: str, causal: Make) -> None:
    """Left padding by longer companions moves no score: alone, or in one batch with all, it is the same.

    GPT-2's positions are absolute: a sequence that padding moves to the right would be another one to it, and is to
    ``CrossEncoder.predict``.
    """
    documents = [*DOCUMENTS, LONG[:1500]]
    with CrossEncoderReranker(str(causal(name)), normalize=False, batch_size=16, token_budget=100_000) as reranker:
        together = reranker.get_scores(QUERY, documents)
        alone = [reranker.get_scores(QUERY, [document])[0] for document in documents]
    assert np.ptp(together) > 0.1
    assert np.abs(np.array(together) - alone).max() < 1e-5


def test_counts_are_what_is_computed(causal: Make) -> None:
    """``token_counts`` includes the prompt and says what scoring reports."""
    pairs = [(QUERY, document) for document in [*DOCUMENTS, LONG]]
    with CrossEncoderReranker(str(causal("mxbai")), max_length=300) as reranker:
        assert reranker.token_counts(pairs) == reranker.score_pairs(ScoreRequest(pairs)).tokens


def test_a_saved_prompt_is_used(causal: Make, tmp_path: Path) -> None:
    """A prompt that the model names as its default reaches the template, as in predict."""
    model = CrossEncoder(
        str(causal("qwen3")), device="cpu", prompts={"plants": "Find plants"}, default_prompt_name="plants"
    )
    model.save_pretrained(str(tmp_path))
    pairs = [(QUERY, document) for document in DOCUMENTS]
    with CrossEncoderReranker(str(causal("qwen3"))) as without, CrossEncoderReranker(str(tmp_path)) as prompted:
        scores = prompted.get_scores(QUERY, DOCUMENTS)
        assert np.abs(np.array(scores) - without.get_scores(QUERY, DOCUMENTS)).max() > 1e-3
    assert np.abs(np.array(scores) - CrossEncoder(str(tmp_path), device="cpu").predict(pairs)).max() < 1e-5


def test_auto_is_the_reference_and_others_are_refused(causal: Make) -> None:
    """No other engine runs a language model's head: asked for by name, they say so."""
    folder = str(causal("qwen3"))
    with CrossEncoderReranker(folder, device="cpu", dtype="bfloat16") as reranker:
        assert reranker.diagnose()["engine"] == "reference"
        assert reranker._model.engine.precision == "bfloat16"
    for engine in ("packed", "openvino"):
        with pytest.raises(InvalidArgumentError, match=f"the {engine} engine cannot run"):
            CrossEncoderReranker(folder, engine=engine, device="cpu")


def test_too_short_for_the_prompt_is_said(causal: Make) -> None:
    """A ``max_length`` that the prompt alone fills names one that would do."""
    with pytest.raises(InvalidArgumentError, match="the model's own prompt has") as caught:
        CrossEncoderReranker(str(causal("qwen3")), max_length=64)
    assert caught.value.remedy is not None
    enough = int(caught.value.remedy.removeprefix("set max_length to ").partition(" ")[0])
    with CrossEncoderReranker(str(causal("qwen3")), max_length=enough) as reranker:
        assert len(set(reranker.get_scores(QUERY, ["Mars", "Venus"]))) == 2


def test_a_model_without_a_template_is_refused(causal: Make, tmp_path: Path) -> None:
    """Without a chat template there is no prompt; with one that drops the pair there is no query: neither may score."""
    with pytest.raises(InvalidArgumentError, match="chat template"):
        CrossEncoderReranker(str(causal("bare")))
    causal_model(
        tmp_path, "qwen3", "{% for message in messages if message.role == 'user' %}{{ message.content }}{% endfor %}"
    )
    with pytest.raises(InvalidArgumentError, match="chat template"):
        CrossEncoderReranker(str(tmp_path))


def test_many_threads_share_one_template_tokenizer(causal: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 threads at once get the tokens of their own texts; never are two of them in the model's preprocessing."""
    texts = [LONG * (i + 1) for i in range(8)]
    with CrossEncoderReranker(str(causal("qwen3"))) as reranker:
        tokenizer = reranker._model.tokenizer
        assert isinstance(tokenizer, TemplateTokenizer)
        expected = [tokenizer.sequences([(QUERY, text)], "truncate").token_ids for text in texts]
        start = threading.Barrier(8)
        preprocess, inside, most = tokenizer._model.preprocess, [], []

        def watched(*args: Any, **kwargs: Any) -> Any:
            inside.append(threading.get_ident())
            most.append(len(inside))
            time.sleep(0)  # others may run
            try:
                return preprocess(*args, **kwargs)
            finally:
                inside.pop()

        monkeypatch.setattr(tokenizer._model, "preprocess", watched)

        def work(i: int) -> list[list[list[int]]]:
            start.wait()
            return [tokenizer.sequences([(QUERY, texts[i])], "truncate").token_ids for _ in range(10)]

        with ThreadPoolExecutor(8) as pool:
            for mine, got in zip(expected, pool.map(work, range(8)), strict=True):
                assert all(ids == mine for ids in got)
        assert max(most) == 1
