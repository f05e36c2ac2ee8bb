"""The arguments of the ``modal`` service."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from rerankit.arguments import ServiceArguments

__all__ = ["DEFAULT_API", "DEFAULT_APP", "ModalArguments"]

DEFAULT_APP = "solaceai-reranker"
DEFAULT_API = "inference_api"


class ModalArguments(ServiceArguments):
    """Which deployment is called, and how long it may take.

    Attributes:
        app_name: the deployed app.
        api_name: the app's function that takes ``(query, passages, batch_size)`` and returns a list of floats.
        batch_size: documents in one model batch at most, and in one part of a stream.
        gen_options: further keyword arguments of ``api_name``, for a function that takes some.
        timeout: seconds one call may take, a cold start included.
        connect_timeout: seconds to connect and to find the app.
    """

    app_name: str = Field(default=DEFAULT_APP, min_length=1)
    api_name: str = Field(default=DEFAULT_API, min_length=1)
    batch_size: int = Field(default=256, ge=1)
    gen_options: dict[str, Any] | None = None
    timeout: float = Field(default=120.0, gt=0)
    connect_timeout: float = Field(default=10.0, gt=0)
