"""The public hooks. A plugin's light module implements those it wants; signatures are checked when it is loaded.

Hooks may gain arguments; an implementation takes only those it names. All are called once, on first use,
except the three observation hooks, which are called for every rerank.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy

from rerankit.plugins.specs import CommandSpec, RerankerSpec

__all__ = ["PROJECT", "hookimpl", "hookspec"]

PROJECT = "rerankit"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def rerankit_rerankers() -> Iterable[RerankerSpec]:  # type: ignore[empty-body]
    """The services this plugin brings."""


@hookspec
def rerankit_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """The CLI commands this plugin brings."""
