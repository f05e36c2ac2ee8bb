"""The app that runs on Modal: containers with the model, and a front without one.

``rerankit modal deploy`` and ``modal deploy modal_deploy/reranker_app.py`` deploy it, ``modal run`` sends it a
query. Containers import this module from the wheel that their image installed.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import modal

from rerankit.scoring import ScoreBatch, ScoreRequest, checked_scores
from rerankit_modal.failures import SERVICE
from rerankit_modal.settings import MODEL_FOLDER, NO_GPU, SELF_TEST, read_settings
from rerankit_modal.wire import batch_to_wire, error_to_wire

__all__ = ["Scorer", "app", "inference_api", "main", "settings"]

settings = read_settings()
FRONT_TIMEOUT_S = 600

_front: modal.Image | None = None
_scorer: modal.Image | None = None
if modal.is_local():  # a container is made of its image already
    from rerankit_modal.image import front_image, scorer_image

    _front, _scorer = front_image(settings), scorer_image(settings)

app = modal.App(settings.app_name, include_source=False)


@app.cls(
    image=_scorer,
    gpu=None if settings.gpu == NO_GPU else settings.gpu,
    memory=settings.memory,
    min_containers=settings.min_containers,
    max_containers=settings.max_containers,
    scaledown_window=settings.scaledown_window,
    region=settings.region,
    timeout=settings.timeout,
    startup_timeout=settings.startup_timeout,
    _experimental_restrict_output=True,
)
@modal.concurrent(max_inputs=settings.max_inputs)
class Scorer:
    """One copy of the model; concurrent calls share its batches. Answers are plain data, errors too."""

    @modal.enter()
    def load(self) -> None:
        try:
            self._load()
        except Exception as error:
            raise _plain(error) from None  # modal pickles what ends a start

    def _load(self) -> None:
        from rerankit.adapters import as_pair_reranker
        from rerankit.loading import build_backend
        from rerankit.policy.batching import BatchingReranker

        backend = build_backend(
            "crossencoder",
            {
                "model_name_or_path": str(Path(MODEL_FOLDER).expanduser()),
                "local_files_only": True,
                "trust_remote_code": settings.trust_remote_code,
                "batch_size": settings.batch_size,
                **({} if settings.max_length is None else {"max_length": settings.max_length}),
            },
        )
        self.reranker = BatchingReranker(as_pair_reranker(backend))
        self.reranker.get_scores(*SELF_TEST)

    @modal.method()
    async def score_pairs(self, pairs: list[list[str]], seconds: float | None = None) -> dict[str, Any]:
        """A batch, or an error, as ``rerankit_modal.wire`` writes them; within ``seconds``, where given."""
        try:
            return batch_to_wire(await self._score(pairs, seconds))
        except Exception as error:
            return error_to_wire(error)

    @modal.method()
    async def get_scores(self, query: str, passages: list[str], batch_size: int = 256) -> list[float]:
        """One score a passage, in input order. Model batches are cut by tokens, whatever ``batch_size`` is."""
        try:
            batch = await self._score([[query, passage] for passage in passages], None)
        except Exception as error:
            raise _plain(error) from None
        return checked_scores(batch.scores, len(passages), SERVICE)

    @modal.method()
    async def stream(self, pairs: list[list[str]], batch_size: int, seconds: float) -> AsyncIterator[dict[str, Any]]:
        """The batches of ``batch_size`` pairs at a time, in order, each as soon as it is there; all in ``seconds``."""
        end = time.monotonic() + seconds
        for start in range(0, len(pairs), batch_size):
            try:
                batch = await self._score(pairs[start : start + batch_size], end - time.monotonic())
                answer = batch_to_wire(batch)
            except Exception as error:
                yield error_to_wire(error)
                return
            yield answer

    @modal.method()
    async def describe(self) -> dict[str, Any]:
        """What is deployed, and what this container did so far."""
        return {
            "model": settings.model,
            "revision": settings.pinned_revision,
            "gpu": settings.gpu,
            "container": os.environ.get("MODAL_TASK_ID"),
            "figures": asdict(self.reranker.figures()),
        }

    @modal.exit()
    def unload(self) -> None:
        self.reranker.close()

    async def _score(self, pairs: list[list[str]], seconds: float | None) -> ScoreBatch:
        deadline = None if seconds is None else time.monotonic() + seconds
        request = ScoreRequest([(query, passage) for query, passage in pairs], deadline)
        batch = await self.reranker.ascore_pairs(request)
        # The backend knows the model as a folder of its container.
        return replace(batch, model=settings.model, revision=settings.pinned_revision)


@app.function(
    image=_front,
    min_containers=min(settings.min_containers, 1),
    region=settings.region,
    timeout=FRONT_TIMEOUT_S,
    _experimental_restrict_output=True,
)
@modal.concurrent(max_inputs=20)
async def inference_api(query: str, passages: list[str], batch_size: int = 256) -> list[float]:
    """One score a passage, in input order; for callers that know a function, not our class."""
    scores: list[float] = await Scorer().get_scores.remote.aio(query, passages, batch_size)
    return scores


def _plain(error: Exception) -> RuntimeError:
    """An exception of a class that every caller has, named as the original."""
    return RuntimeError(f"{type(error).__name__}: {error}")


@app.local_entrypoint()
async def main(query: str = SELF_TEST[0]) -> None:
    """Score two passages in an app that lasts as long as this: it tests the code, not the deployment."""
    passages = SELF_TEST[1]
    scores: Any = await inference_api.remote.aio(query, passages)
    for score, passage in sorted(zip(scores, passages, strict=True), reverse=True):
        print(f"{score:.4f}  {passage}")
