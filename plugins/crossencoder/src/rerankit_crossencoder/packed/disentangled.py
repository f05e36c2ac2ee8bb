"""DeBERTa's disentangled attention (He et al., 2021, arXiv:2006.03654) over packed sequences.

A token at i attends to one at j by ``q_i . k_j + q_i . pk(i - j) + k_j . pq(i - j)``, where ``pk`` and ``pq`` are
projections of relative positions. transformers projects the positions anew in every layer of every batch, repeats
them for every sequence, and gathers two (sequence, heads, length, length) tensors by index. Here they are projected
once a model, since they depend on its weights alone; and since ``i - j`` is constant along diagonals, the
products with positions laid out by distance *are* the bias, read with a stride one shorter than a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from rerankit_crossencoder.packed.attention import Group, join_heads, join_one, probabilities, split_heads, split_one

__all__ = ["DisentangledAttention", "distance_buckets"]


class DisentangledAttention:
    """One layer's attention.

    Args:
        heads: their number.
        position_keys: (heads, 2 * span, head width), or ``None`` where the model has no content-to-position term.
        position_queries: the same, scaled like queries, or ``None`` where it has no position-to-content term.
        buckets: the model's ``position_buckets``; ``span`` is this, or ``max_positions`` where it is below 1.
        max_positions: the model's ``max_relative_positions``.
    """

    def __init__(
        self,
        heads: int,
        position_keys: Tensor | None,
        position_queries: Tensor | None,
        buckets: int,
        max_positions: int,
    ) -> None:
        self._heads = heads
        self._keys, self._queries = position_keys, position_queries
        self._buckets, self._max_positions = buckets, max_positions

    def all(self, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group]) -> Tensor:
        context = query.new_zeros(query.shape)
        for group in groups:
            q, k, v = (split_heads(x, group, self._heads) for x in (query, key, value))
            order = distance_buckets(q.shape[1], self._buckets, self._max_positions)
            scores = self._bias(q, k, order)
            scores = torch.bmm(q, k.transpose(1, 2)) if scores is None else scores.baddbmm_(q, k.transpose(1, 2))
            join_heads(context, torch.bmm(probabilities(scores, group), v), group, self._heads)
        return context

    def first(self, query: Tensor, key: Tensor, value: Tensor, groups: Sequence[Group]) -> Tensor:
        contexts = []
        for group in groups:
            q = split_one(query, group, self._heads)
            k, v = (split_heads(x, group, self._heads) for x in (key, value))
            order = distance_buckets(k.shape[1], self._buckets, self._max_positions)[k.shape[1] - 1 :]
            scores = torch.bmm(q, k.transpose(1, 2))
            if self._keys is not None:
                scores += self._products(q, self._keys, order)
            if self._queries is not None:
                rows = self._queries.index_select(1, order).unsqueeze(1)
                scores += (k.view(self._heads, group.count, *k.shape[1:]) * rows).sum(-1).view(scores.shape)
            contexts.append(join_one(torch.bmm(probabilities(scores, group), v), group, self._heads))
        return torch.cat(contexts)

    def _bias(self, q: Tensor, k: Tensor, order: Tensor) -> Tensor | None:
        """(heads * count, length, length), contiguous; ``None`` without positions."""
        terms = []
        if self._keys is not None:
            terms.append(_diagonals(self._products(q, self._keys, order)))
        if self._queries is not None:
            # Seen from j, distances run the other way, and the term comes out transposed.
            terms.append(_diagonals(self._products(k, self._queries, order.flip(0))).transpose(1, 2))
        if len(terms) == 2:
            return torch.add(terms[0], terms[1])
        return terms[0].contiguous() if terms else None

    def _products(self, x: Tensor, table: Tensor, order: Tensor) -> Tensor:
        """Each row of ``x`` (heads * count, length, head width) with the positions in ``order``."""
        positions = table.index_select(1, order).transpose(1, 2)
        return torch.bmm(x.view(self._heads, -1, x.shape[-1]), positions).view(*x.shape[:2], -1)


def _diagonals(products: Tensor) -> Tensor:
    """A (n, length, 2 * length - 1) tensor by [i, distance j - i] as (n, length, length) by [i, j], a view."""
    n, length, width = products.shape
    return products.as_strided((n, length, length), (length * width, width - 1, 1), length - 1)


@lru_cache(maxsize=1024)
def distance_buckets(length: int, buckets: int, max_positions: int) -> Tensor:
    """(2 * length - 1,): row of the position tables for j - i = -(length - 1) ... length - 1.

    Near distances have rows of their own, far ones share rows that grow logarithmically; rounded in the same
    float32 arithmetic as transformers' ``make_log_bucket_position``, so that no distance changes its row.
    """
    distance = torch.arange(length - 1, -length, -1)  # i - j
    span = buckets if buckets > 0 else max_positions
    if buckets > 0 and max_positions > 0:
        middle = buckets // 2
        near = distance.abs().clamp(min=middle - 1)
        growth = torch.log(torch.tensor((max_positions - 1) / middle))
        far = torch.ceil(torch.log(near / middle) / growth * (middle - 1)) + middle
        distance = torch.where(distance.abs() <= middle, distance, (far * distance.sign()).long())
    return (distance + span).clamp(0, 2 * span - 1)
