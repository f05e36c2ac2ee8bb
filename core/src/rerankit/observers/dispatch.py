"""Telling observers, each guarded: one that raises is logged, and changes nothing."""

from __future__ import annotations

import logging
from typing import Any

from rerankit.plugins.manager import plugin_manager

__all__ = ["observed", "tell"]

_log = logging.getLogger(__name__)

HOOKS = ("rerankit_before", "rerankit_after", "rerankit_error")


def observed() -> bool:
    """Whether anybody observes; without observers no events are made."""
    hooks = plugin_manager().pluggy.hook
    return any(getattr(hooks, name).get_hookimpls() for name in HOOKS)


def tell(hook: str, event: object) -> None:
    """Call every implementation of ``hook``. pluggy's own dispatch would stop at the first one that raises."""
    for implementation in getattr(plugin_manager().pluggy.hook, hook).get_hookimpls():
        arguments: list[Any] = [event] if implementation.argnames else []
        try:
            implementation.function(*arguments)
        except Exception:
            _log.warning("observer %s failed in %s", implementation.plugin_name, hook, exc_info=True)
