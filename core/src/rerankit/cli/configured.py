"""What the configuration asks for: the service, then its fallbacks, each with its arguments and their sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rerankit.arguments import secret_names, validated
from rerankit.errors import RerankitError
from rerankit.loading import arguments_model, validated_arguments
from rerankit.plugins.manager import plugin_manager
from rerankit.policy.settings import FallbackService, PolicySettings
from rerankit.settings import Settings

__all__ = ["HIDDEN", "Configured", "configured", "policy_of", "shown", "shown_service"]

HIDDEN = "**********"


@dataclass(frozen=True, slots=True)
class Configured:
    """A service that the configuration names. ``args`` may hold secrets, so they stay out of the repr."""

    service: str
    args: Mapping[str, Any] = field(repr=False)
    source: Mapping[str, str]
    variable: str = ""
    """The environment variable that takes all of ``args``, where each has none of its own."""

    def validate(self) -> None:
        """
        Raises:
            RerankitError: the service is not installed, or an argument is wrong.
        """
        service = plugin_manager().service(self.service)
        validated_arguments(service, self.args, source=self.source, variable=self.variable)


def configured(settings: Settings) -> list[Configured]:
    """The service and its fallbacks, in the order they are asked; none for ``reranker_service: null``.

    Raises:
        InvalidArgumentError: ``reranker_policy`` is wrong.
    """
    where = settings.sources.get("policy.fallback", "")
    fallbacks = [
        Configured(fallback.service, fallback.args, dict.fromkeys(fallback.args, where), "RERANKER_POLICY__FALLBACK")
        for fallback in policy_of(settings).fallback
    ]
    if settings.service is None:
        return fallbacks
    return [Configured(settings.service, settings.args, settings.sources_of("args")), *fallbacks]


def policy_of(settings: Settings) -> PolicySettings:
    """
    Raises:
        InvalidArgumentError: ``reranker_policy`` is wrong.
    """
    return validated(PolicySettings, settings.policy, service="reranker_policy", source=settings.sources_of("policy"))


def shown(service: str | None, args: Mapping[str, Any]) -> dict[str, Any]:
    """``args`` for the eye: secrets hidden, and everything where the service cannot tell what is secret."""
    try:
        model = None if service is None else arguments_model(plugin_manager().service(service))
    except RerankitError:
        return dict.fromkeys(args, HIDDEN)
    fields = {} if model is None else model.model_fields
    secrets = set() if model is None else secret_names(model)
    values = {}
    for name, value in args.items():
        if name not in fields or name in secrets:
            value = HIDDEN
        elif fields[name].annotation is FallbackService:
            value = shown_service(value)
        values[name] = value
    return values


def shown_service(value: object) -> object:
    """A service as a configuration names it, for the eye: its name, or an object with ``service`` and ``args``."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping):
        return HIDDEN
    service, args = value.get("service"), value.get("args")
    return {"service": service, "args": shown(service, args if isinstance(args, Mapping) else {})}
