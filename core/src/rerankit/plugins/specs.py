"""What a plugin tells about itself: plain data whose targets are strings, so that telling imports nothing heavy."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import NoneType
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
        _check(self, "service", arguments=(str, type, NoneType), install=(str, NoneType))


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """One command of the CLI: ``target`` names a click command, loaded when it is run or asked for help."""

    name: str
    target: str | Callable[..., Any]
    summary: str = ""
    api_version: int = API_VERSION

    def __post_init__(self) -> None:
        _check(self, "command")


def _check(spec: RerankerSpec | CommandSpec, what: str, **kinds: tuple[type, ...]) -> None:
    """Listing and help rely on these types, and a wrong one is the fault of the plugin that gave it."""
    if not isinstance(spec.name, str) or not _NAME.fullmatch(spec.name):
        raise ValueError(f"a {what} is named by lower-case letters, digits, _ and -, not {spec.name!r}")
    if not isinstance(spec.target, str) and not callable(spec.target):
        raise TypeError(f"target of the {what} {spec.name!r} cannot be {spec.target!r}")
    for name, kind in {"summary": (str,), "api_version": (int,), **kinds}.items():
        value = getattr(spec, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} of the {what} {spec.name!r} cannot be {value!r}")


def resolve(target: str | Any) -> Any:
    """The object that ``"package.module:name"`` names, or the module ``"package.module"``; anything else is itself.

    Raises:
        Exception: whatever importing the module raises. What is no ``Exception`` (``sys.exit()``, a panic of a Rust
            extension) comes as a ``RuntimeError``, so that it cannot end the application; an interrupt passes.
    """
    if not isinstance(target, str):
        return target
    module, _, path = target.partition(":")
    try:
        found: Any = import_module(module.strip())
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise RuntimeError(f"importing {module} raised {type(error).__name__}: {error}") from error
    for name in path.strip().split(".") if path else ():
        found = getattr(found, name)
    return found
