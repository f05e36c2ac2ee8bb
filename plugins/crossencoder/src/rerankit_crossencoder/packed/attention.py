"""Attention over packed sequences: each token sees the tokens of its own sequence, and nothing is padded.

Packed tokens lie in one (tokens, width) matrix, sequence after sequence, longest first. Sequences of one length
form a ``Group`` and are computed together, in matrices whose length is rounded up (see ``shapes``). Batched
products with a softmax between them were 1.4 to 3 times as fast as ``scaled_dot_product_attention`` on a CPU with
AVX512 at the lengths of passages. With AVX2 alone the fused attention wins at long ones (``FUSED_LENGTH``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from rerankit_crossencoder.shapes import rounded

__all__ = [
    "FUSED_LENGTH",
    "Attention",
    "Group",
    "PlainAttention",
    "join_heads",
    "join_one",
    "probabilities",
    "split_heads",
    "split_one",
]


FUSED_LENGTH = 208 if torch.backends.cpu.get_cpu_capability() == "AVX2" else None
"""Tokens from which torch's fused attention is the faster one in float32 (two cores of an AMD EPYC, 12 heads of 32:
1.0 times at 208 tokens, 1.3 at 400, 1.4 to 3.6 at 512); ``None``: never."""


@dataclass(frozen=True, slots=True)
class Group:
    """``count`` sequences of ``length`` tokens each, the first at row ``start``; they are sequence ``index`` and on."""

    start: int
    index: int
    count: int
    length: int


class Attention(Protocol):
    """``query`` is scaled already; all are (tokens, width) but ``first``'s query, (sequences, width)."""

    def all(self, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group]) -> Tensor:
        """(tokens, width): every token's context."""

    def first(self, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group]) -> Tensor:
        """(sequences, width): the context of each sequence's first token."""


class PlainAttention:
    """Scaled dot products, without any bias: BERT, RoBERTa."""

    def __init__(self, heads: int) -> None:
        self._heads = heads

    def all(self, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group]) -> Tensor:
        context = query.new_zeros(query.shape)
        for group in groups:
            if FUSED_LENGTH is not None and group.length >= FUSED_LENGTH and query.dtype == torch.float32:
                self._fused(query, key, value, group, context)
                continue
            q, k, v = (split_heads(x, group, self._heads) for x in (query, key, value))
            scores = torch.bmm(q, k.transpose(1, 2))
            join_heads(context, torch.bmm(probabilities(scores, group), v), group, self._heads)
        return context

    def _fused(self, query: Tensor, key: Tensor, value: Tensor, group: Group, context: Tensor) -> None:
        """Write the group's rows of ``context``."""
        rows = slice(group.start, group.start + group.count * group.length)
        q, k, v = (
            x[rows].reshape(group.count, group.length, self._heads, -1).transpose(1, 2) for x in (query, key, value)
        )
        result = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        context[rows] = result.transpose(1, 2).reshape(group.count * group.length, -1)

    def first(self, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group]) -> Tensor:
        contexts = []
        for group in groups:
            q = split_one(query, group, self._heads)
            k, v = (split_heads(x, group, self._heads) for x in (key, value))
            scores = torch.bmm(q, k.transpose(1, 2))
            contexts.append(join_one(torch.bmm(probabilities(scores, group), v), group, self._heads))
        return torch.cat(contexts)


def probabilities(scores: Tensor, group: Group) -> Tensor:
    """The softmax over the group's real tokens, in float32: more exact, and in bfloat16 it takes twice the time."""
    scores[..., group.length :] = -torch.inf
    return torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype)


def split_heads(packed: Tensor, group: Group, heads: int) -> Tensor:
    """The group's rows of a (tokens, width) matrix as (heads * count, rounded length, head width), zeros at the end."""
    rows = packed[group.start : group.start + group.count * group.length]
    rows = rows.reshape(group.count, group.length, heads, -1).permute(2, 0, 1, 3)
    result = packed.new_zeros(heads, group.count, rounded(group.length), rows.shape[-1])
    result[:, :, : group.length] = rows
    return result.view(heads * group.count, -1, rows.shape[-1])


def join_heads(packed: Tensor, result: Tensor, group: Group, heads: int) -> None:
    """The other way: write (heads * count, rounded length, head width) to the group's rows."""
    rows = packed[group.start : group.start + group.count * group.length]
    target = rows.view(group.count, group.length, heads, -1)
    result = result.view(heads, group.count, -1, result.shape[-1])[:, :, : group.length]
    target.copy_(result.permute(1, 2, 0, 3))


def split_one(firsts: Tensor, group: Group, heads: int) -> Tensor:
    """The group's rows of a (sequences, width) matrix as (heads * count, 1, head width)."""
    rows = firsts[group.index : group.index + group.count].reshape(group.count, heads, -1)
    return rows.transpose(0, 1).reshape(heads * group.count, 1, -1)


def join_one(result: Tensor, group: Group, heads: int) -> Tensor:
    """(heads * count, 1, head width) as (count, width)."""
    return result.view(heads, group.count, -1).transpose(0, 1).reshape(group.count, -1)
