"""Models made here: random weights of the true architectures, and a tokenizer over a small vocabulary."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

transformers: Any = import_module("transformers")
transformers.utils.logging.disable_progress_bar()

_WORDS = "planet red mars venus known score passage query model read table run water plant the of and is a to in"

SHAPES: dict[str, dict[str, Any]] = {
    "bert": {"type_vocab_size": 2},
    "xlm-roberta": {"max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 0},
    "roberta": {"max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 0},
    "electra": {"embedding_size": 64},
    "modernbert": {
        "hidden_activation": "gelu",
        "local_attention": 32,
        "global_attn_every_n_layers": 3,
        "max_position_embeddings": 512,
        "pad_token_id": 0,
        "cls_token_id": 2,
        "sep_token_id": 3,
        "bos_token_id": 2,
        "eos_token_id": 3,
        "initializer_cutoff_factor": 3.0,
    },
    "deberta-v3": {
        "relative_attention": True,
        "max_relative_positions": -1,
        "position_buckets": 256,
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "pos_att_type": ["p2c", "c2p"],
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": 64,
        "layer_norm_eps": 1e-7,
    },
    "deberta-v2": {
        "relative_attention": True,
        "max_relative_positions": -1,
        "norm_rel_ebd": "none",
        "share_att_key": False,
        "pos_att_type": ["c2p", "p2c"],
        "position_biased_input": True,
        "type_vocab_size": 2,
        "pooler_hidden_size": 64,
    },
}
"""Settings in which each architecture differs from the small common shape."""


def small_tokenizer(path: Path, *, roberta: bool = False, max_length: int = 512) -> None:
    """Write a fast tokenizer with BERT's or RoBERTa's template."""
    first, last = ("<s>", "</s>") if roberta else ("[CLS]", "[SEP]")
    letters = [*string.ascii_lowercase, *string.digits, *string.punctuation, "é", "à", "火", "星"]
    pieces = ["[PAD]", "[UNK]", first, last, *dict.fromkeys([*_WORDS.split(), *letters])]
    pieces += [f"##{letter}" for letter in letters]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(strip_accents=False)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    template = f"{first} $A {last} {last} $B {last}" if roberta else f"{first} $A {last} $B:1 {last}:1"
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=template, special_tokens=[(first, 2), (last, 3)]
    )
    inputs = ["input_ids", "attention_mask"] if roberta else ["input_ids", "token_type_ids", "attention_mask"]
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token=first,
        sep_token=last,
        model_max_length=max_length,
        model_input_names=inputs,
    ).save_pretrained(path)


def small_model(path: Path, kind: str, *, labels: int = 1, max_length: int = 512, **settings: Any) -> Path:
    """Write a classifier of ``kind``, 3 layers deep, with random weights large enough for scores to differ."""
    torch.manual_seed(7)
    model_type = "deberta-v2" if kind.startswith("deberta") else kind
    config = transformers.AutoConfig.for_model(
        model_type,
        **{
            "vocab_size": 400,
            "hidden_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "intermediate_size": 128,
            "num_labels": labels,
            "initializer_range": 0.2,
            "hidden_act": "gelu",
            **SHAPES[kind],
            **settings,
        },
    )
    transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(path)
    small_tokenizer(path, roberta="roberta" in kind, max_length=max_length)
    return path


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a small model of an architecture, made once a session."""
    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = small_model(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def odd_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT with an activation that the packed engine does not execute."""
    return small_model(tmp_path_factory.mktemp("odd"), "bert", hidden_act="silu")


@pytest.fixture(scope="session")
def labels_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of three classes."""
    return small_model(tmp_path_factory.mktemp("labels"), "bert", labels=3)


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield
