"""The execution of an encoder with a classification head on packed tokens.

Nothing is padded, matrices are prepacked, and the last layer computes the first token's row alone in its query,
output and feed-forward parts, since the head reads nothing else: exact, and a seventh of a 6-layer model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, chain, groupby

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rerankit_crossencoder.packed.attention import Attention, Group, PlainAttention
from rerankit_crossencoder.packed.disentangled import DisentangledAttention
from rerankit_crossencoder.packed.linear import PRECISIONS, Linear, make_linear
from rerankit_crossencoder.packed.weights import Affine, EncoderWeights, Layer
from rerankit_crossencoder.shapes import rounded

__all__ = ["PackedEncoder"]


class PackedEncoder:
    """An encoder's own copy of its weights, and its forward pass.

    Args:
        weights: read from the module; its layers are dropped one by one as they are laid out anew.
        precision: ``float32``, ``bfloat16`` or ``int8``.
    """

    def __init__(self, weights: EncoderWeights, precision: str) -> None:
        dtype = PRECISIONS[precision]
        self._epsilon, self._first_position = weights.epsilon, weights.first_position
        self._words = weights.words.detach().to(dtype)
        self._positions = None if weights.positions is None else weights.positions.detach().to(dtype)
        self._types = None if weights.types is None else weights.types.detach().to(dtype)
        self._norm = _norm(weights.embedding_norm, dtype)
        self._projection = None if weights.projection is None else weights.projection.detach().to(dtype)
        self._layers: list[_PackedLayer] = []
        while weights.layers:
            layer = weights.layers.pop(0)
            self._layers.append(_PackedLayer(layer, weights, precision, last=not weights.layers))
        # The head is read in float32: it is tiny, and near-1 scores must not collapse into ties.
        self._head = [((w.detach().float(), b.detach().float()), activation) for (w, b), activation in weights.head]

    @torch.inference_mode()
    def logits(self, token_ids: Sequence[Sequence[int]], type_ids: Sequence[Sequence[int]]) -> Tensor:
        """(sequences, labels) in float32, for sequences ordered longest first."""
        lengths = [len(ids) for ids in token_ids]
        starts = [0, *accumulate(lengths)][:-1]
        groups = _groups(lengths, starts)
        x = self._embedded(list(chain.from_iterable(token_ids)), list(chain.from_iterable(type_ids)), lengths)
        x = _rows_rounded(x)
        for layer in self._layers[:-1]:
            x = layer.all(x, groups)
        x = self._layers[-1].first(x, torch.tensor(starts), groups)[: len(starts)].float()
        for (weight, bias), activation in self._head:
            x = _HEAD_ACTIVATIONS[activation](F.linear(x, weight, bias))
        return x

    def _embedded(self, tokens: list[int], types: list[int], lengths: list[int]) -> Tensor:
        x = F.embedding(torch.tensor(tokens), self._words)
        if self._positions is not None:
            first = self._first_position
            rows = torch.cat([torch.arange(first, first + length) for length in lengths])
            x = x + F.embedding(rows, self._positions)
        if self._types is not None:
            x = x + F.embedding(torch.tensor(types), self._types)
        if self._projection is not None:
            x = F.linear(x, self._projection)
        return F.layer_norm(x, x.shape[-1:], *self._norm, self._epsilon)


class _PackedLayer:
    """One layer; ``last`` keeps the query apart from key and value, which are then all that every token needs."""

    def __init__(self, layer: Layer, weights: EncoderWeights, precision: str, *, last: bool) -> None:
        dtype, heads = PRECISIONS[precision], weights.heads
        self._epsilon = weights.epsilon
        self._width = layer.query[0].shape[0]
        scale = 1 / math.sqrt(self._width // heads * weights.attention_terms)
        query = (layer.query[0].detach().float() * scale, layer.query[1].detach().float() * scale)
        self._query: Linear | None = make_linear(*query, precision) if last else None
        parts = [layer.key, layer.value] if last else [query, layer.key, layer.value]
        self._project = make_linear(
            torch.cat([weight.float() for weight, _ in parts]),
            torch.cat([bias.float() for _, bias in parts]),
            precision,
        )
        self._attention = _attention(layer, weights, scale, dtype)
        self._output = make_linear(*layer.output, precision)
        self._attention_norm = _norm(layer.attention_norm, dtype)
        self._up = make_linear(*layer.up, precision, weights.activation)
        self._down = make_linear(*layer.down, precision, after_gelu=weights.activation.startswith("gelu"))
        self._output_norm = _norm(layer.output_norm, dtype)

    def all(self, x: Tensor, groups: Sequence[Group]) -> Tensor:
        """(tokens, width) to (tokens, width)."""
        query, key, value = torch.split(self._project(x), self._width, dim=-1)
        return self._rest(self._attention.all(query, key, value, groups), x)

    def first(self, x: Tensor, starts: Tensor, groups: Sequence[Group]) -> Tensor:
        """(tokens, width) to (sequences, width), rounded: the state of each sequence's first token."""
        assert self._query is not None
        key, value = torch.split(self._project(x), self._width, dim=-1)
        x = _rows_rounded(x[starts])
        return self._rest(_rows_rounded(self._attention.first(self._query(x), key, value, groups)), x)

    def _rest(self, context: Tensor, x: Tensor) -> Tensor:
        width = x.shape[-1:]
        x = F.layer_norm(self._output(context, x), width, *self._attention_norm, self._epsilon)
        return F.layer_norm(self._down(self._up(x), x), width, *self._output_norm, self._epsilon)


def _attention(layer: Layer, weights: EncoderWeights, scale: float, dtype: torch.dtype) -> Attention:
    if layer.relative is None:
        return PlainAttention(weights.heads)

    def by_head(table: Tensor) -> Tensor:
        return table.view(len(table), weights.heads, -1).transpose(0, 1).to(dtype).contiguous()

    keys, queries = layer.relative.keys, layer.relative.queries
    return DisentangledAttention(
        weights.heads,
        None if keys is None else by_head(keys),
        None if queries is None else by_head(queries.float() * scale),
        weights.buckets,
        weights.max_relative_positions,
    )


def _groups(lengths: list[int], starts: list[int]) -> list[Group]:
    groups, index = [], 0
    for length, run in groupby(lengths):
        left = len(list(run))
        while left:
            count = 1 << (left.bit_length() - 1)  # a bounded number of shapes again
            groups.append(Group(starts[index], index, count, length))
            index, left = index + count, left - count
    return groups


def _rows_rounded(x: Tensor) -> Tensor:
    """``x`` with rows of zeros up to a rounded number of rows; each row is computed by itself."""
    return F.pad(x, (0, 0, 0, rounded(len(x)) - len(x)))


def _norm(affine: Affine, dtype: torch.dtype) -> Affine:
    return affine[0].detach().to(dtype), affine[1].detach().to(dtype)


_HEAD_ACTIVATIONS = {"none": lambda x: x, "tanh": torch.tanh, "gelu": F.gelu, "relu": F.relu}
