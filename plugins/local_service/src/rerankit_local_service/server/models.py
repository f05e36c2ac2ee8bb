"""The models that are served: listed in the dialects that list them, and dropped on demand, as SolaceAI's can be."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict

from rerankit.errors import ModelNotFoundError, RerankitError
from rerankit_local_service.server.dialects.documents import DOCUMENTS
from rerankit_local_service.server.dialects.solaceai import SOLACEAI, SolaceError
from rerankit_local_service.server.replies import Json, failed
from rerankit_local_service.server.service import RerankService
from rerankit_local_service.server.serving import ServedModel

__all__ = ["models_router"]


class Unloaded(TypedDict):
    """``unloaded`` is false where there was nothing to drop."""

    key: str
    unloaded: bool
    message: str


class CleanedUp(TypedDict):
    """The keys of the models that were dropped."""

    unloaded: list[str]
    count: int


def models_router(service: RerankService) -> APIRouter:
    """The routes, about the models of ``service``."""
    router = APIRouter(default_response_class=Json)

    @router.get("/v1/models", summary="OpenAI's list of models")
    async def models() -> dict[str, Any]:
        return {"object": "list", "data": [_listed(model) for model in service.models]}

    @router.get("/v1/models/{name:path}", summary="One model", responses={404: {}})
    async def model(request: Request, name: str) -> Response:
        for served in service.models:
            if name in served.names or "*" in served.names:
                return Json(_listed(served))
        return failed(request, _unknown(name), DOCUMENTS)

    @router.get("/models", summary="SolaceAI's list of models")
    async def loaded_models() -> dict[str, Any]:
        return {"models": [_loaded(model) for model in service.models], "count": len(service.models)}

    @router.delete(
        "/models/{key:path}",
        summary="Drop a model that nobody is using; the next request loads it again",
        responses={200: {"model": Unloaded}, 404: {"model": SolaceError}, 503: {"model": SolaceError}},
    )
    async def unload(request: Request, key: str) -> Response:
        for served in service.models:
            if key in served.names:
                try:
                    dropped = await served.unload()
                except RerankitError as error:
                    return failed(request, error, SOLACEAI)
                message = f"{served.spec.name} was {'dropped' if dropped else 'not loaded'}; its next use loads it"
                return Json(Unloaded(key=served.spec.name, unloaded=dropped, message=message))
        return failed(request, _unknown(key), SOLACEAI)

    @router.post("/models/cleanup", summary="Drop every model that nobody is using; the next request loads it again")
    async def clean_up() -> CleanedUp:
        dropped = [model.spec.name for model in service.models if await model.unload_if_idle(0.0)]
        return {"unloaded": dropped, "count": len(dropped)}

    return router


def _unknown(name: str) -> ModelNotFoundError:
    return ModelNotFoundError(f"{name!r} is not served here", remedy="ask GET /v1/models for what is", value=name)


def _listed(model: ServedModel) -> dict[str, Any]:
    return {
        "id": model.label,
        "object": "model",
        "created": 0,
        "owned_by": model.spec.service,
        "model_type": "rerank",
        "name": model.spec.name,
        "state": str(model.state),
    }


def _loaded(model: ServedModel) -> dict[str, Any]:
    return {
        "key": model.spec.name,
        "model_name_or_path": model.label,
        "reranker_type": model.spec.service,
        "device": model.device,
        "state": str(model.state),
    }
