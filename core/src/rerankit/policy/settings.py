"""``reranker_policy``: every field, validated like a service's arguments."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ByteSize, Field, NonNegativeInt, PositiveInt

from rerankit._nearest import nearest
from rerankit.arguments import ServiceArguments

__all__ = ["FallbackService", "PolicySettings"]

Seconds = Annotated[float, Field(gt=0, le=366 * 24 * 3600)]
"""At most a year: clocks and locks refuse to wait for as long as an infinity, or what is near it."""


class FallbackService(ServiceArguments):
    """A service that answers when the ones before it cannot. ``args`` may hold secrets: not in the repr."""

    service: str = Field(min_length=1)
    args: dict[str, Any] = Field(default_factory=dict, repr=False)


def _services(value: object) -> object:
    """Names alone, objects, or both; one string may hold several names, as an environment variable gives them."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    return [_service(item) for item in value] if isinstance(value, (list, tuple)) else value


def _service(item: object) -> object:
    if isinstance(item, str):
        return {"service": item}
    if isinstance(item, Mapping):
        valid = list(FallbackService.model_fields)
        for key in item:
            if key not in valid:
                raise ValueError(f"a fallback has no {key!r}{nearest(key, valid)}")
        if "service" not in item:
            raise ValueError("a fallback needs a 'service'")
    return item


def _names(value: object) -> object:
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


# The schema must tell all that is taken, not only what it becomes.
_SERVICES = BeforeValidator(_services, json_schema_input_type=str | list[str | FallbackService])


def _names_of(kind: Any) -> BeforeValidator:
    return BeforeValidator(_names, json_schema_input_type=str | list[kind])


Observer = Literal["logging", "opentelemetry", "prometheus"]


class PolicySettings(ServiceArguments):
    """What happens around the backend. Nothing here is on unless it is set, but removing duplicates."""

    deadline_s: Seconds | None = Field(None, description="seconds a whole call may take, fallbacks included")
    on_deadline: Literal["raise", "partial"] = Field(
        "raise", description="partial: what was scored in time comes first, the rest follows unscored in input order"
    )
    chunk_documents: PositiveInt = Field(
        32, description="with on_deadline=partial: documents scored between two looks at the clock"
    )
    retries: NonNegativeInt = Field(0, le=20, description="further tries after an error that may pass")
    retry_wait_s: Seconds = Field(0.1, description="seconds before the first retry; doubles, with jitter")
    retry_max_wait_s: Seconds = Field(5.0, description="longest wait; a service that asks for more is not retried")
    breaker_failures: NonNegativeInt | None = Field(
        None, description="failures in a row that open a service's circuit; 0: never; by default 5 with a fallback"
    )
    breaker_reset_s: Seconds = Field(30.0, description="seconds before an open circuit lets one call try")
    fallback: Annotated[tuple[FallbackService, ...], _SERVICES] = Field(
        (), description="services tried in turn: names, or objects with service and args"
    )
    fallback_score_kinds: Literal["same", "any"] = Field(
        "same", description="get_scores takes a fallback of the same score_kind only; any: of whatever kind"
    )
    on_failure: Literal["raise", "input_order"] = Field(
        "raise", description="input_order: rerank keeps the input order, marked degraded, when every service failed"
    )
    deduplicate: bool | None = Field(
        None, description="score equal documents of a call once; by default where the backend is pointwise"
    )
    cache_bytes: ByteSize = Field(ByteSize(0), description="memory for scores of pairs seen before, as 64MiB; 0: none")
    cache_path: Path | None = Field(
        None, description="file that keeps scores over restarts and for other processes; none: memory only"
    )
    cache_path_bytes: ByteSize = Field(
        ByteSize(1 << 30), ge=1 << 20, description="with cache_path: size of the file; the oldest scores make room"
    )
    calibration: Annotated[tuple[Path, ...], _names_of(Path)] = Field(
        (),
        description="files made by `rerankit calibrate`: scores become probabilities of relevance. One must be for "
        "the service's model; a fallback's scores are calibrated where one names the fallback",
    )
    batch_tokens: PositiveInt | None = Field(
        None, description="merge concurrent calls into batches of this many tokens"
    )
    queue_tokens: PositiveInt = Field(1_000_000, description="with batch_tokens: tokens that may wait")
    observers: Annotated[tuple[Observer, ...], _names_of(Observer)] = Field(
        (), description="first-party observers to switch on for the process"
    )
