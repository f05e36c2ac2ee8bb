"""The packed engine gives what transformers gives."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers.models.deberta_v2.modeling_deberta_v2 import make_log_bucket_position

from rerankit_crossencoder.choice import PACKED_TYPES, UnsupportedModelError, cpu_has_bfloat16, cpu_has_int8
from rerankit_crossencoder.packed.disentangled import distance_buckets
from rerankit_crossencoder.packed.encoder import PackedEncoder
from rerankit_crossencoder.packed.weights import _READERS, read_weights

transformers: Any = import_module("transformers")  # whose own types know few of its settings

KINDS = ["bert", "xlm-roberta", "roberta", "electra", "deberta-v3", "deberta-v2"]
BFLOAT16 = pytest.param(
    "bfloat16",
    marks=pytest.mark.skipif(not cpu_has_bfloat16(), reason="this processor does not compute in bfloat16"),
)
INT8 = pytest.param(
    "int8", marks=pytest.mark.skipif(not cpu_has_int8(), reason="this processor has neither VNNI nor AMX")
)
LENGTHS = [500, 257, 130, 129, 128, 50, 50, 50, 7, 3]


class OneModule:
    """What ``read_weights`` reads of a ``CrossEncoder``."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __len__(self) -> int:
        return 1


def classifier(path: Path) -> Any:
    return transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()


def random_sequences(lengths: list[int]) -> tuple[list[list[int]], list[list[int]]]:
    generator = torch.Generator().manual_seed(1)
    ids = [torch.randint(4, 100, (length,), generator=generator).tolist() for length in lengths]
    return ids, [[0] * (length // 2) + [int(length > 50)] * (length - length // 2) for length in lengths]


@torch.inference_mode()
def one_by_one(model: Any, ids: list[list[int]], types: list[list[int]]) -> torch.Tensor:
    """Each sequence alone, so without any padding."""
    typed = getattr(model.config, "type_vocab_size", 0) > 1
    return torch.cat(
        [
            model(
                input_ids=torch.tensor([row]),
                **({"token_type_ids": torch.tensor([kinds])} if typed else {}),
            ).logits
            for row, kinds in zip(ids, types, strict=True)
        ]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_the_reference(kind: str, model_folder: Callable[[str], Path]) -> None:
    """Within 1e-4 for every architecture, at lengths around the position buckets' edges."""
    model = classifier(model_folder(kind))
    ids, types = random_sequences(LENGTHS)
    if getattr(model.config, "type_vocab_size", 0) < 2:
        types = [[0] * len(row) for row in types]
    expected = one_by_one(model, ids, types)
    assert expected.std() > 0.1, "scores that do not differ compare nothing"
    packed = PackedEncoder(read_weights(OneModule(model)), "float32").logits(ids, types)
    assert (packed - expected).abs().max() < 1e-4


@pytest.mark.parametrize("kind", ["bert", "xlm-roberta"])
@pytest.mark.parametrize("fused_length", [1, 129, None])
def test_fused_attention_is_the_same(
    kind: str, fused_length: int | None, model_folder: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever attention a processor and a length get, float32 scores are the reference's within 1e-4."""
    monkeypatch.setattr("rerankit_crossencoder.packed.attention.FUSED_LENGTH", fused_length)
    model = classifier(model_folder(kind))
    ids, types = random_sequences(LENGTHS)
    if kind == "xlm-roberta":
        types = [[0] * len(row) for row in types]
    packed = PackedEncoder(read_weights(OneModule(model)), "float32").logits(ids, types)
    assert (packed - one_by_one(model, ids, types)).abs().max() < 1e-4


@pytest.mark.parametrize("precision", [BFLOAT16, INT8])
@pytest.mark.parametrize("kind", ["bert", "xlm-roberta", "deberta-v3"])
def test_lower_precisions_keep_close(kind: str, precision: str, model_folder: Callable[[str], Path]) -> None:
    """bfloat16 and int8 move a logit by a few hundredths of the logits' spread."""
    model = classifier(model_folder(kind))
    ids, types = random_sequences(LENGTHS)
    types = [[0] * len(row) for row in types]
    expected = one_by_one(model, ids, types)
    packed = PackedEncoder(read_weights(OneModule(model)), precision).logits(ids, types)
    assert (packed - expected).abs().max() < {"bfloat16": 0.1, "int8": 0.3}[precision] * expected.std()


@pytest.mark.parametrize("precision", ["float32", BFLOAT16, INT8])
def test_a_score_depends_on_its_pair_alone(precision: str, model_folder: Callable[[str], Path]) -> None:
    """The largest change over batch companions is rounding; in int8 too, since every token has its own scale."""
    encoder = PackedEncoder(read_weights(OneModule(classifier(model_folder("deberta-v3")))), precision)
    ids, types = random_sequences(LENGTHS)
    together = encoder.logits(ids, types)[:, 0]
    alone = torch.cat([encoder.logits([row], [kinds])[:, 0] for row, kinds in zip(ids, types, strict=True)])
    assert (together - alone).abs().max() <= {"float32": 1e-5, "bfloat16": 0.02, "int8": 0.05}[precision]


def test_minilm_at_its_true_depth() -> None:
    """The shape of ms-marco-MiniLM-L6-v2 (6 layers of 384), random weights: within 1e-4."""
    torch.manual_seed(3)
    config = transformers.BertConfig(
        hidden_size=384,
        num_hidden_layers=6,
        num_attention_heads=12,
        intermediate_size=1536,
        num_labels=1,
        initializer_range=0.1,
        vocab_size=200,
    )
    model = transformers.BertForSequenceClassification(config).eval()
    ids, types = random_sequences([300, 142, 142, 20])
    packed = PackedEncoder(read_weights(OneModule(model)), "float32").logits(ids, types)
    assert (packed - one_by_one(model, ids, types)).abs().max() < 1e-4


def test_a_layer_of_mxbai_large() -> None:
    """The shape of mxbai-rerank-large-v1, 2 of its 24 layers, random weights: within 1e-4."""
    torch.manual_seed(3)
    config = transformers.DebertaV2Config(
        hidden_size=1024,
        num_hidden_layers=2,
        num_attention_heads=16,
        intermediate_size=4096,
        relative_attention=True,
        max_relative_positions=-1,
        position_buckets=256,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        pos_att_type=["p2c", "c2p"],
        position_biased_input=False,
        type_vocab_size=0,
        pooler_hidden_size=1024,
        layer_norm_eps=1e-7,
        num_labels=1,
        initializer_range=0.05,
        vocab_size=200,
    )
    model = transformers.DebertaV2ForSequenceClassification(config).eval()
    ids, types = random_sequences([300, 142, 20])
    packed = PackedEncoder(read_weights(OneModule(model)), "float32").logits(ids, types)
    assert (packed - one_by_one(model, ids, [[0] * len(row) for row in ids])).abs().max() < 1e-4


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lengths=st.lists(st.integers(1, 90), min_size=1, max_size=8))
def test_any_lengths(lengths: list[int], model_folder: Callable[[str], Path]) -> None:
    """Whatever lengths are packed together, one token included, each gets the score it has alone."""
    model = classifier(model_folder("deberta-v3"))
    ids, types = random_sequences(sorted(lengths, reverse=True))
    packed = PackedEncoder(read_weights(OneModule(model)), "float32").logits(ids, types)
    assert (packed - one_by_one(model, ids, types)).abs().max() < 1e-4


@pytest.mark.parametrize(("buckets", "positions"), [(256, 512), (32, 128), (-1, 512)])
def test_distances_have_transformers_rows(buckets: int, positions: int) -> None:
    """Every distance up to 600 tokens looks up the row that transformers looks up."""
    distance = torch.arange(599, -600, -1)
    expected = make_log_bucket_position(distance, buckets, positions).long() if buckets > 0 else distance
    span = buckets if buckets > 0 else positions
    assert torch.equal(distance_buckets(600, buckets, positions), (expected + span).clamp(0, 2 * span - 1))


def test_what_is_not_executed_exactly_is_refused(model_folder: Callable[[str], Path]) -> None:
    """An architecture or a setting that is not executed is named, never approximated."""
    config = transformers.BertConfig(
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=50,
        hidden_act="silu",
    )
    with pytest.raises(UnsupportedModelError, match="silu"):
        read_weights(OneModule(transformers.BertForSequenceClassification(config)))
    config = transformers.DistilBertConfig(dim=32, n_layers=1, n_heads=2, hidden_dim=32, vocab_size=50)
    with pytest.raises(UnsupportedModelError, match="DistilBert"):
        read_weights(OneModule(transformers.DistilBertForSequenceClassification(config)))


def test_types_known_without_torch_are_those_with_readers(model_folder: Callable[[str], Path]) -> None:
    """The light table of what the packed engine runs names what it has readers for."""
    assert {transformers.AutoConfig.from_pretrained(model_folder(kind)).model_type for kind in KINDS} == PACKED_TYPES
    assert len(_READERS) == len(PACKED_TYPES)
