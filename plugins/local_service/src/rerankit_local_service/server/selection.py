"""Which models to serve: from the command line, else from the application's own configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rerankit.adapters import as_pair_reranker
from rerankit.errors import ConfigurationError, InvalidArgumentError
from rerankit.loading import build_backend, validated_arguments
from rerankit.plugins.manager import plugin_manager
from rerankit.reranker import PairReranker
from rerankit.settings import UNSET, Settings, read_settings
from rerankit_local_service.server.serving import ModelSpec

__all__ = ["selected"]

_CLIENT = "local_service"


def selected(
    services: Sequence[str], arguments: Sequence[str], aliases: Sequence[str], config: str | None
) -> list[ModelSpec]:
    """The models to serve, their arguments validated; nothing is loaded yet.

    Args:
        services: ``SERVICE`` or ``NAME=SERVICE``; none for what the configuration names.
        arguments: ``ARGUMENT=VALUE`` for the only service, ``NAME.ARGUMENT=VALUE`` for one of several.
        aliases: ``OTHER=NAME``: what else a model answers to; ``*`` stands for any name.
        config: the JSON file to read instead of the one the environment names.

    Raises:
        ConfigurationError: nothing to serve, or a name twice.
        RerankitError: as ``load_reranker``: unknown services, wrong arguments.
    """
    named = [_split(service) for service in services] or [("", "")]
    names = [name for name, _ in named]
    if len(set(names)) < len(names):
        raise ConfigurationError(
            f"two services are called {max(names, key=names.count)!r}", remedy="name them: --service small=mini"
        )
    given: dict[str, dict[str, Any]] = {name: {} for name in names}
    for argument in arguments:
        name, key, value = _assigned(argument, names)
        given[name][key] = value
    other: dict[str, set[str]] = {}
    for alias in aliases:
        asked, _, name = alias.partition("=")
        other.setdefault(name, set()).add(asked)
    specs = [_spec(name, service, given[name], other, config) for name, service in named]
    unknown = sorted(set(other) - {spec.name for spec in specs})
    if unknown:
        raise InvalidArgumentError(
            f"--alias names {unknown[0]!r}, which is not served",
            remedy=f"use one of: {', '.join(spec.name for spec in specs)}",
            value=unknown[0],
        )
    return specs


def _split(service: str) -> tuple[str, str]:
    name, equals, kind = service.partition("=")
    return (name, kind) if equals else (service, service)


def _assigned(argument: str, names: Sequence[str]) -> tuple[str, str, str]:
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise InvalidArgumentError(f"--arg {argument!r} is not of the form name=value", remedy="--arg batch_size=64")
    name, dot, rest = key.partition(".")
    if dot and name in names:
        return name, rest, value
    if len(names) == 1:
        return names[0], key, value
    raise InvalidArgumentError(
        f"--arg {argument!r} does not say for which of {', '.join(names)}", remedy=f"--arg {names[0]}.{argument}"
    )


def _spec(
    name: str, service: str, given: Mapping[str, Any], aliases: Mapping[str, set[str]], config: str | None
) -> ModelSpec:
    settings = read_settings(service or UNSET, given, config=config)
    kind, args = _servable(settings)
    source = settings.sources_of("args")
    validated_arguments(plugin_manager().service(kind), args, source=source)

    def build() -> PairReranker:
        return as_pair_reranker(build_backend(kind, args, source=source))

    name = name or kind
    return ModelSpec(name, kind, build, arguments=args, aliases=frozenset(aliases.get(name, ())))


def _servable(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The service and its arguments; of a client's configuration, the model that the client will ask for."""
    args = dict(settings.args)
    if settings.service == _CLIENT:
        kind, model = args.get("reranker_type"), args.get("model_name_or_path")
        if kind is None:
            raise ConfigurationError(
                "the configuration names local_service, the client of a service, and no reranker_type",
                remedy="say what to serve: rerankit serve --service mini",
            )
        return kind, {} if model is None else {"model_name_or_path": model}
    if settings.service is None:
        raise ConfigurationError(
            "reranker_service is null: there is nothing to serve", remedy="rerankit serve --service mini"
        )
    return settings.service, args
