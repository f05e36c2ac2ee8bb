"""The cross-encoder."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models import ModelMeta

from rerankit import AbstractReranker
from rerankit.compat import CrossEncoderFace

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import Array, BatchedInput, PromptType
    from torch.utils.data import DataLoader

__all__ = ["RerankitCrossEncoder"]


class RerankitCrossEncoder:
    """What MTEB's ``CrossEncoderProtocol`` asks for: ``mteb.evaluate(RerankitCrossEncoder(reranker), tasks)``.

    Pairs are scored one of MTEB's batches at a time, so the corpus is never held whole.

    Args:
        reranker: what scores.
        name: what results are filed under, as MTEB wants it: ``organization/model``.
        revision: of the model; ``None`` where unknown.
    """

    def __init__(self, reranker: AbstractReranker, name: str | None = None, revision: str | None = None) -> None:
        self._face = CrossEncoderFace(reranker)
        name = name or f"rerankit/{reranker.label}"
        self._meta = ModelMeta.create_empty({"name": name, "revision": revision, "modalities": ["text"]})

    @property
    def mteb_model_meta(self) -> ModelMeta:
        """Name and revision; MTEB asks for much more, which a reranker does not know of its model."""
        return self._meta

    def predict(
        self,
        inputs1: DataLoader[BatchedInput],
        inputs2: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        **kwargs: Any,
    ) -> Array:
        """The score of each (query, document) pair: float32 of shape (pairs,).

        Raises:
            RerankitError: a query is empty, or the backend failed.
        """
        scores: list[float] = []
        for queries, documents in zip(_texts(inputs1), _texts(inputs2), strict=True):
            scores += self._face.predict(list(zip(queries, documents, strict=True)))
        return np.asarray(scores, dtype=np.float32)


def _texts(batches: DataLoader[BatchedInput]) -> Iterator[list[str]]:
    for batch in batches:
        yield batch["text"]
