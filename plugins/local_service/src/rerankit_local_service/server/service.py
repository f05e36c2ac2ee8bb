"""The models behind the service: which one a call means, and its answer."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import replace

from rerankit.errors import DeadlineExceededError, InputError, ModelNotFoundError
from rerankit.policy.observe import ObservedReranker
from rerankit.scoring import ScoreBatch, ScoreRequest
from rerankit_local_service.server.dialects.call import Answer, Call, LimitError, on_asked_scale
from rerankit_local_service.server.metrics import Metrics
from rerankit_local_service.server.serving import ModelSpec, ServedModel, State
from rerankit_local_service.server.settings import ServerSettings

__all__ = ["RerankService"]

_IDLE_CHECKS = 4
"""How often, in the time after which a model is dropped, its idleness is looked at."""


class RerankService:
    """What all dialects call. Belongs to one event loop.

    Args:
        specs: the models to serve; the first is the default.
        settings: limits and times.
    """

    def __init__(self, specs: Sequence[ModelSpec], settings: ServerSettings) -> None:
        self.settings = settings
        self.instance = uuid.uuid4().hex
        self.models = [ServedModel(spec, settings) for spec in specs]
        self.metrics = Metrics(
            lambda: {m.spec.name: m.reranker.figures() for m in self.models if m.reranker is not None},
            lambda: {m.spec.name: str(m.state) for m in self.models},
        )
        self._idle_watch: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether every model can answer: loaded and tested, or dropped when idle and loadable again."""
        return all(m.state in (State.READY, State.UNLOADED) for m in self.models)

    def start(self) -> None:
        """Begin loading every model, and watching for idle ones."""
        for model in self.models:
            model.start_loading()
        if self.settings.unload_after is not None:
            self._idle_watch = asyncio.create_task(self._watch_idle(self.settings.unload_after))

    async def stop(self) -> None:
        """Release the models. The server in front has waited for accepted work."""
        if self._idle_watch is not None:
            self._idle_watch.cancel()
        await asyncio.gather(*(model.close() for model in self.models))

    def model_for(self, call: Call) -> ServedModel:
        """The model a call means.

        Raises:
            ModelNotFoundError: none that is served; says which are, and how to serve it.
        """
        if call.model is None:
            found = [m for m in self.models if call.reranker_type in (None, m.spec.service, m.spec.name)]
        else:
            found = [m for m in self.models if call.model in m.names]
            found = found or [m for m in self.models if "*" in m.names]
        if found:
            return found[0]
        served = ", ".join(model.label for model in self.models)
        wanted = call.model or call.reranker_type
        raise ModelNotFoundError(
            f"{wanted!r} is not served here; served: {served}",
            remedy=f"ask for one of these, or start the service with --alias {wanted}={self.models[0].spec.name}",
            value=wanted,
        )

    async def answer(self, call: Call, *, seconds: float, request_id: str) -> Answer:
        """Score a call.

        Args:
            call: what to score.
            seconds: how long its caller waits.
            request_id: of the answer.

        Raises:
            InputError: beyond a limit, or truncated where it may not be.
            RerankitError: as ``BatchingReranker.score_pairs``, and of a model that is not ready.
        """
        started = time.monotonic()
        self._check_limits(call)
        model = self.model_for(call)
        async with model.in_use(seconds) as reranker:
            # Around the batching, not inside: observers are told of calls, each in its caller's trace.
            observed = ObservedReranker(reranker)
            batch = await observed.ascore_pairs(ScoreRequest(call.pairs, started + seconds))
            tokens = sum(reranker.token_counts(call.pairs) if batch.tokens is None else batch.tokens)
        kind = batch.score_kind or model.capabilities.score_kind
        batch = replace(batch, score_kind=kind, model=batch.model or model.label)
        answer = Answer(
            call,
            batch,
            scores=[] if call.as_given else on_asked_scale(_complete(batch, model.spec.name), kind, raw=call.raw),
            tokens=tokens,
            model=batch.model or model.label,
            device=model.device,
            seconds=time.monotonic() - started,
            request_id=request_id,
            instance=self.instance,
        )
        self.metrics.scored(answer, model.spec.name)
        if answer.truncated and not call.may_truncate:
            raise InputError(
                f"{answer.truncated} of {len(call.pairs)} documents are longer than the model reads",
                value=answer.truncated,
                remedy="split them, or allow truncation",
            )
        return answer

    def _check_limits(self, call: Call) -> None:
        limits = self.settings
        if len(call.pairs) > limits.max_documents:
            raise LimitError(
                f"the request has {len(call.pairs)} documents",
                value=len(call.pairs),
                remedy=f"send at most {limits.max_documents} in one request",
            )
        for position, (query, text) in enumerate(call.pairs):
            if max(len(query), len(text)) > limits.max_document_characters:
                raise LimitError(
                    f"document {position}, or its query, has {max(len(query), len(text))} characters",
                    remedy=f"send at most {limits.max_document_characters} in one text",
                )

    async def _watch_idle(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds / _IDLE_CHECKS)
            for model in self.models:
                await model.unload_if_idle(seconds)


def _complete(batch: ScoreBatch, label: str) -> list[float]:
    scores = [score for score in batch.scores if score is not None]
    if len(scores) < len(batch.scores):
        raise DeadlineExceededError(
            f"{len(batch.scores) - len(scores)} of {len(batch.scores)} documents were not scored in time",
            service=label,
        )
    return scores
