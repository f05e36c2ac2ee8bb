"""What the service tells about itself: health, limits, metrics and its page."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from fastapi import APIRouter
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.responses import HTMLResponse, Response

import rerankit_local_service
from rerankit_local_service.server.replies import Json
from rerankit_local_service.server.service import RerankService
from rerankit_local_service.server.serving import ServedModel
from rerankit_local_service.wire import PROTOCOL

__all__ = ["about_router"]

_UTF8_BYTES = 6
"""A character costs at most this in JSON: ``\\u0000``."""


def about_router(service: RerankService) -> APIRouter:
    """The routes, telling about ``service``."""
    router = APIRouter(default_response_class=Json)
    page, policy = _page()

    @router.get("/", include_in_schema=False)
    async def index() -> Response:
        return HTMLResponse(page, headers={"content-security-policy": policy})

    @router.get("/health", summary="Alive: the process answers")
    async def health() -> dict[str, str]:
        return {"status": "healthy"}

    @router.get("/ready", summary="Every model is loaded and has passed its self-test", responses={503: {}})
    async def ready() -> Response:
        states = {model.spec.name: _state(model) for model in service.models}
        if service.ready:
            return Json({"status": "ready", "models": states})
        return Json({"status": "not ready", "models": states}, 503)

    @router.get("/v1/cluster/auth", summary="Xinference's clients ask first whether they must log in")
    async def cluster_auth() -> dict[str, bool]:
        return {"auth": False}

    @router.get("/info", summary="TEI's fields of the default model, and under rerankit everything ours")
    async def info() -> dict[str, Any]:
        return _info(service)

    @router.get("/metrics", summary="For Prometheus", response_class=Response)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def _page() -> tuple[str, str]:
    """The page, and a policy that lets it run its own script and style and talk to this service, nothing else."""
    page = resources.files(rerankit_local_service).joinpath("page.html").read_text(encoding="utf-8")
    hashes = {}
    for tag in ("script", "style"):
        found = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = hashlib.sha256(found[1].encode() if found else b"").digest()
        hashes[tag] = f"'sha256-{base64.b64encode(digest).decode()}'"
    return page, (
        f"default-src 'none'; script-src {hashes['script']}; style-src {hashes['style']}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _state(model: ServedModel) -> dict[str, Any]:
    error = model.error
    return {"state": str(model.state)} | ({} if error is None else {"error": error.to_dict()})


def _info(service: RerankService) -> dict[str, Any]:
    settings, default = service.settings, service.models[0]
    characters = min(settings.max_body_bytes // _UTF8_BYTES - 1024, settings.max_queue_tokens)
    return {
        "model_id": default.label,
        "model_sha": default.revision,
        "model_dtype": default.facts.get("dtype", "unknown"),
        "model_type": {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}},
        "max_concurrent_requests": 512,
        "max_input_length": settings.max_document_characters,
        "max_batch_tokens": settings.max_batch_tokens,
        "max_client_batch_size": settings.max_documents,
        "tokenization_workers": 1,
        "version": rerankit_local_service.__version__,
        "rerankit": {
            "protocol": PROTOCOL,
            "instance": service.instance,
            "max_documents": settings.max_documents,
            "max_characters": max(1, characters),
            "max_concurrency": 8,
            "models": [
                {
                    "name": model.spec.name,
                    "names": sorted(model.names),
                    "service": model.spec.service,
                    "state": str(model.state),
                    "model": model.model,
                    "revision": model.revision,
                    "facts": dict(model.facts),
                    "fingerprint": model.fingerprint,
                    "score_kind": str(model.capabilities.score_kind),
                    "listwise": model.capabilities.listwise,
                }
                for model in service.models
            ],
        },
    }
