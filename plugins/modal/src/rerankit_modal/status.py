"""How a deployment is: its containers, what it runs, and whether it scores."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from rerankit.errors import ClassNotFoundError
from rerankit_modal.engine import ContainerFigures
from rerankit_modal.reranker import ModalReranker
from rerankit_modal.settings import SELF_TEST, read_settings

__all__ = ["deployment_status"]


def deployment_status(app_name: str | None, *, wake: bool) -> dict[str, Any]:
    """What there is to say about an app of rerankit's.

    Args:
        app_name: the app; ``None`` is the configured one.
        wake: ask it even where no container is up.

    Raises:
        BackendError: it cannot be reached, is not there, or fails its self-test.
    """
    with ModalReranker(app_name or read_settings().app_name) as reranker:
        return asyncio.run(_status(reranker, wake=wake))


async def _status(reranker: ModalReranker, *, wake: bool) -> dict[str, Any]:
    engine = reranker.engine
    said: dict[str, Any] = {"app": engine.app_name, "token": f"from the {engine.credentials.source}"}
    try:
        now = await engine.figures("Scorer.score_pairs")
    except ClassNotFoundError:
        return {**said, "note": "no deployment of rerankit's: it is called by its function alone"}
    said |= {"containers": now.containers, "running": now.running, "waiting": now.waiting}
    if not now.containers and not wake:
        return {**said, "self-test": "not run: no container is up, and --wake would start one"}
    return {**said, **await _asked(reranker, now)}


async def _asked(reranker: ModalReranker, now: ContainerFigures) -> dict[str, Any]:
    described = await reranker.engine.call("Scorer.describe", seconds=reranker.arguments.timeout)
    query, passages = SELF_TEST
    started = time.perf_counter()
    scores = await reranker.aget_scores(query, passages)
    milliseconds = (time.perf_counter() - started) * 1000
    verdict = "good" if scores[0] > scores[1] else "the self-test's passages come in the wrong order"
    return {
        "model": described["model"],
        "revision": described["revision"],
        "gpu": described["gpu"],
        "self-test": f"{verdict} ({milliseconds:.0f} ms)",
    }
