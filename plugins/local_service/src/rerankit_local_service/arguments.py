"""The arguments of ``local_service``, and what the environment says where they are left out."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from rerankit.arguments import ServiceArguments
from rerankit.errors import InvalidArgumentError

__all__ = ["DEFAULT_TIMEOUT_S", "DEFAULT_URL", "Environment", "LocalServiceArguments", "client_environment"]

DEFAULT_URL = "http://127.0.0.1:10001"
DEFAULT_TIMEOUT_S = 120.0

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class LocalServiceArguments(ServiceArguments):
    """What ``reranker_args`` may hold for ``local_service``."""

    model_name_or_path: str | None = Field(None, description="the model to ask for; left out, the service's default")
    reranker_type: str | None = Field(None, description="its kind: crossencoder, biencoder, flag_embedding, mini")
    batch_size: Annotated[int, Field(ge=1)] | None = Field(
        None, description="for services of the first dialect only; ours makes its batches by tokens"
    )
    timeout: Seconds | None = Field(None, description="seconds a request may take; RERANKER_CLIENT_TIMEOUT, else 120")
    url: str | None = Field(
        None, pattern=r"^https?://", description="RERANKER_SERVICE_URL, else http://127.0.0.1:10001"
    )
    api_key: SecretStr | None = Field(None, description="RERANKER_API_KEY")


class Environment(BaseSettings):
    """The variables of the client, from the environment and ``.env``."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    reranker_service_url: Annotated[str, Field(pattern=r"^https?://")] = DEFAULT_URL
    reranker_client_timeout: Seconds = DEFAULT_TIMEOUT_S
    reranker_api_key: SecretStr | None = None


def client_environment() -> Environment:
    """The variables.

    Raises:
        InvalidArgumentError: one of them is wrong.
    """
    try:
        return Environment()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        name = str(problem["loc"][0]).upper()
        raise InvalidArgumentError(
            f"{name} is wrong: {problem['msg']}", remedy=f"correct {name} in the environment or .env"
        ) from None
