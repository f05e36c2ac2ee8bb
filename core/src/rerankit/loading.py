"""From a configuration to a reranker: settings, service, validated arguments, backend, policy."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rerankit.errors import ConfigurationError, MissingExtraError, PluginLoadError, RerankitError
from rerankit.input_order import InputOrder
from rerankit.plugins.manager import plugin_manager
from rerankit.plugins.records import Service
from rerankit.plugins.specs import resolve
from rerankit.reranker import AbstractReranker, PairReranker

# pydantic costs 0.1 s of start-up; `import rerankit` and `rerankit --help` do without it.
if TYPE_CHECKING:
    from rerankit.arguments import ServiceArguments
    from rerankit.policy.settings import FallbackService
    from rerankit.settings import Settings

__all__ = [
    "FALLBACK",
    "RERANKER_MAPPING",
    "arguments_model",
    "build_backend",
    "check_service",
    "load_from_settings",
    "load_reranker",
    "resolved",
    "validated_arguments",
]


FALLBACK: Final = "RERANKER_POLICY__FALLBACK"


class _FromConfiguration:
    def __repr__(self) -> str:
        return "FROM_CONFIGURATION"


FROM_CONFIGURATION: Final = _FromConfiguration()


def load_reranker(
    service: str | _FromConfiguration | None = FROM_CONFIGURATION,
    /,
    *,
    policy: Mapping[str, Any] | None = None,
    config: str | os.PathLike[str] | None = None,
    **arguments: Any,
) -> PairReranker:
    """The reranker that the configuration names, or the one named here.

    Args:
        service: a service's name, or ``distribution:name``; ``None`` for input order. Left out, the
            configuration decides, and without one it is ``mini``.
        policy: settings of ``reranker_policy`` that go before the configured ones.
        config: the JSON file to read instead of ``RERANKER_CONFIG``, ``CONFIG_PATH`` or ``run_configs/default.json``.
        arguments: the service's arguments; they go before the configured ones of the same service.

    Raises:
        UnknownServiceError: no installed plugin offers it.
        MissingExtraError: it is known, and something it needs is not installed.
        InvalidArgumentError: an argument is unknown, missing or wrong.
        ConfigFileError: a file that was named is absent or malformed.
        PluginError: the plugin that brings it is broken, a duplicate, or incompatible.
    """
    from rerankit.settings import UNSET, read_settings

    name = UNSET if isinstance(service, _FromConfiguration) else service
    return load_from_settings(read_settings(name, arguments, policy, config=config))


def load_from_settings(settings: Settings) -> PairReranker:
    """The reranker that ``settings`` decided on, with its policy around it.

    Raises:
        RerankitError: as ``load_reranker``.
    """
    from rerankit.arguments import validated
    from rerankit.policy.compose import apply_policy
    from rerankit.policy.settings import PolicySettings

    if settings.service is None:
        return InputOrder()
    source = settings.sources_of("policy")
    policy = validated(PolicySettings, settings.policy, service="reranker_policy", source=source)
    for fallback in policy.fallback:
        # Built when it is first needed, but a misspelt name should not wait for the outage to show.
        check_service(fallback, where=source.get("fallback", ""), variable=FALLBACK)
    backend = build_backend(settings.service, settings.args, source=settings.sources_of("args"))
    try:
        return apply_policy(backend, policy, build_backend)
    except BaseException:
        backend.close()
        raise


def check_service(named: FallbackService, *, where: str, variable: str) -> None:
    """Check a service that stands in a setting, with its arguments; nothing is loaded.

    Args:
        named: a fallback, or a stage of a cascade.
        where: the source of the setting.
        variable: the environment variable of the setting.

    Raises:
        RerankitError: the service is not installed, or its arguments are wrong; as ``validated_arguments``.
    """
    source = dict.fromkeys(named.args, where)
    validated_arguments(plugin_manager().service(named.service), named.args, source=source, variable=variable)


def build_backend(name: str, args: Mapping[str, Any], *, source: Mapping[str, str] | None = None) -> AbstractReranker:
    """The backend of a service, without any policy.

    Args:
        name: a service's name, or ``distribution:name``.
        args: its arguments, not yet validated.
        source: where each argument came from.

    Raises:
        RerankitError: as ``load_reranker``.
    """
    found = plugin_manager().service(name)
    values = validated_arguments(found, args, source=source)
    target = resolved(found, found.spec.target)
    try:
        backend = target(**values)
    except RerankitError:
        raise
    except ImportError as error:
        raise _missing(found, error) from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # sys.exit() and panics of Rust extensions included
        raise PluginLoadError(
            f"{name} of {found.distribution} {found.version} could not be made: {type(error).__name__}: {error}",
            service=found.spec.name,
        ) from error
    if not isinstance(backend, AbstractReranker):
        raise PluginLoadError(
            f"{name} of {found.distribution} {found.version} is a {type(backend).__name__}, not an AbstractReranker",
            service=found.spec.name,
        )
    backend.service = found.spec.name
    return backend


def arguments_model(service: Service) -> type[ServiceArguments] | None:
    """The pydantic model of a service's arguments; ``None`` where it takes none.

    Raises:
        MissingExtraError, PluginLoadError: the plugin's own model cannot be imported.
    """
    return None if service.spec.arguments is None else resolved(service, service.spec.arguments)


def validated_arguments(
    service: Service,
    args: Mapping[str, Any],
    *,
    source: Mapping[str, str] | None = None,
    variable: str | None = None,
) -> dict[str, Any]:
    """``args`` as the service's model understands them, without its defaults; services named in them are checked too.

    Args:
        service: whose arguments they are.
        args: by name, not yet validated.
        source: where each came from.
        variable: the environment variable that holds all of them; by default each has one of its own.

    Raises:
        InvalidArgumentError: one is unknown, missing or wrong.
        ConfigurationError: a secret stands in the configuration file.
        MissingExtraError, PluginLoadError: the plugin's own model cannot be imported.
    """
    from rerankit.arguments import ServiceArguments, secret_names, validated
    from rerankit.policy.settings import FallbackService
    from rerankit.settings import FILE

    model, source = arguments_model(service) or ServiceArguments, source or {}
    arguments = validated(model, args, service=service.spec.name, source=source)
    for name in secret_names(model):
        where = source.get(name, "")
        if where.startswith(FILE):
            raise ConfigurationError(
                f"{where}: {name!r} is a secret, and secrets do not belong in that file",
                remedy=f"set {variable or _variable(name)} in the environment or .env",
                service=service.spec.name,
            )
    values = {name: getattr(arguments, name) for name in arguments.model_fields_set}
    for name, value in values.items():
        if isinstance(value, FallbackService):
            check_service(value, where=source.get(name, ""), variable=variable or _variable(name))
    return values


def _variable(argument: str) -> str:
    return f"RERANKER_ARGS__{argument.upper()}"


def resolved(service: Service, target: object) -> Any:
    """What a ``target`` of the service's spec names.

    Raises:
        MissingExtraError: something it imports is not installed.
        PluginLoadError: it cannot be loaded for another reason.
    """
    try:
        return resolve(target)
    except ImportError as error:
        raise _missing(service, error) from error
    except Exception as error:
        raise PluginLoadError(
            f"{target} of {service.distribution} {service.version} cannot be loaded: {type(error).__name__}: {error}",
            remedy=f"pip install --upgrade {service.distribution}, or report it to its author",
            service=service.spec.name,
        ) from error


def _missing(service: Service, error: ImportError) -> MissingExtraError:
    return MissingExtraError(
        f"{service.spec.name} needs something that is not installed: {error}",
        remedy=service.spec.install or f"pip install --upgrade {service.distribution}",
        value=error.name,
        service=service.spec.name,
    )


class _Mapping(Mapping[str, Callable[..., PairReranker]]):
    """Service name -> what makes its reranker, over the installed plugins; looked up when it is used."""

    def __getitem__(self, name: str) -> Callable[..., PairReranker]:
        plugin_manager().service(name)
        return functools.partial(load_reranker, name)

    def __iter__(self) -> Iterator[str]:
        return iter(plugin_manager().service_names())

    def __len__(self) -> int:
        return len(plugin_manager().service_names())

    def __repr__(self) -> str:
        return f"RERANKER_MAPPING({', '.join(self)})"


RERANKER_MAPPING: Final[Mapping[str, Callable[..., PairReranker]]] = _Mapping()
"""For applications that kept a dict of classes: ``RERANKER_MAPPING[service](**args)``.

A missing name is a ``KeyError`` that is also an ``UnknownServiceError``.
"""
