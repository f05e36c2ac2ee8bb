"""The weights of an encoder, read out of transformers' modules: one reader a family of architectures.

A reader refuses (``UnsupportedModelError``) every setting it does not execute exactly; the model then runs on the
reference engine. Matrices are given as the module's own tensors, nothing is copied.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from rerankit_crossencoder.choice import PACKED_TYPES, UnsupportedModelError

__all__ = ["Affine", "EncoderWeights", "Layer", "Relative", "read_weights"]

Affine: TypeAlias = tuple[Tensor, Tensor]
"""(weight, bias) of a linear layer or of a layer norm."""

_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh", "relu": "relu"}


@dataclass(slots=True)
class Relative:
    """DeBERTa's relative positions of one layer, projected: (positions, width) each, or ``None``."""

    keys: Tensor | None
    queries: Tensor | None


@dataclass(slots=True)
class Layer:
    query: Affine
    key: Affine
    value: Affine
    output: Affine
    attention_norm: Affine
    up: Affine
    down: Affine
    output_norm: Affine
    relative: Relative | None = None


@dataclass(slots=True)
class EncoderWeights:
    """All that an encoder with a classification head computes with.

    Attributes:
        words: (vocabulary, embedding width); ``positions`` and ``types`` likewise, where the model has them.
        first_position: the position of a sequence's first token.
        projection: (width, embedding width), where the two differ.
        attention_terms: what divides a score beside the root of the head width: 1, or up to 3 for DeBERTa.
        head: linear layers on the first token's state, each with its activation's name.
    """

    words: Tensor
    positions: Tensor | None
    types: Tensor | None
    first_position: int
    embedding_norm: Affine
    projection: Tensor | None
    layers: list[Layer]
    heads: int
    epsilon: float
    activation: str
    head: list[tuple[Affine, str]]
    attention_terms: int = 1
    buckets: int = -1
    max_relative_positions: int = -1


def read_weights(model: Any) -> EncoderWeights:
    """The weights of a ``CrossEncoder`` of one encoder with a classification head.

    Raises:
        UnsupportedModelError: the architecture, or a setting of it, is not one that the packed engine executes.
    """
    classifier = model.model
    name = type(classifier).__name__
    _require(len(model) == 1 and name in _READERS and classifier.config.model_type in PACKED_TYPES, name)
    return _READERS[name](classifier)


def _bert(model: Any) -> EncoderWeights:
    head = [(_affine(model.bert.pooler.dense), "tanh"), (_affine(model.classifier), "none")]
    return _absolute(model.config, model.bert, head, first_position=0)


def _electra(model: Any) -> EncoderWeights:
    head = [(_affine(model.classifier.dense), "gelu"), (_affine(model.classifier.out_proj), "none")]
    weights = _absolute(model.config, model.electra, head, first_position=0)
    projection = getattr(model.electra, "embeddings_project", None)
    if projection is not None:
        raise UnsupportedModelError("ELECTRA with factorised embeddings")
    return weights


def _roberta(model: Any) -> EncoderWeights:
    head = [(_affine(model.classifier.dense), "tanh"), (_affine(model.classifier.out_proj), "none")]
    return _absolute(model.config, model.roberta, head, first_position=model.config.pad_token_id + 1)


def _absolute(config: Any, encoder: Any, head: list[tuple[Affine, str]], *, first_position: int) -> EncoderWeights:
    _require(getattr(config, "position_embedding_type", None) in (None, "absolute"), "relative position embeddings")
    _require(not getattr(config, "is_decoder", False), "a decoder")
    layers = [
        Layer(
            query=_affine(layer.attention.self.query),
            key=_affine(layer.attention.self.key),
            value=_affine(layer.attention.self.value),
            output=_affine(layer.attention.output.dense),
            attention_norm=_affine(layer.attention.output.LayerNorm),
            up=_affine(layer.intermediate.dense),
            down=_affine(layer.output.dense),
            output_norm=_affine(layer.output.LayerNorm),
        )
        for layer in encoder.encoder.layer
    ]
    embeddings = encoder.embeddings
    return EncoderWeights(
        words=embeddings.word_embeddings.weight,
        positions=embeddings.position_embeddings.weight,
        types=embeddings.token_type_embeddings.weight,
        first_position=first_position,
        embedding_norm=_affine(embeddings.LayerNorm),
        projection=None,
        layers=layers,
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
        activation=_activation(config.hidden_act),
        head=head,
    )


def _deberta(model: Any) -> EncoderWeights:
    config, encoder, embeddings = model.config, model.deberta.encoder, model.deberta.embeddings
    _require(encoder.conv is None, "DeBERTa with a convolution")
    relative = encoder.get_rel_embedding()
    layers = [
        Layer(
            query=_affine(layer.attention.self.query_proj),
            key=_affine(layer.attention.self.key_proj),
            value=_affine(layer.attention.self.value_proj),
            output=_affine(layer.attention.output.dense),
            attention_norm=_affine(layer.attention.output.LayerNorm),
            up=_affine(layer.intermediate.dense),
            down=_affine(layer.output.dense),
            output_norm=_affine(layer.output.LayerNorm),
            relative=None if relative is None else _relative(layer.attention.self, relative),
        )
        for layer in encoder.layer
    ]
    attention = encoder.layer[0].attention.self
    return EncoderWeights(
        words=embeddings.word_embeddings.weight,
        positions=None if embeddings.position_embeddings is None else embeddings.position_embeddings.weight,
        types=None if embeddings.token_type_embeddings is None else embeddings.token_type_embeddings.weight,
        first_position=0,
        embedding_norm=_affine(embeddings.LayerNorm),
        projection=None if embeddings.embed_proj is None else embeddings.embed_proj.weight,
        layers=layers,
        heads=config.num_attention_heads,
        epsilon=config.layer_norm_eps,
        activation=_activation(config.hidden_act),
        head=[
            (_affine(model.pooler.dense), _activation(config.pooler_hidden_act)),
            (_affine(model.classifier), "none"),
        ],
        attention_terms=1 + sum(kind in attention.pos_att_type for kind in ("c2p", "p2c")),
        buckets=getattr(attention, "position_buckets", -1),
        max_relative_positions=getattr(attention, "max_relative_positions", -1),
    )


def _relative(attention: Any, embeddings: Tensor) -> Relative:
    embeddings = embeddings[: 2 * attention.pos_ebd_size]
    keys = attention.key_proj if attention.share_att_key else getattr(attention, "pos_key_proj", None)
    queries = attention.query_proj if attention.share_att_key else getattr(attention, "pos_query_proj", None)
    with torch.inference_mode():
        return Relative(
            keys=keys(embeddings) if "c2p" in attention.pos_att_type and keys is not None else None,
            queries=queries(embeddings) if "p2c" in attention.pos_att_type and queries is not None else None,
        )


def _affine(module: Any) -> Affine:
    return module.weight, module.bias


def _activation(name: Any) -> str:
    _require(name in _ACTIVATIONS, f"the activation {name!r}")
    return _ACTIVATIONS[name]


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise UnsupportedModelError(f"no packed execution of {what}")


_READERS: dict[str, Callable[[Any], EncoderWeights]] = {
    "BertForSequenceClassification": _bert,
    "DebertaV2ForSequenceClassification": _deberta,
    "ElectraForSequenceClassification": _electra,
    "RobertaForSequenceClassification": _roberta,
    "XLMRobertaForSequenceClassification": _roberta,
}
