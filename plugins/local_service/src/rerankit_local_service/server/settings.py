"""How the service is run: command line, then environment (``RERANKER_SERVER_...``), then ``.env``, then defaults."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rerankit.errors import ConfigurationError, InvalidArgumentError

__all__ = ["DEFAULT_PORT", "ServerSettings", "server_settings"]

DEFAULT_PORT = 10001

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Amount = Annotated[int, Field(ge=1)]


class ServerSettings(BaseSettings):
    """Limits are for one request unless they say otherwise; times are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="RERANKER_SERVER_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    host: str = "127.0.0.1"
    port: int = Field(DEFAULT_PORT, ge=0, le=65_535)
    api_keys: Annotated[tuple[SecretStr, ...], NoDecode] = Field((), validation_alias="RERANKER_API_KEYS")
    allow_no_key: bool = False
    """Listen beyond loopback without a key."""
    timeout: Seconds = 120.0
    """The longest a caller is kept waiting; a caller may ask for less."""
    grace: Seconds = 30.0
    """From SIGTERM: accepted work may take this long."""
    max_body_bytes: Amount = 32 * 1024 * 1024
    max_waiting_bytes: Amount = 256 * 1024 * 1024
    """Bodies of all requests in flight together."""
    body_timeout: Seconds = 30.0
    """The longest a body may take to arrive."""
    max_documents: Amount = 10_000
    max_document_characters: Amount = 1_000_000
    max_queue_tokens: Amount = 8_000_000
    """Tokens of all requests that wait, together: room for one of 10,000 documents of 512 tokens."""
    max_batch_tokens: Amount = 4_096
    unload_after: Seconds | None = None
    """Drop a model nobody asked for this long; the next request loads it again."""
    self_test: bool = True
    log_texts: bool = False
    """Write queries and documents to the log."""
    log_level: str = "info"

    @field_validator("api_keys", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(key.strip() for key in value.split(",") if key.strip()) if isinstance(value, str) else value

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def server_settings(**given: Any) -> ServerSettings:
    """The settings, those ``given`` and not ``None`` before all others.

    Raises:
        InvalidArgumentError: a setting has a wrong value.
        ConfigurationError: it would listen beyond loopback, without a key and unforced.
    """
    try:
        settings = ServerSettings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in problem["loc"])
        raise InvalidArgumentError(
            f"the service's setting {name!r} is wrong: {problem['msg']}",
            remedy=f"correct --{name.replace('_', '-')} or RERANKER_SERVER_{name.upper()}",
        ) from None
    if not settings.loopback and not settings.api_keys and not settings.allow_no_key:
        raise ConfigurationError(
            f"{settings.host} can be reached by other machines, and there is no API key",
            remedy="set RERANKER_API_KEYS=<key>[,<key>...], or --host 127.0.0.1, or force it by --allow-no-key",
            value=settings.host,
        )
    return settings
