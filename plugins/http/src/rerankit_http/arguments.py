"""The arguments of the ``http`` service."""

from __future__ import annotations

from typing import Literal

from pydantic import AnyHttpUrl, Field, PositiveFloat, PositiveInt, SecretStr, ValidationInfo, field_validator

from rerankit.arguments import ServiceArguments
from rerankit.scoring import ScoreKind
from rerankit_http.dialects import DIALECTS

__all__ = ["DialectName", "HttpArguments"]

DialectName = Literal["cohere", "jina", "voyage", "tei", "vllm"]


class HttpArguments(ServiceArguments):
    """Which endpoint is called, and how."""

    dialect: DialectName = Field(description="what the endpoint speaks")
    url: AnyHttpUrl | None = Field(
        None,
        validate_default=True,
        description="base URL, or the whole URL up to .../rerank; left out, the dialect's hosted API",
    )
    model: str | None = Field(None, validate_default=True, description="the model's name there; tei takes none")
    api_key: SecretStr | None = Field(None, description="sent as a bearer token; from environment or .env only")
    api_key_env: str | None = Field(
        None, description="the environment variable that holds the key; a hosted API's own variable is the default"
    )
    timeout: PositiveFloat = Field(30.0, description="seconds one request may take")
    max_documents: PositiveInt | None = Field(None, description="documents in one request, instead of the dialect's")
    max_tokens: PositiveInt | None = Field(None, description="tokens in one request, instead of the dialect's")
    max_concurrency: PositiveInt = Field(4, description="requests in flight at once for one call")
    score_kind: ScoreKind | None = Field(None, description="what this model's scores mean, instead of the dialect's")

    @field_validator("url", "model")
    @classmethod
    def _needed(cls, value: object, info: ValidationInfo) -> object:
        name = info.data.get("dialect")
        if value is None and name is not None:
            dialect = DIALECTS[name]
            if info.field_name == "url" and dialect.url is None:
                raise ValueError(f"{name} has no hosted API: say where the server is")
            if info.field_name == "model" and dialect.needs_model:
                raise ValueError(f"{name} needs the model's name")
        return value
