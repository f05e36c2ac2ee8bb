"""The hub's models that pages name, as folders of the same name: tiny ones with random weights."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any

import pytest

NAMED = ("mixedbread-ai/mxbai-rerank-large-v1", "cross-encoder/ms-marco-MiniLM-L6-v2")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the names that pages use are models; the hub is not asked."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    folder = tmp_path_factory.mktemp("hub")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *string.ascii_lowercase]
    pieces += [f"##{letter}" for letter in string.ascii_lowercase]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    torch.manual_seed(7)
    shape: Any = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.AutoConfig.for_model("bert", vocab_size=len(pieces), num_labels=1, **shape)
    classifier: Any = transformers.AutoModelForSequenceClassification
    model = classifier.from_config(config)
    special: Any = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    make: Any = transformers.PreTrainedTokenizerFast
    fast = make(tokenizer_object=tokenizer, model_max_length=512, **special)
    for name in NAMED:
        model.save_pretrained(folder / name)
        fast.save_pretrained(folder / name)
    return folder
