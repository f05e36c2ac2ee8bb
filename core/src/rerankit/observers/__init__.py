"""Seeing what reranking does: events for plugins, and three observers that only have to be switched on.

An observer is any object with ``hookimpl`` methods named ``rerankit_before``, ``rerankit_after`` or ``rerankit_error``,
registered by ``add_observer`` or brought by a plugin's module. See ``docs/observability.md``.
"""

from __future__ import annotations

from collections.abc import Iterable

from rerankit.errors import MissingExtraError
from rerankit.observers.events import CallFailed, CallFinished, CallStarted
from rerankit.plugins.manager import plugin_manager
from rerankit.plugins.specs import resolve

__all__ = ["CallFailed", "CallFinished", "CallStarted", "add_observer", "remove_observer", "switch_on"]

_FIRST_PARTY = {
    "logging": "rerankit.observers.logs:LogObserver",
    "opentelemetry": "rerankit.observers.tracing:TracingObserver",
    "prometheus": "rerankit.observers.metrics:MetricsObserver",
}


def add_observer(observer: object, name: str | None = None) -> None:
    """Have ``observer`` told about every call in this process, until ``remove_observer``.

    Raises:
        ValueError: it is registered already, or its name is.
    """
    plugin_manager().pluggy.register(observer, name)


def remove_observer(observer: object) -> None:
    """The opposite of ``add_observer``."""
    plugin_manager().pluggy.unregister(observer)


def switch_on(names: Iterable[str]) -> None:
    """Switch on first-party observers: ``logging``, ``opentelemetry``, ``prometheus``; each once in a process.

    Raises:
        MissingExtraError: the library is not installed; says what to install.
    """
    for name in names:
        if plugin_manager().pluggy.has_plugin(name):
            continue
        try:
            observer = resolve(_FIRST_PARTY[name])()
        except ImportError as error:
            raise MissingExtraError(
                f"the observer {name!r} needs {error.name}, which is not installed",
                remedy=f'pip install "rerankit[{name}]"',
                value=error.name,
            ) from error
        add_observer(observer, name)
