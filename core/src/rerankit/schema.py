"""JSON Schema of the configuration file, with the arguments of every installed service."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from rerankit.arguments import ServiceArguments
from rerankit.errors import RerankitError
from rerankit.loading import arguments_model
from rerankit.plugins.manager import plugin_manager
from rerankit.plugins.records import Service
from rerankit.policy.settings import PolicySettings
from rerankit.settings import DEFAULT_SERVICE, SECTION

__all__ = ["config_schema"]


def config_schema() -> dict[str, Any]:
    """The schema an editor or a validator takes: sections that are not rerankit's are left alone.

    A service whose plugin cannot tell its arguments just now is listed without them.
    """
    services = plugin_manager().services()
    models: dict[str, type[BaseModel]] = {"reranker_policy": PolicySettings}
    models |= {_qualified(service): model for service in services if (model := _model(service)) is not None}
    # Made in one go, so that models of one name in two plugins get definitions of their own.
    refs, definitions = models_json_schema([(model, "validation") for model in set(models.values())])
    schemas: dict[str, Any] = {name: refs[model, "validation"] for name, model in models.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "rerankit configuration",
        "type": "object",
        "properties": {SECTION: _section(services, schemas)},
        "additionalProperties": True,
        "$defs": definitions.get("$defs", {}),
    }


def _section(services: list[Service], schemas: dict[str, Any]) -> dict[str, Any]:
    names = {service.spec.name for service in services}
    return {
        "type": "object",
        "properties": {
            "reranker_service": {
                "description": "Which service reranks; null keeps the input order.",
                "enum": [*sorted(names), *(_qualified(service) for service in services), None],
                "default": DEFAULT_SERVICE,
            },
            "reranker_args": {"type": ["object", "null"]},
            "reranker_policy": {"anyOf": [schemas["reranker_policy"], {"type": "null"}]},
        },
        # Other sections may share the object; only names that look like ours must be ours.
        "patternProperties": {"^reranker(?!_(service|args|policy)$)": False},
        "allOf": [
            {
                "if": {
                    "properties": {"reranker_service": {"enum": [service.spec.name, _qualified(service)]}},
                    "required": ["reranker_service"],
                },
                "then": {"properties": {"reranker_args": {"anyOf": [schemas[_qualified(service)], {"type": "null"}]}}},
            }
            for service in services
            if _qualified(service) in schemas
        ],
    }


def _qualified(service: Service) -> str:
    return f"{service.distribution}:{service.spec.name}"


def _model(service: Service) -> type[BaseModel] | None:
    """The model of a service's arguments; ``None`` where its plugin cannot tell it just now."""
    try:
        return arguments_model(service) or ServiceArguments
    except RerankitError:
        return None
