"""A service's arguments as a pydantic model: validated the same way from configuration and from Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError

from rerankit import _pydantic  # noqa: F401 - before the first model
from rerankit._nearest import nearest
from rerankit.errors import InvalidArgumentError

__all__ = ["ServiceArguments", "secret_names", "validated"]


class ServiceArguments(BaseModel):
    """Base of a service's arguments: unknown names are errors, values are frozen, secrets are ``SecretStr``.

    Strings, as environment variables and ``--arg name=value`` give them, are turned into the field's type.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), hide_input_in_errors=True)


M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], values: Mapping[str, Any], *, service: str, source: Mapping[str, str] | None = None) -> M:
    """``values`` as a ``model``.

    Args:
        model: the service's arguments.
        values: by name.
        service: named in the error.
        source: where each value came from, named in the error.

    Raises:
        InvalidArgumentError: the first thing that is wrong, with the nearest valid name, the value (unless
            secret) and its source.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise _explained(error, model, values, service, source or {}) from None


def _explained(
    error: ValidationError, model: type[BaseModel], values: Mapping[str, Any], service: str, source: Mapping[str, str]
) -> InvalidArgumentError:
    problem = error.errors(include_url=False, include_context=False)[0]
    path = ".".join(str(part) for part in problem["loc"])
    name = str(problem["loc"][0]) if problem["loc"] else ""
    valid = [field.alias or key for key, field in model.model_fields.items()]
    origin = f" (from {source[name]})" if name in source else ""
    kind: Literal["unknown", "missing", "value"]
    kind = {"extra_forbidden": "unknown", "missing": "missing"}.get(problem["type"], "value")  # type: ignore[assignment]
    if kind == "unknown":
        message = f"{service} has no argument {path!r}{origin}{nearest(name, valid)}"
        remedy = f"use one of: {', '.join(valid)}" if valid else f"{service} takes no arguments; remove {path!r}"
        return InvalidArgumentError(message, remedy=remedy, value=path, service=service)
    if kind == "missing":
        remedy = f"set reranker_args.{path}, RERANKER_ARGS__{path.upper()} or --arg {path}=..."
        return InvalidArgumentError(f"{service} needs the argument {path!r}", remedy=remedy, service=service)
    value = None if name in secret_names(model) else values.get(name)
    if not isinstance(value, (str, int, float)):
        value = None  # an object or a list may hold secrets: those of a fallback, of a stage of a cascade
    shown = "" if value is None else f": {value!r}"
    message = f"{service}'s argument {path!r}{shown}{origin} is wrong: {problem['msg']}"
    return InvalidArgumentError(message, remedy=f"correct {path!r}", value=value, service=service)


def secret_names(model: type[BaseModel]) -> set[str]:
    """The names of the fields that hold secrets."""
    return {name for name, field in model.model_fields.items() if SecretStr.__name__ in str(field.annotation)}
