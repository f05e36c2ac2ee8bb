"""The public hooks. A plugin's light module implements those it wants; signatures are checked when it is loaded.

Hooks may gain arguments; an implementation takes only those it names. All are called once, on first use,
except the three observation hooks, which are called for every rerank.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

from rerankit.plugins.specs import CommandSpec, RerankerSpec

if TYPE_CHECKING:
    from rerankit.observers.events import CallFailed, CallFinished, CallStarted

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


@hookspec
def rerankit_before(event: CallStarted) -> None:
    """A call begins. Runs in the caller's thread or task, so keep it short; what it raises is logged, not passed on."""


@hookspec
def rerankit_after(event: CallFinished) -> None:
    """A call was answered: scores, who served, figures that say whether reranking helped."""


@hookspec
def rerankit_error(event: CallFailed) -> None:
    """A call ended without an answer."""
