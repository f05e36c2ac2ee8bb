"""What a plugin tells about itself: plain data whose targets are strings, so that telling imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

__all__ = ["API_VERSION", "CommandSpec", "RerankerSpec", "resolve"]

API_VERSION = 1
"""The version of this interface. It rises only when a plugin written for the one before would not work."""

_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True, slots=True)
class RerankerSpec:
    """One service.

    Attributes:
        name: what the configuration calls it: lower-case letters, digits, ``_`` and ``-``.
        target: ``"package.module:Class"``, or any callable that takes the arguments and gives a reranker.
        arguments: ``"package.module:Model"``, the ``ServiceArguments`` that validates its arguments;
            ``None`` for a service without any.
        summary: one line for ``rerankit plugins``.
        install: what to type when something the target imports is missing.
        api_version: the version of the plugin interface it was written for.
    """

    name: str
    target: str | Callable[..., Any]
    arguments: str | type | None = None
    summary: str = ""
    install: str | None = None
    api_version: int = API_VERSION

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise ValueError(f"a service is named by lower-case letters, digits, _ and -, not {self.name!r}")


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command of the CLI: ``target`` names a click command, loaded when it is run or asked for help."""

    name: str
    target: str | Callable[..., Any]
    summary: str = ""
    api_version: int = API_VERSION


def resolve(target: str | Any) -> Any:
    """The object that ``"package.module:name"`` names, or the module ``"package.module"``; anything else is itself.

    Raises:
        ImportError, AttributeError: the module, or the name in it, is not there.
    """
    if not isinstance(target, str):
        return target
    module, _, path = target.partition(":")
    found: Any = import_module(module.strip())
    for name in path.strip().split(".") if path else ():
        found = getattr(found, name)
    return found
