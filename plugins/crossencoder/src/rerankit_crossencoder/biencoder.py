"""``biencoder``: an embedding model in this process; query and documents are read apart."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rerankit.arguments import validated
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, Pair, ScoreBatch, ScoreKind, ScoreRequest
from rerankit_crossencoder.arguments import BiEncoderArguments
from rerankit_crossencoder.batches import Budget, run_batches
from rerankit_crossencoder.compute import compute
from rerankit_crossencoder.engines.base import START_TOKENS, layer_numbers
from rerankit_crossencoder.loading import cached_revision, loading_errors, resolve_device
from rerankit_crossencoder.memory import budget_for
from rerankit_crossencoder.progress import progress_bar
from rerankit_crossencoder.sharing import Shared

__all__ = ["BiEncoderReranker"]

_BEST_BUDGET = 4096


@dataclass(slots=True)
class _Model:
    """A ``SentenceTransformer`` and what instances share beside it.

    Attributes:
        counter: a tokenizer of its own to count with, without truncation: one keeps truncation and padding as its
            state, and the encoder's may be encoding in the compute thread at the same time.
    """

    encoder: Any
    counter: Any
    budget: Budget
    counting: Lock = field(default_factory=Lock)


_models: Shared[_Model] = Shared()


class BiEncoderReranker(PairReranker):
    """Scores a document by the cosine of its embedding with the query's.

    Much faster than a cross-encoder and coarser; query and document prompts of the model are used. Scores are
    (1 + cosine) / 2, so that they lie in [0, 1] like other backends', and the cosine with ``normalize=False``. What
    exceeds the model's length is cut, and said in the coverage. Arguments are those of ``BiEncoderArguments``.

    Raises:
        InvalidArgumentError, ModelNotFoundError, AuthenticationError, UnavailableError, OutOfMemoryError.
    """

    capabilities = Capabilities(score_kind=ScoreKind.SIMILARITY)

    def __init__(self, model_name_or_path: str, **arguments: Any) -> None:
        values = {"model_name_or_path": model_name_or_path, **arguments}
        self._arguments = validated(BiEncoderArguments, values, service="biencoder")
        key = self._arguments.model_dump_json(exclude={"batch_size", "normalize", "progress"})
        self._model = _models.acquire(key, lambda: compute(_load, self._arguments))
        self._release = weakref.finalize(self, _models.release, key)

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """One similarity a pair; each query and each document is embedded once.

        Raises:
            OutOfMemoryError: one text alone does not fit into memory.
            ScoringCancelledError, DeadlineExceededError: between batches.
        """
        request.raise_if_stopped()
        started = time.perf_counter()
        queries = {query: row for row, query in enumerate(dict.fromkeys(query for query, _ in request.pairs))}
        documents = {text: row for row, text in enumerate(dict.fromkeys(text for _, text in request.pairs))}
        encoder = self._model.encoder
        query_rows, _ = self._embedded(list(queries), encoder.encode_query, request)
        document_rows, lengths = self._embedded(list(documents), encoder.encode_document, request)
        cosines = [float(query_rows[queries[query]] @ document_rows[documents[text]]) for query, text in request.pairs]
        clipped = np.clip(cosines, -1.0, 1.0)
        scores = (1 + clipped) / 2 if self._arguments.normalize else clipped
        most = int(encoder.max_seq_length)
        of_pairs = [lengths[documents[text]] for _, text in request.pairs]
        return ScoreBatch(
            scores=scores.tolist(),
            coverage=[min(1.0, most / length) for length in of_pairs],
            tokens=[min(most, length) for length in of_pairs],
            model=self._arguments.model_name_or_path,
            revision=cached_revision(self._arguments),
            timings={"compute": time.perf_counter() - started},
        )

    def token_counts(self, pairs: Sequence[Pair]) -> list[int]:
        most = int(self._model.encoder.max_seq_length)
        return [min(most, length) for length in self._lengths([document for _, document in pairs])]

    @property
    def fingerprint(self) -> str:
        arguments = self._arguments
        kind = "score" if arguments.normalize else "cosine"
        revision = cached_revision(arguments) or arguments.revision
        return f"{arguments.model_name_or_path}@{revision}|{self._model.encoder.max_seq_length}|{kind}"

    def diagnose(self) -> Mapping[str, str]:
        return {"model": self._arguments.model_name_or_path, "device": str(self._model.encoder.device)}

    def close(self) -> None:
        """Leave the model to others; without any, it stays until another model is loaded."""
        self._release()

    def _lengths(self, texts: list[str]) -> list[int]:
        with self._model.counting:
            encoded = self._model.counter(texts, truncation=False, padding=False, verbose=False)
        return [len(ids) for ids in encoded["input_ids"]]

    def _embedded(self, texts: list[str], encode: Any, request: ScoreRequest) -> tuple[NDArray[np.float32], list[int]]:
        """(unit vectors of ``texts``, their tokens before any cut)."""
        lengths = self._lengths(texts)
        most = int(self._model.encoder.max_seq_length)
        rows: dict[int, NDArray[np.float32]] = {}

        def run(batch: list[int]) -> NDArray[np.float32]:
            vectors = compute(
                encode, [texts[index] for index in batch], normalize_embeddings=True, show_progress_bar=False
            )
            rows.update(zip(batch, np.asarray(vectors, np.float32), strict=True))
            return np.zeros(len(batch), np.float32)

        with progress_bar(len(texts), self._arguments.progress) as advance:

            def between(done: int) -> None:
                advance(done)
                request.raise_if_stopped()

            counted = [min(most, length) for length in lengths]
            run_batches(
                counted,
                run,
                self._model.budget,
                self._arguments.batch_size,
                start_tokens=START_TOKENS,
                between=between,
            )
        return np.stack([rows[index] for index in range(len(texts))]), lengths


def _load(arguments: BiEncoderArguments) -> _Model:
    with loading_errors(arguments):
        from sentence_transformers import SentenceTransformer

        device = resolve_device(arguments.device)
        encoder: Any = SentenceTransformer(
            arguments.model_name_or_path,
            device=device,
            revision=arguments.revision,
            trust_remote_code=arguments.trust_remote_code,
            cache_folder=arguments.cache_folder,
            local_files_only=arguments.local_files_only,
        ).eval()
        if arguments.max_length is not None:
            encoder.max_seq_length = min(arguments.max_length, encoder.max_seq_length or arguments.max_length)
        config: Any = encoder[0].auto_model.config
        numbers = layer_numbers(config.hidden_size, 4 * config.hidden_size, config.num_attention_heads)
        return _Model(
            encoder,
            deepcopy(encoder.tokenizer),
            Budget(budget_for(device, 4 * numbers, _BEST_BUDGET, arguments.token_budget)),
        )
