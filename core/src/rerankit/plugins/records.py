"""What is known about the installed plugins once they were loaded."""

from __future__ import annotations

from dataclasses import dataclass, field

from rerankit.plugins.specs import CommandSpec, RerankerSpec

__all__ = ["Command", "PluginRecord", "Service"]


@dataclass(slots=True)
class PluginRecord:
    """What became of one installed plugin. ``status`` is ok, slow, disabled, incompatible or broken."""

    distribution: str
    version: str
    entry_point: str
    status: str = "ok"
    reason: str | None = None
    seconds: float = 0.0
    services: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Service:
    """A service and the plugin that brings it."""

    spec: RerankerSpec
    distribution: str
    version: str


@dataclass(frozen=True, slots=True)
class Command:
    """A CLI command and the plugin that brings it."""

    spec: CommandSpec
    distribution: str
    version: str
