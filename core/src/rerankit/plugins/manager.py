"""Loading the installed plugins' light modules, each guarded, and looking services up by name."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Iterable
from typing import Any, TypeVar

import pluggy

from rerankit._nearest import nearest
from rerankit.errors import (
    DuplicateServiceError,
    IncompatiblePluginError,
    PluginLoadError,
    RerankitError,
    ServiceNotInstalledError,
    UnknownServiceError,
)
from rerankit.plugins import hookspecs
from rerankit.plugins.finder import BrokenMetadata, FoundPlugin, find_plugins, normalized
from rerankit.plugins.records import Command, PluginRecord, Service
from rerankit.plugins.specs import API_VERSION, CommandSpec, RerankerSpec, resolve

__all__ = ["PluginManager", "plugin_manager"]

_FIRST_PARTY = {
    "biencoder": "crossencoder",
    "crossencoder": "crossencoder",
    "flag_embedding": "crossencoder",
    "http": "http",
    "local_service": "local-service",
    "mini": "mini",
    "modal": "modal",
}
"""Services of ours that may not be installed, and the extra of the core that brings each."""

_SLOW_SECONDS = 0.5
"""A light module that takes longer to import is called slow: listing plugins pays for it."""

S = TypeVar("S", RerankerSpec, CommandSpec)


@functools.cache
def plugin_manager() -> PluginManager:
    """The process's manager, made on first use; ``plugin_manager.cache_clear()`` scans anew.

    ``RERANKIT_DISABLED_PLUGINS`` names distributions to leave unloaded, separated by commas;
    ``RERANKIT_STRICT_PLUGINS=1`` raises at the first broken plugin instead of recording it.

    Raises:
        PluginLoadError: a plugin is broken, in strict mode.
    """
    disabled = os.environ.get("RERANKIT_DISABLED_PLUGINS", "")
    strict = os.environ.get("RERANKIT_STRICT_PLUGINS", "").lower() in ("1", "true", "yes")
    return PluginManager(
        find_plugins(), disabled=[name.strip() for name in disabled.split(",") if name.strip()], strict=strict
    )


class PluginManager:
    """The plugins of one scan.

    Attributes:
        records: one a plugin, in the order of the scan, broken ones with the reason.
        pluggy: the hook machinery, with every plugin that loaded registered.
    """

    def __init__(
        self, plugins: Iterable[FoundPlugin | BrokenMetadata], *, disabled: Iterable[str] = (), strict: bool = False
    ) -> None:
        self.pluggy = pluggy.PluginManager(hookspecs.PROJECT)
        self.pluggy.add_hookspecs(hookspecs)
        self.records: list[PluginRecord] = []
        self._services: dict[str, list[Service]] = {}
        self._commands: dict[str, list[Command]] = {}
        self._incompatible: dict[str, IncompatiblePluginError] = {}
        unwanted = {normalized(name) for name in disabled}
        for plugin in plugins:
            record = self._load(plugin, unwanted)
            self.records.append(record)
            if strict and record.status in ("broken", "incompatible"):
                raise PluginLoadError(
                    f"{record.distribution} {record.version} is {record.status}: {record.reason}",
                    remedy=f"pip install --upgrade {record.distribution}, or unset RERANKIT_STRICT_PLUGINS",
                    value=record.entry_point,
                )

    def service_names(self) -> list[str]:
        """Names of the services, sorted."""
        return sorted(self._services)

    def services(self) -> list[Service]:
        """Every service, by name, then by distribution."""
        return [service for name in self.service_names() for service in self._services[name]]

    def commands(self) -> dict[str, Command]:
        """CLI commands by name; of two that claim one name, the first distribution's."""
        return {name: found[0] for name, found in sorted(self._commands.items())}

    def service(self, name: object) -> Service:
        """The service of that name; ``distribution:name`` picks among several.

        Raises:
            UnknownServiceError: nobody offers it; says what is installed and what failed to load.
            DuplicateServiceError: several distributions do, and ``name`` does not pick.
            IncompatiblePluginError: its plugin was written for another version of the plugin interface.
        """
        if not isinstance(name, str):
            raise UnknownServiceError(f"a service is named by a string, not by {type(name).__name__}", value=name)
        distribution, _, plain = name.rpartition(":")
        found = self._services.get(plain, [])
        if distribution:
            found = [service for service in found if normalized(service.distribution) == normalized(distribution)]
        if len(found) == 1:
            return found[0]
        if found:
            both = " and ".join(f"{service.distribution} {service.version}" for service in found)
            raise DuplicateServiceError(
                f"{both} both offer a service {name!r}",
                remedy=f"set reranker_service to '{found[0].distribution}:{name}' to pick one, "
                f"or RERANKIT_DISABLED_PLUGINS={found[1].distribution} to leave the other out",
                value=name,
            )
        if plain in self._incompatible:
            raise self._incompatible[plain]
        raise self._unknown(name, plain)

    def _unknown(self, name: str, plain: str) -> UnknownServiceError:
        context = f"; installed: {', '.join(self.service_names()) or 'none'}"
        broken = [f"{r.distribution} ({r.reason})" for r in self.records if r.status == "broken"]
        if broken:
            context += f"; failed to load: {'; '.join(broken)}"
        if plain in _FIRST_PARTY:
            return ServiceNotInstalledError(
                f"the service {name!r} is not installed{context}",
                remedy=f'pip install "rerankit[{_FIRST_PARTY[plain]}]"',
                value=name,
            )
        close = nearest(plain, [*self._services, *_FIRST_PARTY])
        return UnknownServiceError(f"no service {name!r}{close}{context}", value=name)

    def _load(self, plugin: FoundPlugin | BrokenMetadata, disabled: set[str]) -> PluginRecord:
        if isinstance(plugin, BrokenMetadata):
            return PluginRecord(plugin.distribution, plugin.version, "", "broken", plugin.reason)
        record = PluginRecord(plugin.distribution, plugin.version, f"{plugin.name} = {plugin.value}")
        if normalized(plugin.distribution) in disabled:
            record.status = "disabled"
            return record
        started = time.perf_counter()
        try:
            self._register(resolve(plugin.value), record)
        except KeyboardInterrupt:
            raise
        except RerankitError as error:
            record.status, record.reason = "broken", error.message
        # A plugin may raise anything, sys.exit() and a panic of a Rust extension too; none may reach the application.
        except BaseException as error:
            record.status, record.reason = "broken", f"{type(error).__name__}: {error}"
        record.seconds = time.perf_counter() - started
        if record.status == "ok" and record.seconds > _SLOW_SECONDS:
            record.status, record.reason = "slow", f"its light module took {record.seconds:.1f} s to import"
        return record

    def _register(self, module: Any, record: PluginRecord) -> None:
        """Register ``module`` and take what its hooks give, all or nothing."""
        if self.pluggy.is_registered(module):  # pluggy raises for one module under two names
            return
        try:
            self.pluggy.register(module)
            self._refuse_unknown_hooks(module)
            rerankers = self._collect(module, "rerankit_rerankers", RerankerSpec)
            commands = self._collect(module, "rerankit_commands", CommandSpec)
        except BaseException:
            if self.pluggy.is_registered(module):
                self.pluggy.unregister(module)
            raise
        for reranker in rerankers:
            if self._fits(reranker, record):
                service = Service(reranker, record.distribution, record.version)
                self._services.setdefault(reranker.name, []).append(service)
                record.services.append(reranker.name)
        for command in commands:
            if self._fits(command, record):
                found = Command(command, record.distribution, record.version)
                self._commands.setdefault(command.name, []).append(found)
                record.commands.append(command.name)

    def _refuse_unknown_hooks(self, module: Any) -> None:
        known = [name for name in vars(hookspecs) if name.startswith("rerankit_")]
        for name in dir(module):
            if hasattr(getattr(module, name), f"{hookspecs.PROJECT}_impl") and name not in known:
                raise PluginLoadError(f"there is no hook {name!r}{nearest(name, known)}", value=name)

    def _collect(self, module: Any, hook: str, kind: type[S]) -> list[S]:
        """What one plugin's implementation of ``hook`` gives: called apart, since one that raises stops the rest."""
        others = [plugin for plugin in self.pluggy.get_plugins() if plugin is not module]
        specs: list[S] = []
        for result in self.pluggy.subset_hook_caller(hook, others)():
            if not isinstance(result, Iterable):
                raise TypeError(f"{hook} gave {type(result).__name__}, not a list of {kind.__name__}")
            for spec in result:
                if not isinstance(spec, kind):
                    raise TypeError(f"{hook} gave {type(spec).__name__}, not {kind.__name__}")
                if spec.name in [other.name for other in specs]:
                    raise ValueError(f"{hook} gave {spec.name!r} twice")
                specs.append(spec)
        return specs

    def _fits(self, spec: RerankerSpec | CommandSpec, record: PluginRecord) -> bool:
        if spec.api_version == API_VERSION:
            return True
        older = "an older" if spec.api_version < API_VERSION else "a newer"
        advice = record.distribution if spec.api_version < API_VERSION else "rerankit"
        error = IncompatiblePluginError(
            f"{record.distribution} {record.version} offers {spec.name!r} for {older} plugin interface: "
            f"version {spec.api_version}, and this rerankit has version {API_VERSION}",
            remedy=f"pip install --upgrade {advice}",
            value=spec.api_version,
            service=spec.name,
        )
        record.status, record.reason = "incompatible", error.message
        self._incompatible[spec.name] = error
        return False
