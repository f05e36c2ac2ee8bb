"""The ASGI application: the routes, inside the gate, inside the envelope."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

import rerankit_local_service
from rerankit_local_service.server.about import about_router
from rerankit_local_service.server.envelope import Envelope
from rerankit_local_service.server.gate import Gate
from rerankit_local_service.server.models import models_router
from rerankit_local_service.server.replies import from_framework
from rerankit_local_service.server.routes import scoring_router
from rerankit_local_service.server.service import RerankService
from rerankit_local_service.server.serving import ModelSpec
from rerankit_local_service.server.settings import ServerSettings

__all__ = ["create_app"]

_ABOUT = """One warm reranking model for every process.

Point an existing client of Cohere, Jina, Voyage, text-embeddings-inference, vLLM, Infinity, Xinference, Pinecone or
SolaceAI here. Fields nobody here knows are accepted, and an explicit null is as good as nothing.
Results are in descending order of score, ties in input order."""


def create_app(specs: Sequence[ModelSpec], settings: ServerSettings) -> ASGIApp:
    """The service for ``specs``, the first of which is the default model.

    Models begin to load when the application starts, and it answers meanwhile.
    """
    service = RerankService(specs, settings)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = FastAPIOffline(
        title="rerankit",
        summary="Reranking in every dialect",
        description=_ABOUT,
        version=rerankit_local_service.__version__,
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
        # A caller's trace goes on in ours; exceptions and texts of requests stay out of it.
        telemetry={"metrics": False, "logs": False, "operation_spans": False},
        exception_handlers=dict.fromkeys((RequestValidationError, HTTPException, Exception), _replied),
    )
    app.include_router(scoring_router(service))
    app.include_router(models_router(service))
    app.include_router(about_router(service))
    return Envelope(Gate(app, settings, service.metrics), service.metrics)


async def _replied(request: Request, error: Exception) -> Response:
    return from_framework(request, error)
