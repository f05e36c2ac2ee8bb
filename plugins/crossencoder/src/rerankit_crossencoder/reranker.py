"""``crossencoder``: a cross-encoder in this process."""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rerankit.arguments import validated
from rerankit.errors import ProtocolError
from rerankit.reranker import PairReranker
from rerankit.scoring import Capabilities, Pair, ScoreBatch, ScoreKind, ScoreRequest
from rerankit_crossencoder.activation import sigmoid
from rerankit_crossencoder.arguments import CrossEncoderArguments
from rerankit_crossencoder.building import build_model
from rerankit_crossencoder.compute import compute
from rerankit_crossencoder.golden import GOLDEN, PAIRS, TOLERANCE, is_logits
from rerankit_crossencoder.model import Model, engine_logits
from rerankit_crossencoder.progress import progress_bar
from rerankit_crossencoder.prompts import check_prompt
from rerankit_crossencoder.sharing import Shared

__all__ = ["CrossEncoderReranker"]

_models: Shared[Model] = Shared()


class CrossEncoderReranker(PairReranker):
    """Scores pairs with a model that reads query and document together.

    Instances with the same model share it, whatever their other arguments. Arguments are those of
    ``CrossEncoderArguments``; the model is loaded here, or found loaded.

    Raises:
        InvalidArgumentError, ModelNotFoundError, AuthenticationError, UnavailableError, OutOfMemoryError,
        MissingExtraError.
    """

    def __init__(self, model_name_or_path: str, **arguments: Any) -> None:
        values = {"model_name_or_path": model_name_or_path, **arguments}
        self._arguments = validated(CrossEncoderArguments, values, service="crossencoder")
        key = self._arguments.model_dump_json(exclude=_OF_INSTANCES)
        self._model = _models.acquire(key, lambda: compute(build_model, self._arguments))
        self._release = weakref.finalize(self, _models.release, key)
        kind = ScoreKind.PROBABILITY if self._arguments.normalize else ScoreKind.LOGIT
        self.capabilities = Capabilities(score_kind=kind)

    def score_pairs(self, request: ScoreRequest) -> ScoreBatch:
        """One score a pair, with coverage and tokens of each, and seconds for tokenising and computing.

        Raises:
            InputError: a pair is too long, with ``on_overflow="error"``.
            OutOfMemoryError: one sequence alone does not fit into memory.
            ScoringCancelledError, DeadlineExceededError: between batches.
        """
        request.raise_if_stopped()
        arguments, model = self._arguments, self._model
        started = time.perf_counter()
        sequences = model.tokenizer.sequences(request.pairs, arguments.on_overflow)
        tokenized = time.perf_counter()
        with progress_bar(len(sequences.token_ids), arguments.progress) as advance:

            def between(done: int) -> None:
                advance(done)
                request.raise_if_stopped()

            logits = engine_logits(model.engine, sequences, model.budget, arguments.batch_size, compute, between)
        best = np.full(len(request.pairs), -np.inf, np.float32)
        np.maximum.at(best, sequences.owners, logits)
        scores = model.activation(best) if arguments.normalize else best
        computed = time.perf_counter()
        return ScoreBatch(
            scores=scores.tolist(),
            coverage=sequences.coverage,
            tokens=sequences.tokens,
            model=arguments.model_name_or_path,
            revision=model.revision,
            score_kind=self.capabilities.score_kind,
            timings={"tokenize": tokenized - started, "compute": computed - tokenized},
        )

    def token_counts(self, pairs: Sequence[Pair]) -> list[int]:
        return self._model.tokenizer.counts(pairs)

    @property
    def fingerprint(self) -> str:
        arguments, engine = self._arguments, self._model.engine
        return (
            f"{arguments.model_name_or_path}@{self._model.revision or arguments.revision}"
            f"|{engine.name}|{engine.precision}|{self._model.tokenizer.max_length}"
            f"|{arguments.on_overflow}|{'score' if arguments.normalize else 'logit'}"
        )

    def diagnose(self) -> Mapping[str, str]:
        """What was chosen and why; the model's published scores are compared, where there are any.

        Raises:
            InvalidArgumentError: the model's prompt template is missing.
            ProtocolError: its published scores are not what this installation computes.
        """
        check_prompt(self._arguments)
        model, published = self._model, GOLDEN.get(self._arguments.model_name_or_path)
        if published is None:
            return {**model.notes, "published scores": "none known for this model"}
        logits = engine_logits(model.engine, model.tokenizer.sequences(PAIRS, "truncate"), model.budget, 4, compute)
        expected = sigmoid(np.array(published, np.float32)) if is_logits(published) else np.array(published)
        difference = float(np.abs(model.activation(logits) - expected).max())
        if difference > TOLERANCE[model.engine.precision]:
            raise ProtocolError(
                f"{self._arguments.model_name_or_path} misses its published scores by {difference:.3f}",
                remedy="set engine to 'reference' and dtype to 'float32'; if that misses too, fetch the model anew",
                value=difference,
            )
        return {**model.notes, "published scores": f"met within {difference:.3f}"}

    def close(self) -> None:
        """Leave the model to others; without any, it stays until another model is loaded."""
        self._release()


_OF_INSTANCES = {"batch_size", "normalize", "on_overflow", "progress"}
"""Arguments that do not change which model is loaded."""
